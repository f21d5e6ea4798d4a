from django.db import migrations, models


class Migration(migrations.Migration):
    """A reading goes on at a position of its connector's own, and says since when what it shows is so.

    One that was under way has no position yet: it reads the kind at hand anew.
    """

    dependencies = [
        ('provisioning', '0023_a_reading_is_simulated'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicalsnapshot',
            name='dated_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='historicalsnapshot',
            name='position',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='dated_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='position',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
    ]
