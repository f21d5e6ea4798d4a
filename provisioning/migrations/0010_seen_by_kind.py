from django.db import migrations, models


class Migration(migrations.Migration):
    """What a system has ever sent, kind by kind, is looked up and not scanned: also what it never sent.

    The ledger is partitioned, so the index can't be made CONCURRENTLY: writers wait while it is made.
    """

    dependencies = [("provisioning", "0009_a_word_taken_back")]

    operations = [
        migrations.AddIndex(
            model_name='exchange',
            index=models.Index(fields=['tenant', 'system', 'resource_type', 'intent', 'id'], name='provisioning_exchange_by_kind'),
        ),
    ]
