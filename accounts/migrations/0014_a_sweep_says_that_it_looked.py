import django.db.models.deletion
from django.db import migrations, models

import audit.keys
from audit.guards import Guard


class Migration(migrations.Migration):
    """Each sweep says when it last looked at everything: that nothing was found counts only then."""

    dependencies = [
        ('accounts', '0013_a_night_without_a_certificate'),
    ]

    operations = [
        migrations.CreateModel(
            name='Sweep',
            fields=[
                ('id', models.UUIDField(default=audit.keys.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(choices=[('expiry', 'the sweep of expiries'), ('watch', 'the sweep that looks whether all is read and applied')], max_length=16)),
                ('done_at', models.DateTimeField()),
                ('tenant', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant')),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('name__in', ['expiry', 'watch'])), name='accounts_sweep_name_is_known'), models.UniqueConstraint(fields=('tenant', 'name'), name='accounts_sweep_once')],
            },
        ),
        Guard("Sweep"),
    ]
