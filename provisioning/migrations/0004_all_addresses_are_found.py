from django.db import migrations, models


class Migration(migrations.Migration):
    """Whether a resource has addresses beside the one that is looked up by its key."""

    dependencies = [("provisioning", "0003_what_a_reading_says")]

    operations = [
        migrations.AddField(
            model_name='historicalshadow',
            name='more_emails',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name='shadow',
            name='more_emails',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddIndex(
            model_name='shadow',
            index=models.Index(condition=models.Q(('ended_at__isnull', True), ('more_emails', True)), fields=['tenant', 'system'], name='provisioning_shadow_emails'),
        ),
    ]
