from django.db import migrations

from audit.guards import Guard


class Migration(migrations.Migration):
    """Seals, and what is said of their witness, are seen in their tenant's scope alone."""

    dependencies = [("audit", "0005_salts_and_seals")]

    operations = [Guard("Seal", "Witnessed")]
