"""Nouns of the ground floor: the cause of every write, and the journal of what was decided."""

from functools import cache
from typing import Any, ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import ClockTimestamp, CurrentTransaction, salt
from audit.keys import uuid7


class Rights(models.TextChoices):
    """What the application's database role may do with a table; `audit.guards` turns it into grants."""

    READ = "read", "SELECT"
    EVIDENCE = "evidence", "SELECT, INSERT"
    ERASURE = "erasure", "SELECT"
    NOUN = "noun", "SELECT, INSERT, UPDATE"
    BOUNDED = "bounded", "SELECT, INSERT, UPDATE, DELETE"


class CauseKind(models.TextChoices):
    """By what a write came about."""

    SETUP = "setup", _("setup")
    MIGRATION = "migration", _("migration")
    COMMAND = "command", _("command")
    PAGE = "page", _("page")
    API = "api", _("API")
    EXCHANGE = "exchange", _("exchange")
    TASK = "task", _("task")
    SHELL = "shell", _("shell")
    SIGN_IN = "sign_in", _("sign-in")
    TEST = "test", _("test")


class Cause(models.Model):
    """Who acts, by what, and why: one row for each transaction that writes; the root of every timeline.

    `xid` is the transaction that made the row. The history triggers accept a cause only in that transaction, so
    a stale identifier kept in a session excuses nothing.
    """

    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("INSERT",)
    untracked: ClassVar = "it is the evidence; append-only"
    personal: ClassVar = ("actor", "subject", "reason")

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField(null=True, blank=True)
    xid = models.BigIntegerField(db_default=CurrentTransaction(), editable=False)
    kind = models.CharField(max_length=16, choices=CauseKind.choices)
    actor = models.CharField(max_length=200)
    user_id = models.UUIDField(null=True, blank=True)
    identity_id = models.UUIDField(null=True, blank=True)
    subject = models.CharField(max_length=200, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    parent_id = models.BigIntegerField(null=True, blank=True)
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    salt = salt()

    class Meta:
        default_permissions = ()
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["tenant_id", "id"], name="audit_cause_by_tenant"),
            # What is not sealed yet (`audit.sealing`).
            models.Index(fields=["tenant_id", "xid"], name="audit_cause_by_transaction"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(kind__in=CauseKind.values), name="audit_cause_kind_is_known"),
            models.CheckConstraint(condition=~models.Q(actor=""), name="audit_cause_names_its_actor"),
        )

    def __str__(self) -> str:
        return f"{self.actor} ({self.kind})"


class Caused(models.Model):
    """Base of every history row: the cause that wrote it. No foreign key: history outlives and outgrows."""

    rights: ClassVar = Rights.READ
    cause_id = models.BigIntegerField(null=True, db_index=True)
    salt = salt()

    class Meta:
        abstract = True


class JournalEntry(models.Model):
    """Why something was done or refused and who decided, in one sentence. Append-only, partitioned by month."""

    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("INSERT",)
    untracked: ClassVar = "it is the evidence; append-only"
    personal: ClassVar = ("sentence", "facts")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True, blank=True)
    cause_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    event = models.CharField(max_length=64)
    sentence = models.TextField()
    facts = models.JSONField(default=dict, blank=True)
    salt = salt()

    class Meta:
        default_permissions = ()
        verbose_name_plural = "journal entries"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["tenant_id", "id"], name="audit_journal_by_tenant"),
            # What one cause did: the page of an exchange, the timeline of an account.
            models.Index(fields=["cause_id"], name="audit_journal_by_cause"),
        )

    def __str__(self) -> str:
        return self.sentence


class JournalSubject(models.Model):
    """One thing that a journal entry speaks of: a word for its type, its id, and its label as it was then."""

    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("INSERT",)
    untracked: ClassVar = "it is the evidence; append-only"
    personal: ClassVar = ("label",)

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField(null=True, blank=True)
    entry_id = models.UUIDField()
    kind = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    label = models.CharField(max_length=400)
    salt = salt()

    class Meta:
        default_permissions = ()
        indexes = (
            models.Index(fields=["tenant_id", "kind", "subject_id", "entry_id"], name="audit_subject_look_up"),
            # Rows lie as their entries were made, so that an index of a few pages finds those of a range.
            BrinIndex(fields=["entry_id"], name="audit_subject_by_entry", pages_per_range=32, autosummarize=True),
        )

    def __str__(self) -> str:
        return self.label


class Seal(models.Model):
    """What one batch of transactions wrote, as a signed digest. Each names the one before it: a chain for each tenant.

    It covers every cause of the tenant whose `id` is above `after_id` and whose transaction has a number from `from_xid`
    to before `to_xid`, and all rows that name these causes. `statement` is what was signed, letter by letter; the other
    columns repeat it, for queries. `leaves` are key and digest of each row, table by table in the order of `shape`, so
    that a row that differs can be named. `audit.sealing` is its only writer.
    """

    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("SELECT",)
    untracked: ClassVar = "it is the evidence of the evidence; append-only"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True, blank=True)
    number = models.PositiveBigIntegerField()
    from_xid = models.BigIntegerField()
    to_xid = models.BigIntegerField()
    after_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    rows = models.PositiveBigIntegerField()
    root = models.CharField(max_length=64)
    shape = models.TextField()
    leaves = models.BinaryField()
    statement = models.TextField()
    signature = models.BinaryField()
    key_id = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=["tenant_id", "number"], name="audit_seal_number_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=models.Q(from_xid__lt=models.F("to_xid"), rows__gte=1), name="audit_seal_covers_something"
            ),
        )

    def __str__(self) -> str:
        return f"seal {self.number}"


class ErasedValue(models.Model):
    """That the personal columns of one sealed row were erased, and the digest that stands for them in its leaf.

    The row's salt went with them, so that the digest tells nothing of what they held. Written by `audit.erasing` alone,
    under the eraser's role; the application reads it.
    """

    rights: ClassVar = Rights.ERASURE
    for_eraser: ClassVar = ("INSERT", "SELECT")
    untracked: ClassVar = "it is the evidence of an erasure; append-only"
    personal: ClassVar = ()

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    cause_id = models.BigIntegerField()
    table_name = models.CharField(max_length=63)
    row_key = models.CharField(max_length=36)
    digest = models.CharField(max_length=64)
    salt = salt()

    class Meta:
        default_permissions = ()
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["tenant_id", "table_name", "row_key"], name="audit_erased_value_once"),
        )

    def __str__(self) -> str:
        return f"{self.table_name} {self.row_key}"


class Archived(models.Model):
    """Rows of one seal and one table that were taken out of the database, after a file that verifies had them.

    `keys` are their keys in order, as in the seal's list of leaves. Written by `audit.archiving` alone, under the eraser's
    role; the application reads it.
    """

    rights: ClassVar = Rights.ERASURE
    for_eraser: ClassVar = ("INSERT", "SELECT")
    untracked: ClassVar = "it is the evidence of an archive; append-only"
    personal: ClassVar = ()

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    cause_id = models.BigIntegerField()
    archive_id = models.UUIDField()
    number = models.PositiveBigIntegerField()
    table_name = models.CharField(max_length=63)
    keys = models.BinaryField()
    salt = salt()

    class Meta:
        default_permissions = ()
        ordering = ("number", "id")
        indexes = (models.Index(fields=["tenant_id", "number"], name="audit_archived_by_seal"),)

    def __str__(self) -> str:
        return f"{self.table_name} of seal {self.number}"


class Witnessed(models.Model):
    """A seal that stands in the witness, outside of the database. Where nobody says so, it is written there once more."""

    rights: ClassVar = Rights.EVIDENCE
    untracked: ClassVar = "it is said by what writes to the witness, and proves nothing; append-only"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True, blank=True)
    number = models.PositiveBigIntegerField()
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=["tenant_id", "number"], name="audit_witnessed_number_once", nulls_distinct=False
            ),
        )

    def __str__(self) -> str:
        return f"seal {self.number}, witnessed"


def tracked(model: type[models.Model]) -> bool:
    """Whether the model's changes are kept in a history table."""
    return hasattr(model._meta, "simple_history_manager_attribute")


@cache
def history_of(model: type[models.Model]) -> Any:
    """The history model of a tracked model; asked for once, since the attribute makes a manager class each time."""
    return getattr(model, model._meta.simple_history_manager_attribute).model  # type: ignore[attr-defined]


def is_history(model: type[models.Model]) -> bool:
    """Whether the model is the history of another."""
    return model._meta.model_name is not None and any(f.name == "history_id" for f in model._meta.local_fields)


def personal_columns(model: type[models.Model]) -> set[str]:
    """The columns behind the salted digest. Raises `FieldDoesNotExist` for a name that is no field."""
    named: Any = getattr(model, "instance_type", model)
    columns = {str(named._meta.get_field(name).column) for name in getattr(named, "personal", ())}
    kept = {f.column for f in model._meta.local_fields}
    return (columns | ({"history_change_reason"} if is_history(model) else set())) & kept


def is_global(model: type[models.Model]) -> bool:
    """Whether the model, or that of which it is the history, says that it belongs to no tenant."""
    return bool(getattr(getattr(model, "instance_type", model), "global_because", None))
