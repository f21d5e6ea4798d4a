from django.db import migrations

from audit.guards import Guard

# Who may answer is decided by the rows themselves: an answer copies its question's barred identities and the age of
# the person's role, and a permit's answers must be answers that were really given.
ANSWERS = """
CREATE FUNCTION governance_answer_copies() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
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
CREATE TRIGGER governance_answer_copies BEFORE INSERT ON governance_answer
  FOR EACH ROW EXECUTE FUNCTION governance_answer_copies();

CREATE FUNCTION governance_permit_is_answered() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
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
CREATE TRIGGER governance_permit_is_answered BEFORE INSERT ON accounts_permit
  FOR EACH ROW EXECUTE FUNCTION governance_permit_is_answered();
"""

UNDO = """
DROP TRIGGER governance_permit_is_answered ON accounts_permit; DROP FUNCTION governance_permit_is_answered();
DROP TRIGGER governance_answer_copies ON governance_answer; DROP FUNCTION governance_answer_copies();
"""


class Migration(migrations.Migration):
    """Tenant isolation and history of this floor's tables, and who may answer."""

    dependencies = [("governance", "0001_first_slice"), ("provisioning", "0002_guards")]

    operations = [
        Guard("Approval", "Answer", "Campaign", "Review", "ReviewDecision", "Notice"),
        migrations.RunSQL(ANSWERS, UNDO),
    ]
