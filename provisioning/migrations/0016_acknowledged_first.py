import audit.fields
import audit.keys
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

from audit.guards import Guard

# How long somebody has waited, over all tenants: for a probe, which serves none of them and learns nothing else.
OLDEST = """
CREATE FUNCTION provisioning_oldest_received() RETURNS timestamptz LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  before text := current_setting('rollcall.tenant', true);
  one uuid;
  of_one timestamptz;
  oldest timestamptz;
BEGIN
  FOR one IN SELECT id FROM accounts_tenant LOOP
    PERFORM set_config('rollcall.tenant', one::text, true);
    -- What stands behind a parked one waits for a person, and has a finding of its own.
    SELECT min(r.received_at) INTO of_one FROM provisioning_received r
      WHERE r.tenant_id = one AND r.state = 'waiting' AND NOT EXISTS (
        SELECT FROM provisioning_received p WHERE p.tenant_id = one AND p.system_id = r.system_id
          AND p.lane = r.lane AND p.state = 'parked');
    oldest := least(oldest, of_one);
  END LOOP;
  PERFORM set_config('rollcall.tenant', coalesce(before, ''), true);
  RETURN oldest;
END $body$;
"""
UNDO = "DROP FUNCTION provisioning_oldest_received();"


class Migration(migrations.Migration):
    """What is acknowledged before it is applied is a row first."""

    dependencies = [
        ('accounts', '0008_acknowledged_not_applied'),
        ('provisioning', '0015_feeds_are_followed'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='HistoricalReceived',
            fields=[
                ('cause_id', models.BigIntegerField(db_index=True, null=True)),
                ('id', models.UUIDField(db_index=True, default=audit.keys.uuid7, editable=False)),
                ('token_id', models.UUIDField()),
                ('source', models.CharField(choices=[('respond-async', 'a request that asked to be answered later'), ('feed', 'a feed that we listen to')], default='respond-async', max_length=16)),
                ('method', models.CharField(max_length=8)),
                ('path', models.CharField(max_length=400)),
                ('resource_type', models.CharField(max_length=24)),
                ('resource_id', models.UUIDField(blank=True, null=True)),
                ('lane', models.CharField(max_length=64)),
                ('reduces', models.BooleanField(default=False)),
                ('key', models.CharField(blank=True, default='', max_length=64)),
                ('request_digest', models.CharField(max_length=64)),
                ('request_bytes', models.PositiveIntegerField(default=0)),
                ('if_match', models.TextField(blank=True, null=True)),
                ('base', models.CharField(max_length=400)),
                ('remote', models.CharField(blank=True, default='', max_length=64)),
                ('received_at', models.DateTimeField(db_default=audit.fields.ClockTimestamp(), editable=False)),
                ('state', models.CharField(choices=[('waiting', 'received, not yet applied'), ('applied', 'applied'), ('parked', 'parked'), ('given_up', 'given up')], default='waiting', max_length=16)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('next_try_at', models.DateTimeField(db_default=audit.fields.ClockTimestamp())),
                ('overtaken_by', models.UUIDField(blank=True, null=True)),
                ('is_overtaken_wholly', models.BooleanField(default=False)),
                ('error', models.CharField(blank=True, default='', max_length=400)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_change_reason', models.TextField(null=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('system', audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.system')),
                ('tenant', models.ForeignKey(blank=True, db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.tenant')),
            ],
            options={
                'verbose_name': 'historical received',
                'verbose_name_plural': 'historical receiveds',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Received',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('token_id', models.UUIDField()),
                ('source', models.CharField(choices=[('respond-async', 'a request that asked to be answered later'), ('feed', 'a feed that we listen to')], default='respond-async', max_length=16)),
                ('method', models.CharField(max_length=8)),
                ('path', models.CharField(max_length=400)),
                ('resource_type', models.CharField(max_length=24)),
                ('resource_id', models.UUIDField(blank=True, null=True)),
                ('lane', models.CharField(max_length=64)),
                ('reduces', models.BooleanField(default=False)),
                ('sealed', models.TextField(blank=True, default='')),
                ('key', models.CharField(blank=True, default='', max_length=64)),
                ('request_digest', models.CharField(max_length=64)),
                ('request_bytes', models.PositiveIntegerField(default=0)),
                ('if_match', models.TextField(blank=True, null=True)),
                ('base', models.CharField(max_length=400)),
                ('remote', models.CharField(blank=True, default='', max_length=64)),
                ('received_at', models.DateTimeField(db_default=audit.fields.ClockTimestamp(), editable=False)),
                ('state', models.CharField(choices=[('waiting', 'received, not yet applied'), ('applied', 'applied'), ('parked', 'parked'), ('given_up', 'given up')], default='waiting', max_length=16)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('next_try_at', models.DateTimeField(db_default=audit.fields.ClockTimestamp())),
                ('overtaken_by', models.UUIDField(blank=True, null=True)),
                ('is_overtaken_wholly', models.BooleanField(default=False)),
                ('error', models.CharField(blank=True, default='', max_length=400)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('system', audit.fields.TenantForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.system')),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'ordering': ('received_at', 'id'),
                'abstract': False,
                'default_permissions': (),
                'indexes': [models.Index(models.F('tenant'), models.OrderBy(models.F('reduces'), descending=True), models.F('received_at'), models.F('id'), condition=models.Q(('state', 'waiting')), name='provisioning_received_next'), models.Index(condition=models.Q(('state__in', ['parked', 'waiting'])), fields=['tenant', 'system', 'lane', 'received_at', 'id'], name='provisioning_received_lane')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['applied', 'given_up', 'parked', 'waiting'])), name='provisioning_received_state_is_known'), models.CheckConstraint(condition=models.Q(('source__in', ['respond-async', 'feed'])), name='provisioning_received_source_is_known'), models.CheckConstraint(condition=models.Q(('lane', ''), _negated=True), name='provisioning_received_has_a_lane'), models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', False), ('sealed', ''), ('state__in', ['applied', 'given_up'])), models.Q(models.Q(('state__in', ['applied', 'given_up']), _negated=True), ('ended_at__isnull', True)), _connector='OR'), name='provisioning_received_end_has_its_time_and_no_body'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'parked'), _negated=True), models.Q(('error', ''), _negated=True), _connector='OR'), name='provisioning_received_parked_says_why'), models.CheckConstraint(condition=models.Q(('is_overtaken_wholly', False), ('overtaken_by__isnull', False), _connector='OR'), name='provisioning_received_overtaken_names_by_what'), models.UniqueConstraint(condition=models.Q(('state__in', ['parked', 'waiting']), models.Q(('key', ''), _negated=True)), fields=('tenant', 'system', 'key'), name='provisioning_received_key_once')],
            },
        ),
        Guard("Received"),
        migrations.RunSQL(OLDEST, UNDO),
    ]
