from django.db import migrations, models


class Migration(migrations.Migration):
    """A reading may be unable to see the groups, and a system's rules say what it means for the status."""

    dependencies = [("accounts", "0003_no_side_door"), ("provisioning", "0002_guards")]

    operations = [
        migrations.AddField(
            model_name='historicalsnapshot',
            name='unreadable',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='unreadable',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='stagedresource',
            name='means_active',
            field=models.BooleanField(null=True),
        ),
    ]
