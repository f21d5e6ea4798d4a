
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_what_began_stays'),
        ('provisioning', '0006_a_plan_stays'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='fieldauthority',
            name='provisioning_authority_once',
        ),
        migrations.AddField(
            model_name='fieldauthority',
            name='ended_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='historicalfieldauthority',
            name='ended_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name='fieldauthority',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('tenant', 'system', 'resource_type', 'field', 'direction'), name='provisioning_authority_once', nulls_distinct=False),
        ),
    ]
