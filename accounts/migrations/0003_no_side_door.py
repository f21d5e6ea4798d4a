from importlib import import_module

from django.db import migrations

# The epoch counts endings and nothing else, so that a permit of an earlier ending is worth nothing after the next,
# whatever state the account ended from. A permit is for an ending that has happened, and an exception's permit needs
# an exception that lives.
RULES = """
CREATE OR REPLACE FUNCTION accounts_account_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  used integer;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF (OLD.state = 'archived') <> (NEW.state = 'archived') AND OLD.state <> 'deprovisioned' THEN
      RAISE EXCEPTION 'an archived account stays archived, and only an ended one is archived' USING ERRCODE = 'RC010';
    END IF;
    IF NEW.epoch < OLD.epoch OR (OLD.cutoff_at IS NOT NULL AND (NEW.cutoff_at IS NULL OR NEW.cutoff_at < OLD.cutoff_at)) THEN
      RAISE EXCEPTION 'the epoch and the authorization cutoff never move back' USING ERRCODE = 'RC011';
    END IF;
    IF NEW.epoch <> OLD.epoch AND (OLD.state = 'deprovisioned' OR NEW.state <> 'deprovisioned') THEN
      RAISE EXCEPTION 'the epoch counts endings, and nothing else' USING ERRCODE = 'RC011';
    END IF;
    IF NEW.state = 'deprovisioned' AND OLD.state <> 'deprovisioned' AND NEW.epoch <> OLD.epoch + 1
       AND NOT (OLD.state = 'pending' AND OLD.epoch = 0 AND NEW.epoch = 0 AND NOT OLD.was_active) THEN
      RAISE EXCEPTION 'ending an account begins the next epoch' USING ERRCODE = 'RC012';
    END IF;
    IF OLD.was_active AND NOT NEW.was_active THEN
      RAISE EXCEPTION 'an account that was active stays one that was' USING ERRCODE = 'RC013';
    END IF;
    IF OLD.state = 'deprovisioned' AND NEW.state IN ('active', 'pending', 'suspended')
       AND NOT (NEW.state = 'pending' AND OLD.epoch = 0 AND NOT OLD.was_active) THEN
      UPDATE accounts_permit SET used_at = clock_timestamp()
        WHERE id = NEW.permit_id AND tenant_id = NEW.tenant_id AND account_id = NEW.id AND act = 'reactivate'
          AND epoch = OLD.epoch AND used_at IS NULL AND until > clock_timestamp();
      GET DIAGNOSTICS used = ROW_COUNT;
      IF used <> 1 THEN
        RAISE EXCEPTION 'account % can come back only with an unused permit of its epoch %', NEW.id, OLD.epoch
          USING ERRCODE = 'RC003', HINT = 'reactivation is asked for and approved; no path goes around it';
      END IF;
    END IF;
  END IF;
  IF NEW.state = 'active' AND (TG_OP = 'INSERT' OR OLD.state <> 'active' OR (OLD.kind = 'person' AND NEW.kind <> 'person')) THEN
    IF EXISTS (SELECT 1 FROM accounts_hold WHERE account_id = NEW.id AND released_at IS NULL) THEN
      RAISE EXCEPTION 'account % has a live hold', NEW.id USING ERRCODE = 'RC014';
    END IF;
    IF NEW.kind <> 'person' AND NOT EXISTS (
         SELECT 1 FROM accounts_ownership WHERE account_id = NEW.id AND state = 'accepted') THEN
      RAISE EXCEPTION 'account % has no owner who accepted', NEW.id USING ERRCODE = 'RC015';
    END IF;
  END IF;
  RETURN NEW;
END $body$;

CREATE OR REPLACE FUNCTION accounts_permit_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at THEN
    RAISE EXCEPTION 'a used permit stays used' USING ERRCODE = 'RC016';
  END IF;
  IF ROW(NEW.act, NEW.account_id, NEW.epoch, NEW.plan_id, NEW.plan_hash, NEW.approval_id, NEW.exception_id,
         NEW.answered_by, NEW.barred)
     IS DISTINCT FROM ROW(OLD.act, OLD.account_id, OLD.epoch, OLD.plan_id, OLD.plan_hash, OLD.approval_id,
         OLD.exception_id, OLD.answered_by, OLD.barred) OR NEW.until > OLD.until THEN
    RAISE EXCEPTION 'what a permit permits never changes, and it never lasts longer' USING ERRCODE = 'RC017';
  END IF;
  RETURN NEW;
END $body$;

CREATE FUNCTION accounts_permit_begins() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF NEW.act = 'reactivate' AND NEW.account_id IS NOT NULL AND NEW.epoch IS NOT NULL AND NOT EXISTS (
       SELECT 1 FROM accounts_account
       WHERE id = NEW.account_id AND tenant_id = NEW.tenant_id AND epoch = NEW.epoch) THEN
    RAISE EXCEPTION 'account % is not in epoch %', NEW.account_id, NEW.epoch USING ERRCODE = 'RC018';
  END IF;
  IF NEW.approval_id IS NULL AND NEW.exception_id IS NOT NULL AND NOT EXISTS (
       SELECT 1 FROM accounts_policyexception e
       WHERE e.id = NEW.exception_id AND e.tenant_id = NEW.tenant_id AND e.kind = 'reactivation'
         AND NEW.act = 'reactivate' AND (e.account_id IS NULL OR e.account_id = NEW.account_id)
         AND e.starts_at <= clock_timestamp() AND e.until > clock_timestamp() AND NEW.until <= e.until
         AND (e.ended_at IS NULL OR e.ended_at > clock_timestamp())) THEN
    RAISE EXCEPTION 'no live exception lets account % come back', NEW.account_id USING ERRCODE = 'RC019';
  END IF;
  RETURN NULL;
END $body$;
CREATE TRIGGER accounts_permit_begins AFTER INSERT ON accounts_permit
  FOR EACH ROW EXECUTE FUNCTION accounts_permit_begins();
"""


def _before() -> str:
    """The two functions as the migration before made them, to be put back."""
    parts = import_module("accounts.migrations.0002_guards").WAY_BACK.split("CREATE FUNCTION ")
    wanted = [p.split("$body$;")[0] for p in parts if p.startswith(("accounts_account_rules", "accounts_permit_rules"))]
    return "".join(f"CREATE OR REPLACE FUNCTION {p}$body$;\n" for p in wanted)


UNDO = "DROP TRIGGER accounts_permit_begins ON accounts_permit; DROP FUNCTION accounts_permit_begins();\n" + _before()


class Migration(migrations.Migration):
    """No way around the epoch: it counts every ending, and permits belong to the ending that has happened."""

    dependencies = [("accounts", "0002_guards")]

    operations = [migrations.RunSQL(RULES, UNDO)]
