"""Nouns of the ground floor: the cause of every write, and the journal of what was decided."""

from functools import cache
from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import ClockTimestamp, CurrentTransaction
from audit.keys import uuid7


class Rights(models.TextChoices):
    """What the application's database role may do with a table; `audit.guards` turns it into grants."""

    READ = "read", "SELECT"
    EVIDENCE = "evidence", "SELECT, INSERT"
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
    untracked: ClassVar = "it is the evidence; append-only"

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

    class Meta:
        default_permissions = ()
        ordering = ("-id",)
        indexes = (models.Index(fields=["tenant_id", "id"], name="audit_cause_by_tenant"),)
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

    class Meta:
        abstract = True


class JournalEntry(models.Model):
    """Why something was done or refused and who decided, in one sentence. Append-only, partitioned by month."""

    rights: ClassVar = Rights.EVIDENCE
    untracked: ClassVar = "it is the evidence; append-only"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True, blank=True)
    cause_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    event = models.CharField(max_length=64)
    sentence = models.TextField()
    facts = models.JSONField(default=dict, blank=True)

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
    untracked: ClassVar = "it is the evidence; append-only"

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField(null=True, blank=True)
    entry_id = models.UUIDField()
    kind = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=64)
    label = models.CharField(max_length=400)

    class Meta:
        default_permissions = ()
        indexes = (models.Index(fields=["tenant_id", "kind", "subject_id", "entry_id"], name="audit_subject_look_up"),)

    def __str__(self) -> str:
        return self.label


def tracked(model: type[models.Model]) -> bool:
    """Whether the model's changes are kept in a history table."""
    return hasattr(model._meta, "simple_history_manager_attribute")


@cache
def history_of(model: type[models.Model]) -> Any:
    """The history model of a tracked model; asked for once, since the attribute makes a manager class each time."""
    return getattr(model, model._meta.simple_history_manager_attribute).model  # type: ignore[attr-defined]
