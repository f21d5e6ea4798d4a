from django.db import migrations

from audit.guards import Guard


class Migration(migrations.Migration):
    """Tenant isolation and history of this floor's tables."""

    dependencies = [("provisioning", "0001_first_slice"), ("accounts", "0002_guards")]

    operations = [
        Guard("SystemToken", tenant=False),
        Guard(
            "FieldAuthority", "Connection", "ReadRecord", "Exchange", "ExchangeKey", "Shadow", "Run", "Snapshot",
            "SnapshotProof", "StagedResource", "StagedMember", "Plan", "PlannedChange", "Readback",
        ),
    ]
