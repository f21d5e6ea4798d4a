from django.db import migrations, models


class Migration(migrations.Migration):
    """A reading says of each dimension how far it can be believed. Those from before did not look."""

    dependencies = [
        ('provisioning', '0024_how_a_reading_goes_on'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicalsnapshot',
            name='dimensions',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='dimensions',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
    ]
