import django.db.models.deletion
from django.db import migrations, models

from audit.guards import Guard
from audit.keys import uuid7


class Migration(migrations.Migration):
    """What was sent and answered is kept encrypted, under a key of its subject that can be destroyed.

    The columns of JSON stay for the rows that have them: evidence is not rewritten.
    """

    dependencies = [
        ("accounts", "0006_a_membership_says_of_what"),
        ("provisioning", "0013_those_who_live_already"),
    ]

    operations = [
        migrations.CreateModel(
            name="BodyKey",
            fields=[
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                ("subject_id", models.UUIDField()),
                ("wrapped", models.BinaryField()),
                ("tenant", models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.tenant")),
            ],
            options={"abstract": False, "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("tenant", "subject_id"), name="provisioning_body_key_once")]},
        ),
        Guard("BodyKey"),
        migrations.AddField("exchange", "body", models.BinaryField(blank=True, null=True)),
        migrations.AddField("exchange", "body_key_id", models.UUIDField(blank=True, null=True)),
        migrations.AddConstraint(
            model_name="exchange",
            constraint=models.CheckConstraint(
                condition=models.Q(("body__isnull", True), ("body_key_id__isnull", False), _connector="OR"),
                name="provisioning_exchange_body_has_a_key",
            ),
        ),
    ]
