import audit.fields
import audit.keys
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

from audit.guards import Guard


class Migration(migrations.Migration):
    """How far a feed was listened to, and what of it was received already."""

    dependencies = [
        ('accounts', '0007_feeds_are_followed'),
        ('provisioning', '0014_bodies_are_encrypted'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Cursor',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('stream', models.CharField(max_length=40)),
                ('state', models.CharField(choices=[('waiting', 'waits for a complete reading'), ('following', 'following'), ('stopped', 'stopped')], default='waiting', max_length=16)),
                ('epoch', models.PositiveIntegerField(default=1)),
                ('position', models.JSONField(blank=True, null=True)),
                ('moved_at', models.DateTimeField(blank=True, null=True)),
                ('gap_at', models.DateTimeField(blank=True, null=True)),
                ('gap_because', models.CharField(blank=True, default='', max_length=400)),
                ('cadence_minutes', models.PositiveIntegerField(default=5)),
                ('system', audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cursors', to='accounts.system')),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'ordering': ('stream',),
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Listening',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('fence', models.PositiveIntegerField(default=0)),
                ('leased_until', models.DateTimeField(blank=True, null=True)),
                ('due_at', models.DateTimeField(blank=True, null=True)),
                ('heard_at', models.DateTimeField(blank=True, null=True)),
                ('problem', models.CharField(blank=True, default='', max_length=400)),
                ('cursor', audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='listenings', to='provisioning.cursor')),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('tenant', 'cursor'), name='provisioning_listening_one_per_cursor')],
            },
        ),
        migrations.CreateModel(
            name='FeedEvent',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=64)),
                ('modified_at', models.DateTimeField()),
                ('cursor', audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='provisioning.cursor')),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='HistoricalCursor',
            fields=[
                ('cause_id', models.BigIntegerField(db_index=True, null=True)),
                ('id', models.UUIDField(db_index=True, default=audit.keys.uuid7, editable=False)),
                ('stream', models.CharField(max_length=40)),
                ('state', models.CharField(choices=[('waiting', 'waits for a complete reading'), ('following', 'following'), ('stopped', 'stopped')], default='waiting', max_length=16)),
                ('epoch', models.PositiveIntegerField(default=1)),
                ('position', models.JSONField(blank=True, null=True)),
                ('moved_at', models.DateTimeField(blank=True, null=True)),
                ('gap_at', models.DateTimeField(blank=True, null=True)),
                ('gap_because', models.CharField(blank=True, default='', max_length=400)),
                ('cadence_minutes', models.PositiveIntegerField(default=5)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.TextField(null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('system', audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.system')),
                ('tenant', models.ForeignKey(blank=True, db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.tenant')),
            ],
            options={
                'verbose_name': 'historical cursor',
                'verbose_name_plural': 'historical cursors',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['following', 'stopped', 'waiting'])), name='provisioning_cursor_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'following'), _negated=True), models.Q(('gap_at__isnull', True), ('position__isnull', False)), _connector='OR'), name='provisioning_cursor_follows_from_a_position'),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'waiting'), _negated=True), models.Q(('gap_at__isnull', False), ('position__isnull', True)), _connector='OR'), name='provisioning_cursor_gap_has_no_position'),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.CheckConstraint(condition=models.Q(('stream', ''), _negated=True), name='provisioning_cursor_names_its_stream'),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.CheckConstraint(condition=models.Q(('cadence_minutes__gte', 1), ('cadence_minutes__lte', 10080)), name='provisioning_cursor_cadence_is_sensible'),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.UniqueConstraint(fields=('tenant', 'system', 'stream'), name='provisioning_cursor_one_per_stream'),
        ),
        migrations.AddIndex(
            model_name='feedevent',
            index=models.Index(fields=['tenant', 'cursor', 'modified_at'], name='provisioning_feed_event_old'),
        ),
        migrations.AddConstraint(
            model_name='feedevent',
            constraint=models.UniqueConstraint(fields=('tenant', 'cursor', 'key'), name='provisioning_feed_event_once'),
        ),
        Guard("Cursor", "Listening", "FeedEvent"),
    ]
