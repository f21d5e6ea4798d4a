"""A file that a system sent of itself, in pieces, until a newer one takes its place."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track
from audit.models import Rights


class FileForm(models.TextChoices):
    """How a file is written, by the words of `provisioning.connectors.file_rows`."""

    CSV = "csv", "CSV"
    NDJSON = "ndjson", "NDJSON"


class Upload(TenantOwned):
    """One file that was taken: what was signed of it, what it holds, when it came. It stays; its pieces do not."""

    personal: ClassVar = ()
    frozen: ClassVar = (
        "system", "form", "made_at", "received_at", "rows", "users", "groups", "user_pieces", "group_pieces", "size",
        "digest",
    )  # fmt: skip

    system = TenantForeignKey(System, related_name="uploads")
    form = models.CharField(max_length=16, choices=FileForm.choices)
    made_at = models.DateTimeField()
    received_at = models.DateTimeField()
    rows = models.PositiveIntegerField()
    users = models.PositiveIntegerField()
    groups = models.PositiveIntegerField()
    user_pieces = models.PositiveIntegerField()
    group_pieces = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-made_at",)
        constraints = (
            models.CheckConstraint(condition=Q(form__in=FileForm.values), name="provisioning_upload_form_is_known"),
            models.CheckConstraint(
                condition=Q(rows=F("users") + F("groups")), name="provisioning_upload_has_the_rows_that_were_signed"
            ),
            models.UniqueConstraint(fields=["tenant", "system", "made_at"], name="provisioning_upload_one_per_instant"),
        )

    def __str__(self) -> str:
        return f"file of {self.system}, {self.made_at:%Y-%m-%d %H:%M:%S}"


class UploadPiece(TenantOwned):
    """Some resources of one kind: SCIM documents, one on each line, encrypted (`provisioning.vault`)."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "bounded by the newest file of each system: removed when a newer one is taken"

    upload = TenantForeignKey(Upload, related_name="pieces")
    kind = models.CharField(max_length=16)
    number = models.PositiveIntegerField()
    ids = ArrayField(models.CharField(max_length=400))
    body = models.TextField()

    class Meta(TenantOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=["tenant", "upload", "kind", "number"], name="provisioning_piece_once"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"
