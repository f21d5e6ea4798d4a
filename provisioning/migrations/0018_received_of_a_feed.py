from django.db import migrations, models


class Migration(migrations.Migration):
    """What came through a feed since is counted by an index; what came otherwise pays nothing for it."""

    dependencies = [
        ('accounts', '0009_the_ledger_gives_another_roll'),
        ('provisioning', '0017_the_ledger_is_replayed'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='received',
            index=models.Index(condition=models.Q(('source', 'feed')), fields=['tenant', 'token_id', 'received_at'], name='provisioning_received_of_feed'),
        ),
    ]
