"""What systems say, as the rooms hear it: changes without a wire format; and what was written because of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from audit.keys import uuid7, uuid7_floor
from audit.models import JournalEntry, JournalSubject, history_of
from provisioning.changes import AccountChange, GroupChange, MemberStep
from provisioning.models.exchange import Exchange
from provisioning.shadows import Sender

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from django.db.models import Model

    from accounts.models.system import System

NHI = "urn:rollcall:scim:schemas:extension:nhi:1.0:User"


def a_sender(system: System, *requesters: UUID) -> Sender:
    """A system that speaks, by an exchange of its own."""
    return Sender(system=system, asked_by=system.name, exchange_id=uuid7(), requesters=frozenset(requesters))


def a_word(user_name: str = "ada", /, **values: Any) -> AccountChange:
    """A system's word about one account. The document holds what the typed fields say, as a receiver builds it."""
    document = {"userName": user_name, **values.pop("document", {})}
    extension = {name: values[key] for name, key in _EXTENSION if values.get(key)}
    if extension:
        document[NHI] = {name: str(value) for name, value in extension.items()}
    plain: dict[str, Any] = dict.fromkeys(
        ["external_id", "display_name", "active", "kind", "purpose", "environment", "expires_at", "owners"]
    )
    said = values.pop("said", {f"{NHI}:{name}" for name in extension})
    return AccountChange(
        **{
            **plain, "user_name": user_name, "employee_number": None, "email": None, "document": document,
            "said": frozenset(said), **values,
        }
    )  # fmt: skip


_EXTENSION = (("kind", "kind"), ("purpose", "purpose"), ("environment", "environment"), ("expiresAt", "expires_at"))


def a_group_word(name: str = "Staff", *steps: MemberStep, **values: Any) -> GroupChange:
    """A system's word about one group."""
    return GroupChange(
        **{
            "display_name": name, "external_id": None, "document": {"displayName": name}, "said": frozenset(),
            "member_steps": steps, **values,
        }
    )  # fmt: skip


def step(op: Any, *values: UUID) -> MemberStep:
    """One change of a group's membership."""
    return MemberStep(op=op, values=values)


def in_the_ledger(system: System, count: int, *, at: dt.datetime, intent: str = "disable", **more: Any) -> None:
    """So many reductions that the system stated, just now."""
    moment = uuid7_floor(int(at.timestamp() * 1000)).int
    Exchange.objects.bulk_create(
        Exchange(
            id=UUID(int=moment + n), tenant_id=system.tenant_id, system=system, token_id=uuid7(), cause_id=1,
            method="PATCH", path="/Users/…", intent=intent, outcome="applied", request_digest="0", status=200,
            **more,
        )
        for n in range(1, count + 1)
    )  # fmt: skip


@dataclass
class Written:
    """What has been written since: entries of the journal, and rows of history."""

    entry: UUID | None
    rows: dict[str, int]

    def entries(self) -> list[str]:
        """The events of the journal, oldest first."""
        return list(self._new().values_list("event", flat=True))

    def sentences(self) -> list[str]:
        """The sentences of the journal, oldest first."""
        return list(self._new().values_list("sentence", flat=True))

    def subjects(self, kind: str) -> set[str]:
        """The ids that the new entries speak of."""
        rows = JournalSubject.objects.filter(entry_id__in=self._new().values("id"), kind=kind)
        return set(rows.values_list("subject_id", flat=True))

    def history(self, *models: type[Model]) -> dict[str, int]:
        """How many history rows are new, by model; none is left out."""
        now = _counts(models)
        return {name: now[name] - self.rows.get(name, 0) for name in now if now[name] != self.rows.get(name, 0)}

    def _new(self) -> Any:
        found = JournalEntry.objects.order_by("id")
        return found.filter(id__gt=self.entry) if self.entry else found


def _counts(models: Iterable[type[Model]]) -> dict[str, int]:
    return {model.__name__: history_of(model).objects.count() for model in models}


def written_from_here(*models: type[Model]) -> Written:
    """Watch what is written from here on; history of these models."""
    last = JournalEntry.objects.order_by("-id").values_list("id", flat=True).first()
    return Written(entry=last, rows=_counts(models))
