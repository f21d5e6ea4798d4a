import audit.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# A question about a system's policy is not answered by those who administer it, or did of late; and what it is about
# never changes, as of every question.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION governance_barred(question governance_approval) RETURNS uuid[] LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $body$
  SELECT coalesce(array_agg(DISTINCT i ORDER BY i), '{}') FROM (
    SELECT unnest(question.barred)
    UNION ALL
    SELECT u.identity_id FROM accounts_user u WHERE u.id = question.user_id AND question.kind = 'role'
    UNION ALL
    SELECT unnest(p.requesters) FROM provisioning_plan p
      WHERE p.id = question.plan_id AND p.tenant_id = question.tenant_id
    UNION ALL
    SELECT a.identity_id FROM accounts_account a
      WHERE a.id = question.account_id AND a.tenant_id = question.tenant_id AND a.identity_id IS NOT NULL
    UNION ALL
    SELECT a.identity_id FROM accounts_ownership o
      JOIN accounts_account a ON a.id = o.owner_id AND a.tenant_id = o.tenant_id
      WHERE o.account_id = question.account_id AND o.tenant_id = question.tenant_id
        AND o.state IN ('offered', 'accepted') AND a.identity_id IS NOT NULL
    UNION ALL
    SELECT s.identity_id FROM provisioning_plan p
      JOIN accounts_systemadministrator s ON s.system_id = p.system_id AND s.tenant_id = p.tenant_id
      WHERE p.id = question.plan_id AND p.tenant_id = question.tenant_id AND question.kind = 'reactivation'
        AND p.exchange_id IS NOT NULL
        AND ((s.because = 'administers' AND s.until IS NULL)
             OR coalesce(s.until, s.since) > clock_timestamp() - interval '30 days')
%(administrators)s  ) AS everybody (i)
$body$;

CREATE OR REPLACE FUNCTION governance_approval_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.barred := governance_barred(NEW);
    IF NEW.state <> 'open' THEN
      RAISE EXCEPTION 'a question begins open' USING ERRCODE = 'RC022';
    END IF;
    RETURN NEW;
  END IF;
  IF ROW(NEW.kind, NEW.plan_id, NEW.plan_digest, NEW.account_id, NEW.user_id, NEW.role_name, NEW.review_id,
         NEW.lasts_until, %(new)sNEW.needs, NEW.asked_at, NEW.asked_by, NEW.until)
     IS DISTINCT FROM ROW(OLD.kind, OLD.plan_id, OLD.plan_digest, OLD.account_id, OLD.user_id, OLD.role_name,
         OLD.review_id, OLD.lasts_until, %(old)sOLD.needs, OLD.asked_at, OLD.asked_by, OLD.until)
     OR NOT (OLD.barred <@ NEW.barred) THEN
    RAISE EXCEPTION 'what the question %% asks, of whom and until when never changes', OLD.id USING ERRCODE = 'RC023';
  END IF;
  IF OLD.state <> 'open' AND NEW.state <> OLD.state THEN
    RAISE EXCEPTION 'the question %% is answered', OLD.id USING ERRCODE = 'RC024';
  END IF;
  RETURN NEW;
END $body$;
"""
ADMINISTRATORS = """\
    UNION ALL
    SELECT s.identity_id FROM accounts_systemadministrator s
      WHERE s.system_id = question.system_id AND s.tenant_id = question.tenant_id
        AND ((s.because = 'administers' AND s.until IS NULL)
             OR coalesce(s.until, s.since) > clock_timestamp() - interval '30 days')
"""
RULES = FUNCTIONS % {"administrators": ADMINISTRATORS, "new": "NEW.system_id, ", "old": "OLD.system_id, "}
UNDO = FUNCTIONS % {"administrators": "", "new": "", "old": ""}


class Migration(migrations.Migration):
    """People decide that a system's policy takes effect for a time."""

    dependencies = [
        ('accounts', '0004_what_began_stays'),
        ('governance', '0004_nobody_is_exempt'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='approval',
            name='governance_approval_kind_is_known',
        ),
        migrations.RemoveConstraint(
            model_name='approval',
            name='governance_approval_has_its_subject',
        ),
        migrations.AddField(
            model_name='approval',
            name='system',
            field=audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.system'),
        ),
        migrations.AddField(
            model_name='historicalapproval',
            name='system',
            field=audit.fields.TenantForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='accounts.system'),
        ),
        migrations.AlterField(
            model_name='approval',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'may an ended account come back?'), ('plan', 'may a stopped plan be executed?'), ('role', 'may somebody have a role?'), ('exception', 'may a line of a campaign stay open for a time?'), ('returns', "may a system's accounts come back without people for a time?")], max_length=16),
        ),
        migrations.AlterField(
            model_name='historicalapproval',
            name='kind',
            field=models.CharField(choices=[('reactivation', 'may an ended account come back?'), ('plan', 'may a stopped plan be executed?'), ('role', 'may somebody have a role?'), ('exception', 'may a line of a campaign stay open for a time?'), ('returns', "may a system's accounts come back without people for a time?")], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['reactivation', 'plan', 'role', 'exception', 'returns'])), name='governance_approval_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'role'), ('user__isnull', False)), models.Q(('account__isnull', False), ('kind', 'exception'), ('lasts_until__isnull', False), ('review_id__isnull', False)), models.Q(('kind', 'returns'), ('lasts_until__isnull', False), ('system__isnull', False)), models.Q(('kind__in', ['reactivation', 'plan']), ('plan_id__isnull', False)), _connector='OR'), name='governance_approval_has_its_subject'),
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open'), ('system__isnull', False)), fields=('tenant', 'system'), name='governance_approval_one_open_per_system'),
        ),
        migrations.RunSQL(RULES, UNDO),
    ]
