from django.db import migrations, models


class Migration(migrations.Migration):
    """A repair says why no event of its system had asked for it. Rows from before say nothing."""

    dependencies = [
        ('accounts', '0012_why_no_event_told'),
        ('provisioning', '0020_what_is_erased_is_recorded'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicalplannedchange',
            name='attributed_by',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='historicalplannedchange',
            name='attribution',
            field=models.CharField(blank=True, choices=[('', 'not looked into'), ('lost_event', 'never said'), ('late_event', 'said late, or out of turn'), ('refused', 'said, and refused here'), ('parked', 'said, and not applied yet'), ('held', 'said, and waits for people or a rule'), ('local_change', 'changed here since'), ('other_source', 'another system said otherwise'), ('mapping_change', 'a rule was changed since'), ('source_fault', 'its system contradicts itself'), ('unknown', 'the evidence does not decide')], db_default='', default='', max_length=16),
        ),
        migrations.AddField(
            model_name='plannedchange',
            name='attributed_by',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddField(
            model_name='plannedchange',
            name='attribution',
            field=models.CharField(blank=True, choices=[('', 'not looked into'), ('lost_event', 'never said'), ('late_event', 'said late, or out of turn'), ('refused', 'said, and refused here'), ('parked', 'said, and not applied yet'), ('held', 'said, and waits for people or a rule'), ('local_change', 'changed here since'), ('other_source', 'another system said otherwise'), ('mapping_change', 'a rule was changed since'), ('source_fault', 'its system contradicts itself'), ('unknown', 'the evidence does not decide')], db_default='', default='', max_length=16),
        ),
        migrations.AddConstraint(
            model_name='plannedchange',
            constraint=models.CheckConstraint(condition=models.Q(('attribution__in', ['', 'lost_event', 'late_event', 'refused', 'parked', 'held', 'local_change', 'other_source', 'mapping_change', 'source_fault', 'unknown'])), name='provisioning_change_attribution_is_known'),
        ),
        migrations.AddConstraint(
            model_name='plannedchange',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('attribution', ''), _negated=True), ('attributed_by', {}), _connector='OR'), name='provisioning_change_evidence_has_its_attribution'),
        ),
    ]
