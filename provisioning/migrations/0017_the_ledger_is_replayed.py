import audit.fields
import audit.keys
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

from audit.guards import Guard


class Migration(migrations.Migration):
    """What is replayed, and how far; and the ledger folded from empty."""

    dependencies = [
        ('accounts', '0009_the_ledger_gives_another_roll'),
        ('provisioning', '0016_acknowledged_first'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalReplay',
            fields=[
                ('cause_id', models.BigIntegerField(db_index=True, null=True)),
                ('id', models.UUIDField(db_index=True, default=audit.keys.uuid7, editable=False)),
                ('kind', models.CharField(choices=[('exchange', 'one exchange'), ('resource', 'all of one resource'), ('range', 'a range of one system'), ('parked', 'all that is parked')], max_length=16)),
                ('state', models.CharField(choices=[('running', 'running'), ('stopped', 'stopped'), ('done', 'done')], default='running', max_length=16)),
                ('resource_id', models.UUIDField(blank=True, null=True)),
                ('first_id', models.UUIDField()),
                ('last_id', models.UUIDField()),
                ('position', models.UUIDField(blank=True, null=True)),
                ('total', models.PositiveIntegerField()),
                ('counts', models.JSONField(blank=True, default=dict)),
                ('in_the_way', models.JSONField(blank=True, default=list)),
                ('asked_by', models.CharField(max_length=200)),
                ('user_id', models.UUIDField(blank=True, null=True)),
                ('identity_id', models.UUIDField(blank=True, null=True)),
                ('reason', models.TextField()),
                ('made_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.TextField(null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
            ],
            options={
                'verbose_name': 'historical replay',
                'verbose_name_plural': 'historical replays',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Rebuild',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('emptying', 'emptying'), ('folding', 'folding'), ('compared', 'compared')], default='folding', max_length=16)),
                ('position', models.UUIDField(blank=True, null=True)),
                ('folded', models.PositiveBigIntegerField(default=0)),
                ('until_at', models.DateTimeField(blank=True, null=True)),
                ('emptied_at', models.DateTimeField()),
                ('compared_at', models.DateTimeField(blank=True, null=True)),
                ('equal', models.PositiveIntegerField(blank=True, null=True)),
                ('differing', models.PositiveIntegerField(blank=True, null=True)),
                ('left_out', models.JSONField(blank=True, default=dict)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Rebuilt',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('resource_id', models.UUIDField()),
                ('resource_type', models.CharField(max_length=24)),
                ('label', models.CharField(blank=True, default='', max_length=400)),
                ('document', models.JSONField(blank=True, default=dict)),
                ('digest', models.CharField(blank=True, default='', max_length=64)),
                ('wants_active', models.BooleanField(default=True)),
                ('is_ended', models.BooleanField(default=False)),
                ('unclear', models.CharField(blank=True, default='', max_length=40)),
                ('members_unclear', models.CharField(blank=True, default='', max_length=40)),
                ('exchange_id', models.UUIDField()),
                ('said_at', models.DateTimeField()),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RebuiltMember',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('group_ref', models.UUIDField()),
                ('member_ref', models.UUIDField()),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Replay',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('exchange', 'one exchange'), ('resource', 'all of one resource'), ('range', 'a range of one system'), ('parked', 'all that is parked')], max_length=16)),
                ('state', models.CharField(choices=[('running', 'running'), ('stopped', 'stopped'), ('done', 'done')], default='running', max_length=16)),
                ('resource_id', models.UUIDField(blank=True, null=True)),
                ('first_id', models.UUIDField()),
                ('last_id', models.UUIDField()),
                ('position', models.UUIDField(blank=True, null=True)),
                ('total', models.PositiveIntegerField()),
                ('counts', models.JSONField(blank=True, default=dict)),
                ('in_the_way', models.JSONField(blank=True, default=list)),
                ('asked_by', models.CharField(max_length=200)),
                ('user_id', models.UUIDField(blank=True, null=True)),
                ('identity_id', models.UUIDField(blank=True, null=True)),
                ('reason', models.TextField()),
                ('made_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ('-made_at',),
                'abstract': False,
                'default_permissions': (),
            },
        ),
        migrations.RemoveConstraint(
            model_name='plan',
            name='provisioning_plan_kind_is_known',
        ),
        migrations.AddField(
            model_name='exchange',
            name='replays',
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='exchange',
            name='took',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='historicalplan',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'an ended account is asked back'), ('reading', 'what a reading showed'), ('undo', 'a mass reduction is undone'), ('replay', 'what a replay would give')], max_length=16),
        ),
        migrations.AlterField(
            model_name='plan',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'an ended account is asked back'), ('reading', 'what a reading showed'), ('undo', 'a mass reduction is undone'), ('replay', 'what a replay would give')], max_length=16),
        ),
        migrations.AddIndex(
            model_name='exchange',
            index=models.Index(condition=models.Q(('replays__isnull', False)), fields=['tenant', 'replays'], name='provisioning_exchange_replayed'),
        ),
        migrations.AddConstraint(
            model_name='plan',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['reactivation', 'reading', 'undo', 'replay'])), name='provisioning_plan_kind_is_known'),
        ),
        migrations.AddField(
            model_name='historicalreplay',
            name='history_user',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='historicalreplay',
            name='system',
            field=audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.system'),
        ),
        migrations.AddField(
            model_name='historicalreplay',
            name='tenant',
            field=models.ForeignKey(blank=True, db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='rebuild',
            name='tenant',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='rebuilt',
            name='system',
            field=audit.fields.TenantForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.system'),
        ),
        migrations.AddField(
            model_name='rebuilt',
            name='tenant',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='rebuiltmember',
            name='tenant',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddField(
            model_name='replay',
            name='system',
            field=audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.system'),
        ),
        migrations.AddField(
            model_name='replay',
            name='tenant',
            field=models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant'),
        ),
        migrations.AddConstraint(
            model_name='rebuild',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['compared', 'emptying', 'folding'])), name='provisioning_rebuild_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='rebuild',
            constraint=models.UniqueConstraint(fields=('tenant',), name='provisioning_rebuild_one_per_tenant'),
        ),
        migrations.AddConstraint(
            model_name='rebuild',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('compared_at__isnull', True), ('differing__isnull', True), ('equal__isnull', True)), models.Q(('compared_at__isnull', False), ('differing__isnull', False), ('equal__isnull', False)), _connector='OR'), name='provisioning_rebuild_result_is_whole'),
        ),
        migrations.AddConstraint(
            model_name='rebuilt',
            constraint=models.UniqueConstraint(fields=('tenant', 'resource_id'), name='provisioning_rebuilt_once'),
        ),
        migrations.AddIndex(
            model_name='rebuiltmember',
            index=models.Index(fields=['tenant', 'member_ref'], name='provisioning_rebuilt_is_in'),
        ),
        migrations.AddConstraint(
            model_name='rebuiltmember',
            constraint=models.UniqueConstraint(fields=('tenant', 'group_ref', 'member_ref'), name='provisioning_rebuilt_member_once'),
        ),
        migrations.AddIndex(
            model_name='replay',
            index=models.Index(fields=['tenant', 'state', 'made_at'], name='provisioning_replay_by_state'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['exchange', 'resource', 'range', 'parked'])), name='provisioning_replay_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['done', 'running', 'stopped'])), name='provisioning_replay_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='provisioning_replay_says_why'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('state', 'running')), models.Q(models.Q(('state', 'running'), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='provisioning_replay_end_has_its_time'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('first_id__lte', models.F('last_id'))), name='provisioning_replay_ends_after_it_begins'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'resource'), _negated=True), ('resource_id__isnull', False), _connector='OR'), name='provisioning_replay_names_its_resource'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'range'), _negated=True), ('system__isnull', False), _connector='OR'), name='provisioning_replay_range_has_a_system'),
        ),
        Guard("Replay", "Rebuild", "Rebuilt", "RebuiltMember"),
    ]
