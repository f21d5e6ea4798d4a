from django.db import migrations

from audit.guards import Guard


class Migration(migrations.Migration):
    """Causes and journal entries are seen in their tenant's scope alone."""

    dependencies = [("audit", "0001_first_slice")]

    operations = [Guard("Cause", "JournalEntry", "JournalSubject")]
