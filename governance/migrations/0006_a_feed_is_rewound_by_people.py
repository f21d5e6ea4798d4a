from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """People decide that a feed is listened to once more. Of a system, one question of each kind is open at a time.

    Who is barred (RC020), and that what was asked stays (RC023), hangs on the system of a question and not on its kind.
    """

    dependencies = [
        ('accounts', '0009_the_ledger_gives_another_roll'),
        ('governance', '0005_a_policy_is_excepted_by_people'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='approval',
            name='governance_approval_kind_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='approval',
            name='governance_approval_has_its_subject',
        ),
        migrations.RemoveConstraint(
            model_name='approval',
            name='governance_approval_one_open_per_system',
        ),
        migrations.AlterField(
            model_name='approval',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'may an ended account come back?'), ('plan', 'may a stopped plan be executed?'), ('role', 'may somebody have a role?'), ('exception', 'may a line of a campaign stay open for a time?'), ('returns', "may a system's accounts come back without people for a time?"), ('rewind', 'may a feed be listened to once more?')], max_length=16),
        ),
        migrations.AlterField(
            model_name='historicalapproval',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'may an ended account come back?'), ('plan', 'may a stopped plan be executed?'), ('role', 'may somebody have a role?'), ('exception', 'may a line of a campaign stay open for a time?'), ('returns', "may a system's accounts come back without people for a time?"), ('rewind', 'may a feed be listened to once more?')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['reactivation', 'plan', 'role', 'exception', 'returns', 'rewind'])), name='governance_approval_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'role'), ('user__isnull', False)), models.Q(('account__isnull', False), ('kind', 'exception'), ('lasts_until__isnull', False), ('review_id__isnull', False)), models.Q(('kind', 'returns'), ('lasts_until__isnull', False), ('system__isnull', False)), models.Q(('facts__has_keys', ['cursor', 'stream', 'to', 'epoch']), ('kind', 'rewind'), ('system__isnull', False)), models.Q(('kind__in', ['reactivation', 'plan']), ('plan_id__isnull', False)), _connector='OR'), name='governance_approval_has_its_subject'),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open'), ('system__isnull', False)), fields=('tenant', 'system', 'kind'), name='governance_approval_one_open_of_a_kind_per_system'),
        ),
    ]
