from django.db import migrations, models


class Migration(migrations.Migration):
    """Agents have accounts as users have; roles, entitlements and applications are what a system says, and no more."""

    dependencies = [("provisioning", "0007_a_rule_ends_and_stays")]

    operations = [
        migrations.AlterField(
            model_name='exchange',
            name='resource_type',
            field=models.CharField(blank=True, default='', max_length=24),
        ),
        migrations.AlterField(
            model_name='historicalshadow',
            name='resource_type',
            field=models.CharField(max_length=24),
        ),
        migrations.AlterField(
            model_name='shadow',
            name='resource_type',
            field=models.CharField(max_length=24),
        ),
        migrations.RemoveConstraint(
            model_name='shadow',
            name='provisioning_shadow_is_of_its_type',
        ),
        migrations.AddConstraint(
            model_name='shadow',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('account__isnull', False), ('group__isnull', True), ('resource_type__in', ('User', 'Agent'))), models.Q(('account__isnull', True), ('group__isnull', False), ('resource_type', 'Group')), models.Q(('account__isnull', True), ('group__isnull', True), ('resource_type__in', ('AgenticApplication', 'Role', 'Entitlement'))), _connector='OR'), name='provisioning_shadow_is_of_its_type'),
        ),
    ]
