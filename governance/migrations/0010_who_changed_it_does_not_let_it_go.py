from django.db import migrations

# A plan that the brake stopped is let go by people who did not touch what stopped it: its system's connection, token,
# policy and rules, or who has which role, within 30 days. Who merely administers the system, and changed nothing, may.
BARRED = """
CREATE OR REPLACE FUNCTION governance_barred(question governance_approval) RETURNS uuid[] LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $body$
  SELECT coalesce(array_agg(DISTINCT i ORDER BY i), '{{}}') FROM (
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
    UNION ALL
    SELECT s.identity_id FROM accounts_systemadministrator s
      WHERE s.system_id = question.system_id AND s.tenant_id = question.tenant_id
        AND ((s.because = 'administers' AND s.until IS NULL)
             OR coalesce(s.until, s.since) > clock_timestamp() - interval '30 days')
{configured}  ) AS everybody (i)
$body$;
"""
CONFIGURED = """    UNION ALL
    SELECT s.identity_id FROM provisioning_plan p
      JOIN accounts_systemadministrator s ON s.system_id = p.system_id AND s.tenant_id = p.tenant_id
      WHERE p.id = question.plan_id AND p.tenant_id = question.tenant_id AND p.state = 'tripped'
        AND coalesce(s.until, s.since) > clock_timestamp() - interval '30 days'
    UNION ALL
    SELECT by.identity_id FROM provisioning_plan p
      JOIN accounts_role r ON r.tenant_id = p.tenant_id OR r.tenant_id IS NULL
      CROSS JOIN LATERAL (VALUES (r.asked_by_id), (r.granted_by_id)) AS by (identity_id)
      WHERE p.id = question.plan_id AND p.tenant_id = question.tenant_id AND p.state = 'tripped'
        AND r.since > clock_timestamp() - interval '30 days' AND by.identity_id IS NOT NULL
"""


class Migration(migrations.Migration):
    """Who changed what a stopped plan was judged by does not let it go."""

    dependencies = [
        ("accounts", "0014_a_sweep_says_that_it_looked"),
        ("governance", "0009_what_was_measured_is_certified"),
        ("provisioning", "0027_files_are_taken"),
    ]

    operations = [migrations.RunSQL(BARRED.format(configured=CONFIGURED), BARRED.format(configured=""))]
