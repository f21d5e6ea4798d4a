from django.db import migrations, models


class Migration(migrations.Migration):
    """A system can take its word about `active` back, and is told of it again where the truth is another."""

    dependencies = [("provisioning", "0008_kinds_of_resources")]

    operations = [
        migrations.AddField(
            model_name='historicalshadow',
            name='took_active_back',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='shadow',
            name='took_active_back',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
