"""Books and tables side by side: whatever they do not agree about, in words. Needs a scope of the tenant."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from accounts.models import Account, Hold, Membership
from audit.models import Cause, CauseKind, JournalEntry, JournalSubject, history_of
from governance.models.approval import Approval
from provisioning.models import Exchange, ExchangeKey, PlannedChange, Run, Shadow
from provisioning.models.plan import Plan
from provisioning.models.snapshot import StagedMember, StagedResource
from provisioning.scim.recording import canonical, keyed_digest
from provisioning.states import PLAN
from tests.flows.drill.picture import torn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from accounts.models import System
    from tests.flows.drill.client import Books

# What ends an account and what brings it back, in the journal.
ENDED, BACK, SUSPENDED = "account.ended", "account.reactivated", "account.suspended"


def unequal(what: str, booked: Any, found: Any) -> list[str]:
    """One line where two things are not equal; of two sets or tables, only what they do not share."""
    if booked == found:
        return []
    if isinstance(booked, dict) and isinstance(found, dict):
        booked, found = (
            {key: value for key, value in one.items() if other.get(key) != value}
            for one, other in ((booked, found), (found, booked))
        )
    elif isinstance(booked, set) and isinstance(found, set):
        booked, found = booked - found, found - booked
    return [f"{what}: booked {booked}, found {found}"]


# -- what a system said


def differences(system: System, books: list[Books]) -> list[str]:
    """What the books of a system's clients say, and its tables do not, or the other way round."""
    return [line for one in books for line in one.wrong] + [
        *_people(system, books),
        *_groups(system, books),
        *_exchanges(system, books),
        *_wishes(system, books),
    ]


def _people(system: System, books: list[Books]) -> list[str]:
    booked = {name: one for book in books for name, one in book.people.items()}
    living = {
        shadow.name: shadow
        for shadow in Shadow.objects.filter(system=system, resource_type="User", ended_at__isnull=True)
    }
    ever = set(Shadow.objects.filter(system=system, resource_type="User").values_list("name", flat=True))
    accounts = {a.user_name: a for a in Account.objects.filter(user_name__in=booked)}
    found = unequal("people", set(booked), ever)
    found += unequal("living", {n for n, one in booked.items() if not one.is_deleted}, set(living))
    for name, one in booked.items():
        account = accounts[name]
        state = "active" if one.is_active else "deprovisioned"
        found += unequal(f"state of {name}", (state, one.endings), (account.state, account.epoch))
        found += unequal(f"transitions of {name}", one.endings + one.returns, transitions(account.pk))
        told = {event: told_of(account.pk, event) for event in (ENDED, BACK)}
        found += unequal(f"journal of {name}", {ENDED: one.endings, BACK: one.returns}, told)
        if name in living:
            shown = (str(living[name].pk), living[name].document.get("displayName"), living[name].wants_active)
            found += unequal(f"resource of {name}", (one.id, one.display, one.is_wanted), shown)
    return found


def transitions(account: UUID) -> int:
    """How often an account's state has changed, by its history."""
    states = history_of(Account).objects.filter(id=account).order_by("history_id").values_list("state", flat=True)
    return sum(before != after for before, after in pairwise(states))


def told_of(account: UUID, event: str) -> int:
    """How many entries of the journal tell that of an account."""
    entries = JournalSubject.objects.filter(kind="account", subject_id=str(account)).values("entry_id")
    return JournalEntry.objects.filter(id__in=entries, event=event).count()


def _groups(system: System, books: list[Books]) -> list[str]:
    booked: dict[str, set[str]] = {}
    for book in books:
        for name, members in book.members.items():
            booked.setdefault(name, set()).update(members)
    living = Shadow.objects.filter(system=system, resource_type="Group", ended_at__isnull=True)
    found: dict[str, list[str]] = {name: [] for name in living.values_list("name", flat=True)}
    rows = Membership.objects.filter(system=system, ended_at__isnull=True).order_by("account__user_name")
    for group, member in rows.values_list("group__display_name", "account__user_name"):
        found.setdefault(group, []).append(member)
    return unequal("groups", {name: sorted(members) for name, members in booked.items()}, found)


def _exchanges(system: System, books: list[Books]) -> list[str]:
    """Each acknowledged write has exactly one exchange that applied it, and none was applied that nobody wrote."""
    rows = Exchange.objects.filter(system=system)
    of = {
        word: Counter(rows.filter(outcome=word).values_list("request_digest", flat=True))
        for word in ("applied", "held")
    }
    applied, held = (
        Counter({_digest(system, *request): times for book in books for request, times in getattr(book, name).items()})
        for name in ("applied", "held")
    )
    found = []
    if applied != of["applied"]:
        found.append(f"exchanges: {applied - of['applied']} acknowledged only, {of['applied'] - applied} applied only")
    # A wish that is sent again is held again: it is one wish, whose plan counts how often it was asked.
    if held - of["held"] or set(of["held"]) != set(held):
        found.append(f"wishes: {held - of['held']} acknowledged only, {set(of['held']) - set(held)} held only")
    again = rows.filter(outcome__in=["same", "duplicate", "rejected", "parked"]).count() + (of["held"] - held).total()
    most = sum(book.repeats for book in books)
    if again > most:
        found.append(f"{again} exchanges changed nothing, but only {most} requests were sent again")
    return found


def _digest(system: System, method: str, path: str, body: bytes) -> str:
    content = canonical(json.loads(body)) if body else body
    return keyed_digest(method, path, content, "", tenant=system.tenant_id)


def _wishes(system: System, books: list[Books]) -> list[str]:
    booked = {one.name for book in books for one in book.people.values() if one.is_wanted and not one.is_active}
    wishes = Plan.objects.filter(system=system, kind="reactivation")
    waiting = sorted(wishes.filter(state="waiting").values_list("account__user_name", flat=True))
    found = unequal("waiting wishes", sorted(booked), waiting)
    granted = Counter({one.name: one.returns for book in books for one in book.people.values() if one.returns})
    done = Counter(wishes.filter(state="done").values_list("account__user_name", flat=True))
    found += unequal("granted wishes", granted, done)
    asked = Approval.objects.filter(state="open", plan_id__in=wishes.values("pk")).values_list("plan_id", flat=True)
    return found + unequal(
        "questions", sorted(wishes.filter(state="waiting").values_list("pk", flat=True)), sorted(asked)
    )


# -- what no work may leave behind


def leftovers() -> list[str]:
    """Claims without an end, rows without their evidence, work that stands still."""
    exchanges = set(Exchange.objects.values_list("cause_id", flat=True))
    causes = set(Cause.objects.filter(kind=CauseKind.EXCHANGE).values_list("pk", flat=True))
    keys = set(ExchangeKey.objects.values_list("exchange_id", flat=True))
    live = Plan.objects.exclude(state__in=[*PLAN.final, "waiting"])
    return [
        *torn(),
        *unequal("causes of exchanges", exchanges, causes),
        *unequal("keys without an exchange", set(), keys - set(Exchange.objects.values_list("pk", flat=True))),
        *unequal("plans that stand still", [], list(live.values_list("kind", "state"))),
        *unequal(
            "changes that stand still",
            0,
            PlannedChange.objects.filter(result="planned").exclude(plan__state__in=["waiting", "lapsed"]).count(),
        ),
        *unequal(
            "runs that stand still", [], list(Run.objects.filter(ended_at__isnull=True).values_list("state", "step"))
        ),
        *unequal("runs that went wrong", [], list(Run.objects.exclude(state="closed").values_list("state", "problem"))),
        *unequal("leases", 0, Run.objects.filter(leased_until__isnull=False).count()),
        *unequal("staged", 0, StagedResource.objects.count() + StagedMember.objects.count()),
        *unequal("read-backs that are due", 0, due_read_backs().count()),
        *_told_once("run.closed", Run.objects.count()),
        *_told_once("run.started", Run.objects.count()),
        *_told_once("plan.executed", Plan.objects.filter(state__in=["done", "done_with_residue"]).count()),
    ]


def due_read_backs() -> QuerySet[Account]:
    """Read-backs that were promised and not made. A line of a campaign that no system shows as off is read again and
    again, as long as it is not settled: those are no leftovers.
    """
    return Account.objects.filter(read_due_at__isnull=False).exclude(reviews__state="silent")


def _told_once(event: str, times: int) -> list[str]:
    return unequal(event, times, JournalEntry.objects.filter(event=event).count())


def held_once(names: Iterable[str], kind: str) -> list[str]:
    """Each of these accounts is suspended by exactly one hold, and the journal tells it once."""
    found = []
    for account in Account.objects.filter(user_name__in=list(names)):
        holds = Hold.objects.filter(account=account, kind=kind, released_at__isnull=True).count()
        seen = (account.state, holds, told_of(account.pk, SUSPENDED))
        found += unequal(f"{account.user_name}", ("suspended", 1, 1), seen)
    return found
