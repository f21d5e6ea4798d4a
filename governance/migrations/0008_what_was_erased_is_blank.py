from django.db import migrations

RULES = """
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
         NEW.lasts_until, NEW.system_id, NEW.needs, NEW.asked_at, NEW.until)
     IS DISTINCT FROM ROW(OLD.kind, OLD.plan_id, OLD.plan_digest, OLD.account_id, OLD.user_id, OLD.role_name,
         OLD.review_id, OLD.lasts_until, OLD.system_id, OLD.needs, OLD.asked_at, OLD.until)
     OR NOT (OLD.barred <@ NEW.barred){asked_by} THEN
    RAISE EXCEPTION 'what the question % asks, of whom and until when never changes', OLD.id USING ERRCODE = 'RC023';
  END IF;
  IF OLD.state <> 'open' AND NEW.state <> OLD.state THEN
    RAISE EXCEPTION 'the question % is answered', OLD.id USING ERRCODE = 'RC024';
  END IF;
  RETURN NEW;
END $body$;
"""
_CHANGED = "\n     OR NEW.asked_by IS DISTINCT FROM OLD.asked_by"


class Migration(migrations.Migration):
    """The name of whoever asked may be erased, as all that tells of a person; everything else of a question stays."""

    dependencies = [
        ("audit", "0007_what_is_erased_is_recorded"),
        ("governance", "0007_salts"),
    ]

    operations = [
        migrations.RunSQL(
            RULES.format(asked_by=f"{_CHANGED} AND NOT audit_erases()"), RULES.format(asked_by=_CHANGED)
        ),
    ]
