from django.db import migrations, models


class Migration(migrations.Migration):
    """A proof more: what a reading left out was asked about, and is not there."""

    dependencies = [
        ('accounts', '0014_a_sweep_says_that_it_looked'),
        ('provisioning', '0025_how_each_dimension_was_read'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='snapshotproof',
            name='provisioning_proof_word_is_known',
        ),
        migrations.AlterField(
            model_name='historicalsnapshotproof',
            name='word',
            field=models.CharField(choices=[('drained', 'every page was read to the end'), ('total', 'the total was the same on the first and the last page'), ('unique', 'no id came twice'), ('canary', 'the canary was seen'), ('shrink', 'it did not shrink past its limit'), ('absent', 'what it left out is not there')], max_length=16),
        ),
        migrations.AlterField(
            model_name='snapshotproof',
            name='word',
            field=models.CharField(choices=[('drained', 'every page was read to the end'), ('total', 'the total was the same on the first and the last page'), ('unique', 'no id came twice'), ('canary', 'the canary was seen'), ('shrink', 'it did not shrink past its limit'), ('absent', 'what it left out is not there')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='snapshotproof',
            constraint=models.CheckConstraint(condition=models.Q(('word__in', ['drained', 'total', 'unique', 'canary', 'shrink', 'absent'])), name='provisioning_proof_word_is_known'),
        ),
    ]
