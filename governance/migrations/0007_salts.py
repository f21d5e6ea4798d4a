import django.contrib.postgres.functions
from django.db import migrations, models


class Migration(migrations.Migration):
    """What seals need of what they cover.

    Each row that is there already gets a salt of its own: the tables are written anew, which takes about ten
    seconds for a million rows, and keeps everybody else out of the table meanwhile.
    """

    dependencies = [
        ('governance', '0006_a_feed_is_rewound_by_people'),
    ]

    operations = [
        migrations.AddField(
            model_name='answer',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalapproval',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalcampaign',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalnotice',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='historicalreview',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='reviewdecision',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
    ]
