from django.db import migrations

from audit.guards import InstallFunctions

# Who may answer depends on roles, on who administers a system, and on exceptions. What has ended stays ended. The
# application lets a role begin and an administration end when it happens (give or take ten minutes of slow work), so
# that nobody is made old enough to answer, or free of what they administered. Without a second person it gives a role
# to the first two administrators alone, and makes no exception. Tenants made to be tried are loaded with a past, and
# what a tenant was made for never changes.
RULES = """
CREATE FUNCTION accounts_role_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.until IS NOT NULL AND OLD.until <= clock_timestamp() AND NEW.until IS DISTINCT FROM OLD.until THEN
      RAISE EXCEPTION 'a role that has ended stays ended' USING ERRCODE = 'RC026';
    END IF;
    IF OLD.until IS NOT NULL AND (NEW.until IS NULL OR NEW.until > OLD.until) THEN
      RAISE EXCEPTION 'a role never lasts longer than was granted' USING ERRCODE = 'RC026';
    END IF;
    RETURN NEW;
  END IF;
  IF audit_owns(TG_RELID) OR EXISTS (
       SELECT 1 FROM accounts_tenant WHERE id = NEW.tenant_id AND kind IN ('demo', 'sandbox')) THEN
    RETURN NEW;
  END IF;
  IF NEW.since < clock_timestamp() - interval '10 minutes' THEN
    RAISE EXCEPTION 'a role begins when it is given' USING ERRCODE = 'RC027';
  END IF;
  IF NEW.made_by_setup THEN
    -- One at a time, so that two at once do not both find room.
    PERFORM pg_advisory_xact_lock(hashtext('accounts_role_rules'));
    IF NEW.tenant_id IS NOT NULL OR NEW.name <> 'administrator' OR (
         SELECT count(DISTINCT u.identity_id) FROM accounts_role r JOIN accounts_user u ON u.id = r.user_id
         WHERE r.name = 'administrator' AND r.tenant_id IS NULL AND u.is_active
           AND (r.until IS NULL OR r.until > clock_timestamp())) >= 2 THEN
      RAISE EXCEPTION 'without a second person a role is given to the first two administrators alone'
        USING ERRCODE = 'RC028';
    END IF;
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER accounts_role_rules BEFORE INSERT OR UPDATE ON accounts_role
  FOR EACH ROW EXECUTE FUNCTION accounts_role_rules();

CREATE FUNCTION accounts_exception_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.ended_at IS NOT NULL AND (NEW.ended_at IS NULL OR NEW.ended_at > OLD.ended_at) THEN
      RAISE EXCEPTION 'an exception that has ended stays ended' USING ERRCODE = 'RC029';
    END IF;
    RETURN NEW;
  END IF;
  IF NEW.made_by_setup AND NOT audit_owns(TG_RELID) AND NOT EXISTS (
       SELECT 1 FROM accounts_tenant WHERE id = NEW.tenant_id AND kind IN ('demo', 'sandbox')) THEN
    RAISE EXCEPTION 'an exception is asked for by one person and approved by another' USING ERRCODE = 'RC028';
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER accounts_exception_rules BEFORE INSERT OR UPDATE ON accounts_policyexception
  FOR EACH ROW EXECUTE FUNCTION accounts_exception_rules();

CREATE FUNCTION accounts_administrator_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF OLD.until IS NOT NULL AND NEW.until IS DISTINCT FROM OLD.until THEN
    RAISE EXCEPTION 'when somebody stopped administering a system never changes' USING ERRCODE = 'RC030';
  END IF;
  IF NEW.until < clock_timestamp() - interval '10 minutes' AND NEW.until IS DISTINCT FROM OLD.until
     AND NOT audit_owns(TG_RELID) THEN
    RAISE EXCEPTION 'whoever administers a system stops when it happens, not earlier' USING ERRCODE = 'RC030';
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER accounts_administrator_rules BEFORE UPDATE ON accounts_systemadministrator
  FOR EACH ROW EXECUTE FUNCTION accounts_administrator_rules();
"""

UNDO = """
DROP TRIGGER accounts_role_rules ON accounts_role; DROP FUNCTION accounts_role_rules();
DROP TRIGGER accounts_exception_rules ON accounts_policyexception; DROP FUNCTION accounts_exception_rules();
DROP TRIGGER accounts_administrator_rules ON accounts_systemadministrator; DROP FUNCTION accounts_administrator_rules();
"""


class Migration(migrations.Migration):
    """Roles, exceptions and administrations are what they were when they began, and end once."""

    dependencies = [("accounts", "0003_no_side_door"), ("audit", "0003_months_ahead")]

    operations = [InstallFunctions(), migrations.RunSQL(RULES, UNDO)]
