from django.db import migrations, models


class Migration(migrations.Migration):
    """How long a tenant's ledger keeps what is about resources that are gone; until somebody says so, for ever."""

    dependencies = [
        ('accounts', '0010_salts'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicaltenant',
            name='ledger_months',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='tenant',
            name='ledger_months',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name='tenant',
            constraint=models.CheckConstraint(condition=models.Q(('ledger_months__isnull', True), models.Q(('ledger_months__gte', 1), ('ledger_months__lte', 1200)), _connector='OR'), name='accounts_tenant_ledger_months_is_sensible'),
        ),
    ]
