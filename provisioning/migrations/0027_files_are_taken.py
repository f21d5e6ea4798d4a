import audit.fields
import audit.keys
import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.expressions
import simple_history.models
from django.conf import settings
from django.db import migrations, models

from audit.guards import Guard


class Migration(migrations.Migration):
    """A system can be read from files that it sends: each signed, the newest kept in pieces."""

    dependencies = [
        ('accounts', '0014_a_sweep_says_that_it_looked'),
        ('provisioning', '0026_absence_is_asked_about'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalUpload',
            fields=[
                ('cause_id', models.BigIntegerField(db_index=True, null=True)),
                ('salt', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False, null=True)),
                ('id', models.UUIDField(db_index=True, default=audit.keys.uuid7, editable=False)),
                ('form', models.CharField(choices=[('csv', 'CSV'), ('ndjson', 'NDJSON')], max_length=16)),
                ('made_at', models.DateTimeField()),
                ('received_at', models.DateTimeField()),
                ('rows', models.PositiveIntegerField()),
                ('users', models.PositiveIntegerField()),
                ('groups', models.PositiveIntegerField()),
                ('user_pieces', models.PositiveIntegerField()),
                ('group_pieces', models.PositiveIntegerField()),
                ('size', models.PositiveBigIntegerField()),
                ('digest', models.CharField(max_length=64)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.TextField(null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
            ],
            options={
                'verbose_name': 'historical upload',
                'verbose_name_plural': 'historical uploads',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Upload',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('form', models.CharField(choices=[('csv', 'CSV'), ('ndjson', 'NDJSON')], max_length=16)),
                ('made_at', models.DateTimeField()),
                ('received_at', models.DateTimeField()),
                ('rows', models.PositiveIntegerField()),
                ('users', models.PositiveIntegerField()),
                ('groups', models.PositiveIntegerField()),
                ('user_pieces', models.PositiveIntegerField()),
                ('group_pieces', models.PositiveIntegerField()),
                ('size', models.PositiveBigIntegerField()),
                ('digest', models.CharField(max_length=64)),
            ],
            options={
                'ordering': ('-made_at',),
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='UploadPiece',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=16)),
                ('number', models.PositiveIntegerField()),
                ('ids', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=400), size=None)),
                ('body', models.TextField()),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.RemoveConstraint(
            model_name='connection',
            name='provisioning_connection_connector_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='connection',
            name='provisioning_connection_read_has_url',
        ),
        migrations.AlterField(
            model_name='connection',
            name='connector',
            field=models.CharField(choices=[('none', 'not read'), ('scim', 'SCIM 2.0'), ('file', 'files that it sends')], default='none', max_length=16),
        ),
        migrations.AlterField(
            model_name='historicalconnection',
            name='connector',
            field=models.CharField(choices=[('none', 'not read'), ('scim', 'SCIM 2.0'), ('file', 'files that it sends')], default='none', max_length=16),
        ),
        migrations.AddConstraint(
            model_name='connection',
            constraint=models.CheckConstraint(condition=models.Q(('connector__in', ['none', 'scim', 'file'])), name='provisioning_connection_connector_is_known'),
        ),
        migrations.AddConstraint(
            model_name='connection',
            constraint=models.CheckConstraint(condition=models.Q(('connector__in', ['none', 'file']), models.Q(('base_url', ''), _negated=True), _connector='OR'), name='provisioning_connection_read_has_url'),
        ),
        migrations.AddConstraint(
            model_name='connection',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('connector', 'file'), _negated=True), models.Q(('secret', ''), _negated=True), _connector='OR'), name='provisioning_connection_files_are_signed'),
        ),
        migrations.AddField(
            model_name='historicalupload',
            name='history_user',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='historicalupload',
            name='system',
            field=audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.system'),
        ),
        migrations.AddField(
            model_name='historicalupload',
            name='tenant',
            field=models.ForeignKey(blank=True, db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='upload',
            name='system',
            field=audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='uploads', to='accounts.system'),
        ),
        migrations.AddField(
            model_name='upload',
            name='tenant',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='uploadpiece',
            name='tenant',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='uploadpiece',
            name='upload',
            field=audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pieces', to='provisioning.upload'),
        ),
        migrations.AddConstraint(
            model_name='upload',
            constraint=models.CheckConstraint(condition=models.Q(('form__in', ['csv', 'ndjson'])), name='provisioning_upload_form_is_known'),
        ),
        migrations.AddConstraint(
            model_name='upload',
            constraint=models.CheckConstraint(condition=models.Q(('rows', django.db.models.expressions.CombinedExpression(models.F('users'), '+', models.F('groups')))), name='provisioning_upload_has_the_rows_that_were_signed'),
        ),
        migrations.AddConstraint(
            model_name='upload',
            constraint=models.UniqueConstraint(fields=('tenant', 'system', 'made_at'), name='provisioning_upload_one_per_instant'),
        ),
        migrations.AddConstraint(
            model_name='uploadpiece',
            constraint=models.UniqueConstraint(fields=('tenant', 'upload', 'kind', 'number'), name='provisioning_piece_once'),
        ),
        Guard("Upload", "UploadPiece"),
    ]
