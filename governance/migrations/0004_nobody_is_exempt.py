from django.db import migrations

# What a question asks never changes, and who may not answer it only grows. An answer is compared with everybody who is
# barred at that instant, not only with those who were when it was asked: an owner who was offered the account since,
# an administrator who repeated the wish since. A permit is bound to the subject of its question.
RULES = """
CREATE FUNCTION governance_barred(question governance_approval) RETURNS uuid[] LANGUAGE sql STABLE
SET search_path = pg_catalog, public AS $body$
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
  ) AS everybody (i)
$body$;

CREATE FUNCTION governance_approval_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.barred := governance_barred(NEW);
    IF NEW.state <> 'open' THEN
      RAISE EXCEPTION 'a question begins open' USING ERRCODE = 'RC022';
    END IF;
    RETURN NEW;
  END IF;
  IF ROW(NEW.kind, NEW.plan_id, NEW.plan_digest, NEW.account_id, NEW.user_id, NEW.role_name, NEW.review_id,
         NEW.lasts_until, NEW.needs, NEW.asked_at, NEW.asked_by, NEW.until)
     IS DISTINCT FROM ROW(OLD.kind, OLD.plan_id, OLD.plan_digest, OLD.account_id, OLD.user_id, OLD.role_name,
         OLD.review_id, OLD.lasts_until, OLD.needs, OLD.asked_at, OLD.asked_by, OLD.until)
     OR NOT (OLD.barred <@ NEW.barred) THEN
    RAISE EXCEPTION 'what the question % asks, of whom and until when never changes', OLD.id USING ERRCODE = 'RC023';
  END IF;
  IF OLD.state <> 'open' AND NEW.state <> OLD.state THEN
    RAISE EXCEPTION 'the question % is answered', OLD.id USING ERRCODE = 'RC024';
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER governance_approval_rules BEFORE INSERT OR UPDATE ON governance_approval
  FOR EACH ROW EXECUTE FUNCTION governance_approval_rules();

CREATE OR REPLACE FUNCTION governance_answer_copies() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
DECLARE
  question governance_approval%ROWTYPE;
BEGIN
  SELECT * INTO question FROM governance_approval a
    WHERE a.id = NEW.approval_id AND a.tenant_id = NEW.tenant_id AND a.state = 'open' AND a.until > clock_timestamp();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the question % is not open', NEW.approval_id USING ERRCODE = 'RC020';
  END IF;
  NEW.asked_at := question.asked_at;
  NEW.barred := governance_barred(question);
  SELECT u.identity_id INTO NEW.identity_id FROM accounts_user u WHERE u.id = NEW.user_id;
  SELECT min(r.since) INTO NEW.role_since FROM accounts_role r JOIN accounts_user u ON u.id = r.user_id
    WHERE u.identity_id = NEW.identity_id AND u.is_active
      AND (r.tenant_id = NEW.tenant_id OR r.tenant_id IS NULL)
      AND (r.name = 'security' OR (r.name = 'administrator' AND question.kind = 'role'))
      AND (r.until IS NULL OR r.until > clock_timestamp());
  RETURN NEW;
END $body$;

CREATE OR REPLACE FUNCTION governance_permit_is_answered() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
DECLARE
  question governance_approval%ROWTYPE;
  yes uuid[];
BEGIN
  IF NEW.approval_id IS NULL THEN
    RETURN NEW;
  END IF;
  SELECT * INTO question FROM governance_approval
    WHERE id = NEW.approval_id AND tenant_id = NEW.tenant_id AND state IN ('open', 'approved');
  SELECT coalesce(array_agg(identity_id), '{}') INTO yes FROM governance_answer
    WHERE approval_id = NEW.approval_id AND tenant_id = NEW.tenant_id AND is_yes;
  IF question.id IS NULL OR NOT (NEW.answered_by <@ yes)
     OR (SELECT count(DISTINCT i) FROM unnest(NEW.answered_by) AS i) < question.needs
     OR NOT (governance_barred(question) <@ NEW.barred)
     OR EXISTS (SELECT 1 FROM governance_answer WHERE approval_id = NEW.approval_id AND NOT is_yes) THEN
    RAISE EXCEPTION 'the question % has not been answered so', NEW.approval_id USING ERRCODE = 'RC021';
  END IF;
  IF NOT (CASE NEW.act
       WHEN 'reactivate' THEN question.kind = 'reactivation' AND question.account_id = NEW.account_id
         AND EXISTS (SELECT 1 FROM provisioning_plan p WHERE p.id = question.plan_id AND p.tenant_id = NEW.tenant_id
                       AND p.account_id = NEW.account_id AND p.epoch = NEW.epoch AND p.digest = question.plan_digest)
       ELSE question.kind = 'plan' AND question.plan_id = NEW.plan_id AND question.plan_digest = NEW.plan_hash END) THEN
    RAISE EXCEPTION 'the question % was about something else', NEW.approval_id USING ERRCODE = 'RC025';
  END IF;
  RETURN NEW;
END $body$;
"""

UNDO = """
DROP TRIGGER governance_approval_rules ON governance_approval; DROP FUNCTION governance_approval_rules();
CREATE OR REPLACE FUNCTION governance_answer_copies() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
BEGIN
  SELECT a.barred, a.asked_at INTO NEW.barred, NEW.asked_at FROM governance_approval a
    WHERE a.id = NEW.approval_id AND a.tenant_id = NEW.tenant_id AND a.state = 'open' AND a.until > clock_timestamp();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the question % is not open', NEW.approval_id USING ERRCODE = 'RC020';
  END IF;
  SELECT u.identity_id INTO NEW.identity_id FROM accounts_user u WHERE u.id = NEW.user_id;
  SELECT min(r.since) INTO NEW.role_since FROM accounts_role r JOIN accounts_user u ON u.id = r.user_id
    WHERE u.identity_id = NEW.identity_id AND u.is_active AND r.tenant_id = NEW.tenant_id
      AND r.name IN ('security', 'administrator') AND (r.until IS NULL OR r.until > clock_timestamp());
  RETURN NEW;
END $body$;
CREATE OR REPLACE FUNCTION governance_permit_is_answered() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
DECLARE
  question governance_approval%ROWTYPE;
  yes uuid[];
BEGIN
  IF NEW.approval_id IS NULL THEN
    RETURN NEW;
  END IF;
  SELECT * INTO question FROM governance_approval WHERE id = NEW.approval_id AND tenant_id = NEW.tenant_id;
  SELECT coalesce(array_agg(identity_id), '{}') INTO yes FROM governance_answer
    WHERE approval_id = NEW.approval_id AND tenant_id = NEW.tenant_id AND is_yes;
  IF question.id IS NULL OR cardinality(yes) < question.needs OR NOT (NEW.answered_by <@ yes)
     OR cardinality(NEW.answered_by) < question.needs OR NOT (question.barred <@ NEW.barred)
     OR EXISTS (SELECT 1 FROM governance_answer WHERE approval_id = NEW.approval_id AND NOT is_yes) THEN
    RAISE EXCEPTION 'the question % has not been answered so', NEW.approval_id USING ERRCODE = 'RC021';
  END IF;
  RETURN NEW;
END $body$;
DROP FUNCTION governance_barred(governance_approval);
"""


class Migration(migrations.Migration):
    """What a question asks never changes, and who is barred is who is barred now."""

    dependencies = [("governance", "0003_what_a_yes_gives"), ("provisioning", "0002_guards")]

    operations = [migrations.RunSQL(RULES, UNDO)]
