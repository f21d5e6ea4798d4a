from django.db import migrations, models


class Migration(migrations.Migration):
    """A system is read only to say what a reading would find: such a run has its own end."""

    dependencies = [
        ('accounts', '0012_why_no_event_told'),
        ('provisioning', '0022_a_name_of_a_rule_is_one_in_any_case'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='run',
            name='provisioning_run_state_is_known',
        ),
        migrations.AddField(
            model_name='historicalrun',
            name='is_simulated',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='run',
            name='is_simulated',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='historicalrun',
            name='state',
            field=models.CharField(choices=[('running', 'running'), ('closed', 'closed'), ('incomplete', 'incomplete'), ('failed', 'failed'), ('stopped', 'stopped'), ('simulated', 'simulated')], default='running', max_length=16),
        ),
        migrations.AlterField(
            model_name='run',
            name='state',
            field=models.CharField(choices=[('running', 'running'), ('closed', 'closed'), ('incomplete', 'incomplete'), ('failed', 'failed'), ('stopped', 'stopped'), ('simulated', 'simulated')], default='running', max_length=16),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'closed', 'incomplete', 'failed', 'stopped', 'simulated'])), name='provisioning_run_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('is_simulated', True), models.Q(('state__in', ['closed', 'incomplete']), _negated=True)), models.Q(('is_simulated', False), models.Q(('state', 'simulated'), _negated=True)), _connector='OR'), name='provisioning_run_simulated_ends_as_such'),
        ),
    ]
