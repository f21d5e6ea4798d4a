import audit.keys
import django.contrib.postgres.functions
from django.db import migrations, models

from audit.guards import Guard, InstallFunctions


class Migration(migrations.Migration):
    """Digests of what was erased, and keys of what was archived, for those who verify seals."""

    dependencies = [
        ('audit', '0006_seals_are_guarded'),
    ]

    operations = [
        InstallFunctions(),
        migrations.CreateModel(
            name='Archived',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('cause_id', models.BigIntegerField()),
                ('archive_id', models.UUIDField()),
                ('number', models.PositiveBigIntegerField()),
                ('table_name', models.CharField(max_length=63)),
                ('keys', models.BinaryField()),
                ('salt', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True)),
            ],
            options={
                'ordering': ('number', 'id'),
                'default_permissions': (),
                'indexes': [models.Index(fields=['tenant_id', 'number'], name='audit_archived_by_seal')],
            },
        ),
        migrations.CreateModel(
            name='ErasedValue',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('cause_id', models.BigIntegerField()),
                ('table_name', models.CharField(max_length=63)),
                ('row_key', models.CharField(max_length=36)),
                ('digest', models.CharField(max_length=64)),
                ('salt', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True)),
            ],
            options={
                'ordering': ('-id',),
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'table_name', 'row_key'), name='audit_erased_value_once')],
            },
        ),
        Guard("ErasedValue", "Archived"),
    ]
