from django.db import migrations

from audit.guards import InstallFunctions


class Migration(migrations.Migration):
    """The application may ask for further months of what grows for ever: `audit_add_months`."""

    dependencies = [("audit", "0002_guards")]

    operations = [InstallFunctions()]
