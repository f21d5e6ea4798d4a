import django.contrib.postgres.functions
import django.db.models.deletion
from django.db import migrations, models

import audit.keys
from audit.guards import Guard


class Migration(migrations.Migration):
    """Each night what was measured is signed, and the certificate is kept with the evidence."""

    dependencies = [
        ('accounts', '0013_a_night_without_a_certificate'),
        ('governance', '0008_what_was_erased_is_blank'),
    ]

    operations = [
        migrations.CreateModel(
            name='Certificate',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('day', models.CharField(max_length=10)),
                ('at', models.DateTimeField()),
                ('cause_id', models.BigIntegerField()),
                ('statement', models.TextField()),
                ('signature', models.BinaryField()),
                ('key_id', models.CharField(max_length=64)),
                ('salt', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True)),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'ordering': ('-day',),
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('tenant', 'day'), name='governance_certificate_one_a_day'), models.CheckConstraint(condition=models.Q(('day__regex', '^\\d{4}-\\d\\d-\\d\\d$')), name='governance_certificate_day_is_a_day'), models.CheckConstraint(condition=models.Q(models.Q(('statement', ''), _negated=True), models.Q(('key_id', ''), _negated=True), models.Q(('signature', b''), _negated=True)), name='governance_certificate_is_signed')],
            },
        ),
        Guard("Certificate"),
    ]
