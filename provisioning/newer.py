"""What was said and decided after a request: nothing older takes effect over it.

    said_since(exchange) -> the newer requests that were accepted, each with what it speaks of
    decided_since(account, exchange) -> what people decided about the account since

A replay is as old as its original.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models.account import Account, AccountState
from audit.models import Cause, CauseKind
from provisioning import bodies
from provisioning.bodies import Bodies
from provisioning.changes import Outcome
from provisioning.models.exchange import Exchange
from provisioning.scim.metadata.catalogue import BY_NAME, ENTERPRISE_URN, NHI_URN
from provisioning.scim.spoken import Spoken, spoken_of

# What its sender was told that it is taken: also what waits for people, and what was so already.
ACCEPTED = (Outcome.APPLIED, Outcome.SAME, Outcome.HELD)
MOST_NEWER = 1_000
_OFF = frozenset({AccountState.DEPROVISIONED, AccountState.ARCHIVED})
# The account's columns that people change, and the attribute that says them.
_SAID_AS: Mapping[str, str] = {
    "expires_at": f"{NHI_URN}:expiresAt",
    "purpose": f"{NHI_URN}:purpose",
    "environment": f"{NHI_URN}:environment",
    "kind": f"{NHI_URN}:kind",
    "employee_number": f"{ENTERPRISE_URN}:employeeNumber",
    "user_name": "userName",
    "display_name": "displayName",
    "email": "emails",
}


class TooMuch(ValueError):
    """More came after it than is looked at."""


@dataclass(frozen=True, kw_only=True)
class By:
    """Whose newer word stands: an exchange, or a decision of somebody."""

    exchange: UUID | None
    who: str


@dataclass(frozen=True, kw_only=True)
class Later:
    """One newer request that was accepted."""

    by: By
    method: str
    spoken: Spoken


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What was decided about an account since: by attribute, that it came back, and that it went off."""

    names: Mapping[str, By] = field(default_factory=dict)
    returned: By | None = None
    off: By | None = None


def newer_than(exchange: Exchange) -> QuerySet[Exchange]:
    """The accepted requests on the same resource that are newer, the oldest first."""
    later = Q(replays__isnull=True, id__gt=exchange.pk) | Q(replays__gt=exchange.pk)
    return Exchange.objects.filter(
        later, system=exchange.system_id, resource_id=exchange.resource_id, outcome__in=ACCEPTED
    ).order_by("id")


def said_since(exchange: Exchange) -> list[Later]:
    """The newer requests. Raises `TooMuch`. Two queries, one more where a replay is among them."""
    found = list(newer_than(exchange).select_related("system")[: MOST_NEWER + 1])
    if len(found) > MOST_NEWER:
        raise TooMuch(_("more than %(n)d requests were accepted after it: replay a newer one") % {"n": MOST_NEWER})
    originals = Exchange.objects.in_bulk([one.replays for one in found if one.replays is not None])
    opened = bodies.opener([*found, *originals.values()])
    return [_later(one, originals.get(one.replays, one) if one.replays else one, opened) for one in found]


def _later(one: Exchange, said: Exchange, opened: Callable[[Exchange], Bodies]) -> Later:
    kind = BY_NAME[said.resource_type]
    body = opened(said).request
    by = By(exchange=one.pk, who=one.system.name)
    return Later(by=by, method=said.method, spoken=spoken_of(said.method, body, kind))


def speaks(later: Sequence[Later], name: str) -> By | None:
    """Whose word about an attribute is the newest."""
    return next((one.by for one in reversed(later) if one.spoken.of(name)), None)


def speaks_of_member(later: Sequence[Later], ref: UUID) -> By | None:
    """Whose word about a member is the newest."""
    return next((one.by for one in reversed(later) if one.spoken.of_member(ref)), None)


def decided_since(account: Account, exchange: Exchange) -> Decided:
    """What became of the account since, besides what its systems said of its attributes. Three queries at most."""
    rows = list(Account.history.filter(id=account.pk, history_date__gt=exchange.at).order_by("history_id"))
    if not rows:
        return Decided()
    before = Account.history.filter(id=account.pk, history_id__lt=rows[0].history_id).order_by("-history_id").first()
    causes = Cause.objects.in_bulk({row.cause_id for row in rows})
    replayed = _causes_of_replays(exchange)
    names: dict[str, By] = {}
    returned = off = None
    for was, row in zip([before, *rows], rows, strict=False):
        cause = causes.get(row.cause_id)
        if was is None or cause is None or row.cause_id in replayed:
            continue
        if cause.kind != CauseKind.EXCHANGE:
            changed = (said for column, said in _SAID_AS.items() if getattr(was, column) != getattr(row, column))
            names |= dict.fromkeys(changed, _by(cause))
        if was.state != row.state:
            is_back = was.state in _OFF and row.state not in _OFF
            returned = _by(cause) if is_back else None if row.state in _OFF else returned
            off = None if row.state == AccountState.ACTIVE else _by(cause)
    return Decided(names=names, returned=returned, off=off)


def _causes_of_replays(exchange: Exchange) -> set[int]:
    """What was replayed on the same resource was asked for by its system, and no decision of who replayed it."""
    replays = Exchange.objects.filter(resource_id=exchange.resource_id, replays__isnull=False)
    return set(replays.values_list("cause_id", flat=True))


def _by(cause: Cause) -> By:
    return By(exchange=exchange_of(cause), who=cause.actor)


def exchange_of(cause: Cause) -> UUID | None:
    """The exchange that a cause was, by the subject that the receiver gives it."""
    word, _space, text = cause.subject.partition(" ")
    try:
        return UUID(text) if cause.kind == CauseKind.EXCHANGE and word == "exchange" else None
    except ValueError:
        return None
