from django.db import migrations

from audit.guards import Guard

# What a row of accounts_account can't get wrong, whoever writes it.
WAY_BACK = """
CREATE FUNCTION accounts_account_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
DECLARE
  used integer;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.state = 'archived' AND NEW.state <> 'archived' THEN
      RAISE EXCEPTION 'an archived account stays archived' USING ERRCODE = 'RC010';
    END IF;
    IF NEW.epoch < OLD.epoch OR (OLD.cutoff_at IS NOT NULL AND (NEW.cutoff_at IS NULL OR NEW.cutoff_at < OLD.cutoff_at)) THEN
      RAISE EXCEPTION 'the epoch and the authorization cutoff never move back' USING ERRCODE = 'RC011';
    END IF;
    IF NEW.state = 'deprovisioned' AND OLD.state IN ('active', 'suspended') AND NEW.epoch <> OLD.epoch + 1 THEN
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
  IF NEW.state = 'active' AND (TG_OP = 'INSERT' OR OLD.state <> 'active') THEN
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
CREATE TRIGGER accounts_account_rules BEFORE INSERT OR UPDATE ON accounts_account
  FOR EACH ROW EXECUTE FUNCTION accounts_account_rules();

CREATE FUNCTION accounts_hold_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
BEGIN
  IF EXISTS (SELECT 1 FROM accounts_hold h JOIN accounts_account a ON a.id = h.account_id
             WHERE h.id = NEW.id AND h.released_at IS NULL AND a.state = 'active') THEN
    RAISE EXCEPTION 'account % is active under a live hold', NEW.account_id USING ERRCODE = 'RC014';
  END IF;
  RETURN NULL;
END $body$;
CREATE CONSTRAINT TRIGGER accounts_hold_rules AFTER INSERT OR UPDATE ON accounts_hold
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION accounts_hold_rules();

CREATE FUNCTION accounts_permit_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $body$
BEGIN
  IF OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at THEN
    RAISE EXCEPTION 'a used permit stays used' USING ERRCODE = 'RC016';
  END IF;
  IF ROW(NEW.act, NEW.account_id, NEW.epoch, NEW.plan_id, NEW.plan_hash, NEW.approval_id, NEW.exception_id,
         NEW.answered_by, NEW.barred)
     IS DISTINCT FROM ROW(OLD.act, OLD.account_id, OLD.epoch, OLD.plan_id, OLD.plan_hash, OLD.approval_id,
         OLD.exception_id, OLD.answered_by, OLD.barred) THEN
    RAISE EXCEPTION 'what a permit permits never changes' USING ERRCODE = 'RC017';
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER accounts_permit_rules BEFORE UPDATE ON accounts_permit
  FOR EACH ROW EXECUTE FUNCTION accounts_permit_rules();
"""

UNDO = """
DROP TRIGGER accounts_account_rules ON accounts_account; DROP FUNCTION accounts_account_rules();
DROP TRIGGER accounts_hold_rules ON accounts_hold; DROP FUNCTION accounts_hold_rules();
DROP TRIGGER accounts_permit_rules ON accounts_permit; DROP FUNCTION accounts_permit_rules();
"""


class Migration(migrations.Migration):
    """Tenant isolation and history of this floor's tables, and the rules that span rows."""

    dependencies = [("accounts", "0001_first_slice"), ("audit", "0002_guards")]

    operations = [
        Guard("Tenant", "Identity", "User", "Role", "Invitation", tenant=False),
        Guard(
            "System", "SystemAdministrator", "Account", "PolicyException", "Permit", "Group", "Membership",
            "Ownership", "Hold", "Finding",
        ),
        migrations.RunSQL(WAY_BACK, UNDO),
    ]
