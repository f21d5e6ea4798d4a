"""The person behind an ended account is erased: what tells of them is blanked, what proves the past stays.

Runs under the eraser's role (`audit.grants`), in one transaction for each account. Blanked are the personal columns of the
account and of all that is about it, their history, the journal's sentences and labels, and what the ledger shows of its
resources; the keys of the bodies are destroyed. States, times, ids, outcomes and who acted stay. Seals still verify.

What is not found by reference is not erased: what others wrote elsewhere, requests that were refused before there was
anybody (their bodies have the key of their day), and the sign-in of a person, whose decisions are evidence. `mentions`
counts where their names still stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connection, models
from django.db.models import Q

from accounts.models.account import Account, AccountState
from accounts.models.hold import Hold, HoldKind
from accounts.models.ownership import Ownership, OwnershipState
from accounts.retirement import retire
from audit import erasing
from audit.cause import current
from audit.grants import for_eraser
from audit.journal import Subject, record
from audit.models import JournalEntry, JournalSubject, is_global, personal_columns
from provisioning.models.erasure import Erasure
from provisioning.models.exchange import BodyKey, Exchange
from provisioning.models.plan import Plan
from provisioning.models.rebuild import Rebuilt
from provisioning.models.received import Received
from provisioning.models.replay import Replay
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN_LIVE, RECEIVED, Event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

# A name of fewer characters stands in too many texts by chance.
_TELLING = 5
_SPECIAL, _ESCAPED = re.compile(r"([%_\\])"), r"\\\1"
# What a journal entry may name, of what refers to an account.
_KINDS = ("account", "approval", "exception", "exchange", "finding", "plan", "received", "replay", "resource", "review")


class CantErase(ValueError):
    """It can't be erased now; each of `reasons` says what to do first."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass
class Found:
    """All that is about one account: keys of rows to be blanked, by table, and of keys and folds to be destroyed."""

    rows: list[tuple[type[models.Model], list[Any]]] = field(default_factory=list)
    keys: list[UUID] = field(default_factory=list)
    folds: list[UUID] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many rows of each table it would be."""
        said = {model._meta.db_table: len(keys) for model, keys in self.rows if personal_columns(model) and keys}
        return said | {table: count for table, count in self._destroyed() if count}

    def _destroyed(self) -> list[tuple[str, int]]:
        return [(BodyKey._meta.db_table, len(self.keys)), (Rebuilt._meta.db_table, len(self.folds))]


def in_the_way(*, account: Account) -> list[str]:
    """Why it can't be erased now, in words that say what to do first; empty where it can."""
    found = []
    if account.state not in {AccountState.DEPROVISIONED, AccountState.ARCHIVED}:
        found.append(f"it is {account.get_state_display()}: end it first")
    living = Shadow.objects.filter(account=account, ended_at__isnull=True)
    found += [f"{one.system} still lists it: have it deleted there first" for one in living.select_related("system")]
    if Hold.objects.filter(account=account, kind=HoldKind.SECURITY, released_at__isnull=True).exists():
        found.append("security holds it: what is being looked into stays")
    live = [OwnershipState.OFFERED, OwnershipState.ACCEPTED]
    if owned := Ownership.objects.filter(owner=account, state__in=live).count():
        found.append(f"it answers for {owned} accounts: give them other owners first")
    of_plans = Q(account=account) | Q(changes__account=account)
    if Plan.objects.filter(of_plans, state__in=sorted(PLAN_LIVE)).exists():
        found.append("a plan about it waits: have it answered first")
    resources = Shadow.objects.filter(account=account).values("pk")
    if Received.objects.filter(resource_id__in=resources).exclude(state__in=sorted(RECEIVED.final)).exists():
        found.append("something that its directory sent waits to be applied")
    return found


def find(*, account: Account) -> Found:
    """All that is about the account and tells of a person."""
    rows = erasing.about(account)
    shadows = dict(Shadow.objects.filter(account=account).values_list("pk", "name"))
    resources = list(shadows)
    names = sorted({account.user_name, account.display_name, account.email, *shadows.values()} - {""})
    of_resources = Q(resource_id__in=resources) | Q(resource_id__isnull=True, resource_label__in=names)
    exchanges = set(Exchange.objects.filter(of_resources).values_list("pk", flat=True))
    for model in (Received, Replay):
        rows[model] = set(model.objects.filter(resource_id__in=resources).values_list("pk", flat=True))
    named = {str(key) for keys in (*rows.values(), exchanges, resources) for key in keys}
    own = list(Erasure.objects.filter(account=account).values_list("cause_id", flat=True))
    entries, labels = erasing.entries_about(named, kinds=_KINDS, besides=own)
    return Found(
        rows=[
            *erasing.with_history(rows, besides=own),
            (Exchange, sorted(exchanges)),
            (JournalEntry, entries),
            (JournalSubject, labels),
        ],
        keys=list(BodyKey.objects.filter(subject_id__in=resources).values_list("pk", flat=True)),
        folds=list(Rebuilt.objects.filter(resource_id__in=resources).values_list("pk", flat=True)),
        names=[name for name in names if len(name) >= _TELLING and not name.startswith(erasing.BLANK)],
    )


def erase(*, account: Account, asked_by: str, reason: str, at: datetime) -> tuple[Erasure, list[str]]:
    """Do it, inside the tenant's scope and under the eraser's role. Returns its record, and the names that were erased.

    A second time it takes what came since, and nothing where nothing did. Raises `CantErase`, and changes nothing then.
    """
    # Whoever else writes about the account locks it first, and either comes before this or finds it archived.
    account = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
    if reasons := in_the_way(account=account):
        raise CantErase(reasons)
    found, counts = find(account=account), dict[str, int]()
    with erasing.unlocked():
        for model, keys in found.rows:
            if done := erasing.erase(model, keys):
                counts[model._meta.db_table] = done
        for gone, ids in ((BodyKey, found.keys), (Rebuilt, found.folds)):
            if ids:
                counts[gone._meta.db_table] = gone.objects.filter(pk__in=ids).delete()[0]
    # After the names: history keeps what stood there before each change.
    retire(account=account, at=at)
    row = Erasure.objects.create(
        tenant_id=account.tenant_id, account=account, cause_id=current().pk, asked_by=asked_by, reason=reason,
        counts=counts,
    )  # fmt: skip
    record(
        event=Event.ERASED,
        sentence=f"{asked_by}: what told of a person in this account was erased, {sum(counts.values())} rows. {reason}",
        subjects=[Subject("account", str(account.pk), erasing.BLANK), Subject("erasure", str(row.pk), str(row))],
        facts=counts,
    )
    return row, found.names


def mentions(names: Iterable[str]) -> dict[str, int]:
    """By table, how many rows still have one of these names in a column that can tell of a person."""
    patterns = [f"%{_SPECIAL.sub(_ESCAPED, name)}%" for name in names]
    found: dict[str, int] = {}
    if not patterns:
        return found
    for model in apps.get_models():
        columns = personal_columns(model) if for_eraser(model) else set()
        if columns and not is_global(model):
            listed = ", ".join(f'"{column}"::text' for column in sorted(columns))
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT count(*) FROM {model._meta.db_table} WHERE concat_ws(' ', {listed}) ILIKE ANY(%s)",  # noqa: S608  names of our models
                    [patterns],
                )
                (count,) = cursor.fetchone()
            if count:
                found[model._meta.db_table] = count
    return found
