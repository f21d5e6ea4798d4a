import django.db.models.deletion
from django.db import migrations, models

import audit.fields
import audit.keys
from audit.guards import Guard

# A resource comes, or ends: one row says so. No writer waits for another's, as each would for one total.
COUNT = """
CREATE FUNCTION provisioning_count_shadows() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  INSERT INTO provisioning_shadowcount (id, tenant_id, system_id, resource_type, delta)
  SELECT gen_random_uuid(), tenant_id, system_id, resource_type, count(*)
  FROM new_rows WHERE ended_at IS NULL GROUP BY tenant_id, system_id, resource_type;
  RETURN NULL;
END $body$;
CREATE FUNCTION provisioning_count_shadow() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $body$
BEGIN
  INSERT INTO provisioning_shadowcount (id, tenant_id, system_id, resource_type, delta)
  VALUES (gen_random_uuid(), OLD.tenant_id, OLD.system_id, OLD.resource_type,
          CASE WHEN OLD.ended_at IS NULL THEN -1 ELSE 1 END);
  RETURN NULL;
END $body$;
CREATE TRIGGER provisioning_shadows_come AFTER INSERT ON provisioning_shadow REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION provisioning_count_shadows();
CREATE TRIGGER provisioning_shadow_ends AFTER UPDATE ON provisioning_shadow
  FOR EACH ROW WHEN ((OLD.ended_at IS NULL) <> (NEW.ended_at IS NULL)) EXECUTE FUNCTION provisioning_count_shadow();
"""
UNDO = """
DROP TRIGGER provisioning_shadows_come ON provisioning_shadow; DROP FUNCTION provisioning_count_shadows();
DROP TRIGGER provisioning_shadow_ends ON provisioning_shadow; DROP FUNCTION provisioning_count_shadow();
"""


class Migration(migrations.Migration):
    """How many resources a system has is known, and not counted for each list."""

    dependencies = [("accounts", "0004_what_began_stays"), ("provisioning", "0011_filters_are_decided_here")]

    operations = [
        migrations.CreateModel(
            name="ShadowCount",
            fields=[
                ("id", models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ("resource_type", models.CharField(max_length=24)),
                ("delta", models.BigIntegerField()),
                ("system", audit.fields.TenantForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.system")),
                ("tenant", models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.tenant")),
            ],
            options={"abstract": False, "default_permissions": ()},
        ),
        migrations.AddIndex(
            model_name="shadowcount",
            index=models.Index(fields=["tenant", "system", "resource_type"], include=("delta",), name="provisioning_shadows_counted"),
        ),
        Guard("ShadowCount"),
        migrations.RunSQL(COUNT, UNDO),
    ]
