from django.db import migrations

# What was hashed is what is executed, and who asked for it is never fewer: a plan that has its digest keeps it, gets no
# further change, and loses nobody who may not answer it.
RULES = """
CREATE FUNCTION provisioning_plan_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF OLD.digest <> '' AND NEW.digest <> OLD.digest THEN
    RAISE EXCEPTION 'a plan that was hashed keeps its hash' USING ERRCODE = 'RC031';
  END IF;
  IF NOT (OLD.requesters <@ NEW.requesters) THEN
    RAISE EXCEPTION 'whoever asked for a plan has asked for it' USING ERRCODE = 'RC031';
  END IF;
  IF OLD.permit_id IS NOT NULL AND NEW.permit_id IS DISTINCT FROM OLD.permit_id THEN
    RAISE EXCEPTION 'a plan keeps the permit that it was given' USING ERRCODE = 'RC031';
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER provisioning_plan_rules BEFORE UPDATE ON provisioning_plan
  FOR EACH ROW EXECUTE FUNCTION provisioning_plan_rules();

CREATE FUNCTION provisioning_change_rules() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  IF EXISTS (SELECT 1 FROM provisioning_plan WHERE id = NEW.plan_id AND tenant_id = NEW.tenant_id AND digest <> '') THEN
    RAISE EXCEPTION 'the plan % was hashed: it gets no further change', NEW.plan_id USING ERRCODE = 'RC032';
  END IF;
  RETURN NEW;
END $body$;
CREATE TRIGGER provisioning_change_rules BEFORE INSERT ON provisioning_plannedchange
  FOR EACH ROW EXECUTE FUNCTION provisioning_change_rules();
"""

UNDO = """
DROP TRIGGER provisioning_plan_rules ON provisioning_plan; DROP FUNCTION provisioning_plan_rules();
DROP TRIGGER provisioning_change_rules ON provisioning_plannedchange; DROP FUNCTION provisioning_change_rules();
"""


class Migration(migrations.Migration):
    """A plan is what was hashed, asked for by whoever asked."""

    dependencies = [("provisioning", "0005_found_by_index")]

    operations = [migrations.RunSQL(RULES, UNDO)]
