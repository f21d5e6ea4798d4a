import django.contrib.postgres.functions
from django.db import migrations, models


class Migration(migrations.Migration):
    """What seals need of what they cover.

    Each row that is there already gets a salt of its own: the tables are written anew, which takes about ten
    seconds for a million rows, and keeps everybody else out of the table meanwhile.
    """

    dependencies = [
        ('accounts', '0009_the_ledger_gives_another_roll'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicalaccount',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalfinding',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalgroup',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalhold',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalidentity',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalinvitation',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalmembership',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalownership',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalpermit',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalpolicyexception',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalrole',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalsystem',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalsystemadministrator',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicaltenant',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicaluser',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
    ]
