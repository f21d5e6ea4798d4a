import audit.keys
import django.contrib.postgres.functions
import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    """Seals, and what they need of what they cover.

    Each row that is there already gets a salt of its own: the tables are written anew, which takes about ten
    seconds for a million rows, and keeps everybody else out of the table meanwhile.
    """

    dependencies = [
        ('audit', '0004_what_one_cause_did'),
    ]

    operations = [
        migrations.CreateModel(
            name='Seal',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(blank=True, null=True)),
                ('number', models.PositiveBigIntegerField()),
                ('from_xid', models.BigIntegerField()),
                ('to_xid', models.BigIntegerField()),
                ('after_id', models.BigIntegerField()),
                ('last_id', models.BigIntegerField()),
                ('rows', models.PositiveBigIntegerField()),
                ('root', models.CharField(max_length=64)),
                ('shape', models.TextField()),
                ('leaves', models.BinaryField()),
                ('statement', models.TextField()),
                ('signature', models.BinaryField()),
                ('key_id', models.CharField(max_length=64)),
                ('at', models.DateTimeField()),
            ],
            options={
                'ordering': ('-number',),
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Witnessed',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(blank=True, null=True)),
                ('number', models.PositiveBigIntegerField()),
                ('at', models.DateTimeField()),
            ],
            options={
                'ordering': ('-number',),
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='cause',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='journalentry',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddField(
            model_name='journalsubject',
            name='salt',
            field=models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name='cause',
            index=models.Index(fields=['tenant_id', 'xid'], name='audit_cause_by_transaction'),
        ),
        migrations.AddIndex(
            model_name='journalsubject',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['entry_id'], name='audit_subject_by_entry', pages_per_range=32),
        ),
        migrations.AddConstraint(
            model_name='seal',
            constraint=models.UniqueConstraint(fields=('tenant_id', 'number'), name='audit_seal_number_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='seal',
            constraint=models.CheckConstraint(condition=models.Q(('from_xid__lt', models.F('to_xid')), ('rows__gte', 1)), name='audit_seal_covers_something'),
        ),
        migrations.AddConstraint(
            model_name='witnessed',
            constraint=models.UniqueConstraint(fields=('tenant_id', 'number'), name='audit_witnessed_number_once', nulls_distinct=False),
        ),
    ]
