import audit.fields
import audit.keys
import django.contrib.postgres.functions
import django.db.models.deletion
from django.db import migrations, models

from audit.guards import Guard


class Migration(migrations.Migration):
    """Who was erased and what was archived, by whom and why."""

    dependencies = [
        ('accounts', '0010_salts'),
        ('provisioning', '0019_salts'),
    ]

    operations = [
        migrations.CreateModel(
            name='Archive',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('cause_id', models.BigIntegerField()),
                ('at', models.DateTimeField(db_default=audit.fields.ClockTimestamp(), editable=False)),
                ('kept_since', models.DateTimeField()),
                ('until_number', models.PositiveBigIntegerField()),
                ('file', models.CharField(max_length=255)),
                ('digest', models.CharField(max_length=64)),
                ('size', models.PositiveBigIntegerField()),
                ('asked_by', models.CharField(max_length=200)),
                ('reason', models.TextField()),
                ('counts', models.JSONField(default=dict)),
                ('salt', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True)),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('reason', ''), _negated=True), models.Q(('file', ''), _negated=True)), name='provisioning_archive_says_why_and_where')],
            },
        ),
        migrations.CreateModel(
            name='Erasure',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('cause_id', models.BigIntegerField()),
                ('at', models.DateTimeField(db_default=audit.fields.ClockTimestamp(), editable=False)),
                ('asked_by', models.CharField(max_length=200)),
                ('reason', models.TextField()),
                ('counts', models.JSONField(default=dict)),
                ('salt', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True)),
                ('account', audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='erasures', to='accounts.account')),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'ordering': ('-id',),
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='provisioning_erasure_says_why')],
            },
        ),
        Guard("Erasure", "Archive"),
    ]
