"""What was measured on a day, signed: one row for each night."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models.tenant import TenantOwned
from audit.fields import salt
from audit.models import Rights


class Certificate(TenantOwned):
    """What was measured at the end of a day of the tenant. Append-only, and sealed like all evidence.

    `statement` is what was signed, letter by letter (`governance.certificates`); the other columns repeat it, for queries.
    """

    personal: ClassVar = ()
    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("SELECT",)
    untracked: ClassVar = "it is the evidence; append-only"

    # Text, as the statement has it: seals have no fixed form for a date.
    day = models.CharField(max_length=10)
    at = models.DateTimeField()
    cause_id = models.BigIntegerField()
    statement = models.TextField()
    signature = models.BinaryField()
    key_id = models.CharField(max_length=64)
    salt = salt()

    class Meta(TenantOwned.Meta):
        ordering = ("-day",)
        constraints = (
            models.UniqueConstraint(fields=["tenant", "day"], name="governance_certificate_one_a_day"),
            models.CheckConstraint(
                condition=Q(day__regex=r"^\d{4}-\d\d-\d\d$"), name="governance_certificate_day_is_a_day"
            ),
            models.CheckConstraint(
                condition=~Q(statement="") & ~Q(key_id="") & ~Q(signature=b""), name="governance_certificate_is_signed"
            ),
        )

    def __str__(self) -> str:
        return self.day
