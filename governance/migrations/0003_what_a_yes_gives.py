from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """A line of a campaign may be excepted by two people; answers and decisions keep the end that came with them."""

    dependencies = [
        ('accounts', '0002_guards'),
        ('governance', '0002_guards'),
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
        migrations.AddField(
            model_name='answer',
            name='expires_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='approval',
            name='lasts_until',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='approval',
            name='review_id',
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='historicalapproval',
            name='lasts_until',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='historicalapproval',
            name='review_id',
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='reviewdecision',
            name='until',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='approval',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'may an ended account come back?'), ('plan', 'may a stopped plan be executed?'), ('role', 'may somebody have a role?'), ('exception', 'may a line of a campaign stay open for a time?')], max_length=16),
        ),
        migrations.AlterField(
            model_name='historicalapproval',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'may an ended account come back?'), ('plan', 'may a stopped plan be executed?'), ('role', 'may somebody have a role?'), ('exception', 'may a line of a campaign stay open for a time?')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['reactivation', 'plan', 'role', 'exception'])), name='governance_approval_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'role'), ('user__isnull', False)), models.Q(('account__isnull', False), ('kind', 'exception'), ('lasts_until__isnull', False), ('review_id__isnull', False)), models.Q(('kind__in', ['reactivation', 'plan']), ('plan_id__isnull', False)), _connector='OR'), name='governance_approval_has_its_subject'),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.UniqueConstraint(condition=models.Q(('review_id__isnull', False), ('state', 'open')), fields=('tenant', 'review_id'), name='governance_approval_one_open_per_line'),
        ),
    ]
