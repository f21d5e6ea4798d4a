from typing import Any

from django.db import migrations


def count(apps: Any, editor: Any) -> None:
    """What was there before is counted once; nobody writes meanwhile."""
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT id FROM accounts_tenant")
        tenants = [row[0] for row in cursor.fetchall()]
        cursor.execute("LOCK TABLE provisioning_shadow IN SHARE ROW EXCLUSIVE MODE")
        for tenant in tenants:
            # The owner too sees one tenant at a time.
            cursor.execute("SELECT set_config('rollcall.tenant', %s, true)", [str(tenant)])
            cursor.execute("DELETE FROM provisioning_shadowcount")
            cursor.execute(
                "INSERT INTO provisioning_shadowcount (id, tenant_id, system_id, resource_type, delta)"
                " SELECT gen_random_uuid(), tenant_id, system_id, resource_type, count(*) FROM provisioning_shadow"
                " WHERE ended_at IS NULL GROUP BY tenant_id, system_id, resource_type"
            )
        cursor.execute("SELECT set_config('rollcall.tenant', '', true)")


class Migration(migrations.Migration):
    """Resources that came before counting began."""

    dependencies = [("provisioning", "0012_living_are_counted")]

    operations = [migrations.RunPython(count, migrations.RunPython.noop)]
