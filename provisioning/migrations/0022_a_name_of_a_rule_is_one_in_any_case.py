from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    """Two rules for one attribute, spelled otherwise, would be a tie that nobody could decide."""

    dependencies = [
        ('provisioning', '0021_why_a_change_is_wanted'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='fieldauthority',
            name='provisioning_authority_once',
        ),
        migrations.AddConstraint(
            model_name='fieldauthority',
            constraint=models.UniqueConstraint(models.F('tenant'), models.F('system'), models.F('resource_type'), Lower('field'), models.F('direction'), condition=models.Q(('ended_at__isnull', True)), name='provisioning_authority_once', nulls_distinct=False),
        ),
    ]
