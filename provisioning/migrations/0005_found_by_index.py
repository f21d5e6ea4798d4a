from django.db import migrations, models

# History tables have no indexes of their own in their models: these belong to no state of Django's.
SHADOWS = """
CREATE INDEX provisioning_shadows_named ON provisioning_historicalshadow (tenant_id, system_id, name_key);
CREATE INDEX provisioning_shadows_called ON provisioning_historicalshadow (tenant_id, system_id, external_id)
  WHERE external_id <> '';
CREATE INDEX provisioning_shadows_mailed ON provisioning_historicalshadow (tenant_id, email_key) WHERE email_key <> '';
"""
UNDO = """
DROP INDEX provisioning_shadows_named;
DROP INDEX provisioning_shadows_called;
DROP INDEX provisioning_shadows_mailed;
"""


class Migration(migrations.Migration):
    """Whose a resource was, and what was done lately, is looked up and not scanned."""

    dependencies = [("provisioning", "0004_all_addresses_are_found")]

    operations = [
        migrations.AddIndex(
            model_name='plannedchange',
            index=models.Index(condition=models.Q(('done_at__isnull', False)), fields=['tenant', 'done_at'], name='provisioning_change_done'),
        ),
        migrations.AddIndex(
            model_name='shadow',
            index=models.Index(condition=models.Q(('external_id', ''), _negated=True), fields=['tenant', 'system', 'external_id'], name='provisioning_shadow_ever'),
        ),
        migrations.RunSQL(SHADOWS, UNDO),
    ]
