from django.db import migrations, models


class Migration(migrations.Migration):
    """A night without a certificate of what was measured is a finding."""

    dependencies = [
        ('accounts', '0012_why_no_event_told'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='finding',
            name='accounts_finding_kind_is_known',
        ),
        migrations.AlterField(
            model_name='finding',
            name='kind',
            field=models.CharField(choices=[('status_differs', 'status differs'), ('membership_differs', 'membership differs'), ('field_differs', 'attribute differs'), ('missing_there', 'missing in its system'), ('unknown_here', 'unknown here'), ('not_measured', 'system not measured'), ('not_read_back', 'ending not read back'), ('still_active', 'ended here, still active there'), ('expires', 'expires soon'), ('no_owner', 'no owner'), ('mass_reduction', 'mass reduction'), ('correlation', 'belongs to whom?'), ('ended_elsewhere', 'ended elsewhere'), ('sweep_failed', 'a sweep failed on it'), ('feed_gap', 'gap in a feed'), ('feed_silent', 'feed without an answer'), ('members_unresolved', 'removal that could not be read'), ('not_applied', 'acknowledged and not applied'), ('ledger_differs', 'the ledger gives another roll'), ('not_certified', 'night without a certificate')], max_length=24),
        ),
        migrations.AlterField(
            model_name='historicalfinding',
            name='kind',
            field=models.CharField(choices=[('status_differs', 'status differs'), ('membership_differs', 'membership differs'), ('field_differs', 'attribute differs'), ('missing_there', 'missing in its system'), ('unknown_here', 'unknown here'), ('not_measured', 'system not measured'), ('not_read_back', 'ending not read back'), ('still_active', 'ended here, still active there'), ('expires', 'expires soon'), ('no_owner', 'no owner'), ('mass_reduction', 'mass reduction'), ('correlation', 'belongs to whom?'), ('ended_elsewhere', 'ended elsewhere'), ('sweep_failed', 'a sweep failed on it'), ('feed_gap', 'gap in a feed'), ('feed_silent', 'feed without an answer'), ('members_unresolved', 'removal that could not be read'), ('not_applied', 'acknowledged and not applied'), ('ledger_differs', 'the ledger gives another roll'), ('not_certified', 'night without a certificate')], max_length=24),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['status_differs', 'membership_differs', 'field_differs', 'missing_there', 'unknown_here', 'not_measured', 'not_read_back', 'still_active', 'expires', 'no_owner', 'mass_reduction', 'correlation', 'ended_elsewhere', 'sweep_failed', 'feed_gap', 'feed_silent', 'members_unresolved', 'not_applied', 'ledger_differs', 'not_certified'])), name='accounts_finding_kind_is_known'),
        ),
    ]
