"""Reviews: the lines of a campaign, and what their owners decide.

    mine(user) -> QuerySet[Review]                    the lines that somebody answers in running campaigns
    certify(review=…, user=…, reason=…, until=None, at=…) -> Review
    certify_alike(reviews=…, user=…, reason=…, at=…) -> list[Review]     at most five alike, never privileged
    revoke(review=…, user=…, reason=…, at=…) -> Review      suspends, in the same transaction
    except_line(review=…, user=…, reason=…, until=…, at=…) -> Approval   asks a second security person
    standing(reviews) -> dict[UUID, Standing]   for each revoked or silent line, what its systems show since

A line that was revoked, or suspended for silence, is settled when every connected system of the account was read as off
at or after the decision, or by an exception. A decision may be changed until the deadline; both answers are kept.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import lifecycle
from accounts.findings import resolve
from accounts.models.account import Account, AccountState
from accounts.models.finding import Finding, FindingKind
from accounts.models.hold import Hold, HoldKind
from accounts.models.user import User
from accounts.rules import Refused, demand
from accounts.states import FINDING_LIVE
from audit.cause import current
from audit.journal import Subject, record
from audit.transitions import move
from governance import approvals
from governance.models.approval import Approval
from governance.models.campaign import CampaignState, Review, ReviewDecision, ReviewState
from governance.rules import may_decide
from governance.states import REVIEW, Event
from provisioning.models.connection import Connection, Connector
from provisioning.models.readback import Readback, ReadResult
from provisioning.models.shadow import Shadow

MOST_AT_ONCE = 5
OFF = frozenset({ReadResult.ABSENT, ReadResult.INACTIVE})


class BadDecision(ValueError):
    """The decision lacks a reason, or names an end that can't be; the message says what to write."""


@dataclass(frozen=True)
class Place:
    """A system, by id and name."""

    system: UUID
    name: str

    def __str__(self) -> str:
        return self.name


def _names(places: Iterable[Place]) -> str:
    return ", ".join(place.name for place in places)


@dataclass(frozen=True)
class Standing:
    """What the connected systems of an account showed at or after the decision, in the order of their names."""

    off: tuple[Place, ...] = ()
    active: tuple[Place, ...] = ()
    unread: tuple[Place, ...] = ()

    @property
    def is_off(self) -> bool:
        """Read as off wherever the account is connected."""
        return bool(self.off) and not self.active and not self.unread

    @property
    def sentence(self) -> str:
        """As a line shows it."""
        if self.is_off:
            return _("read as off at %(systems)s") % {"systems": _names(self.off)}
        if self.active:
            return _("suspended here, still active at %(systems)s") % {"systems": _names(self.active)}
        if self.unread:
            return _("suspended here, not yet read at %(systems)s") % {"systems": _names(self.unread)}
        return _("suspended here; no system of it can be read: only an exception settles it")


def subjects(review: Review) -> list[Subject]:
    """What the journal notes a line about."""
    return [
        Subject("review", str(review.pk), str(review)),
        Subject("campaign", str(review.campaign_id), review.campaign.name),
        Subject("account", str(review.account_id), review.account.user_name),
    ]


def mine(user: User) -> QuerySet[Review]:
    """The lines of somebody in running campaigns: riskiest first, those without an answer before the others."""
    return (
        Review.objects.filter(campaign__state=CampaignState.RUNNING, reviewer__identity=user.identity_id)
        .exclude(account__identity=user.identity_id)
        .select_related("campaign", "account", "reviewer")
        .order_by("campaign__deadline", "-account__is_privileged", "account__user_name_key", "id")
    )


def _locked(review: Review) -> Review:
    return (
        Review.objects.select_for_update(of=("self",))
        .select_related("campaign", "account", "reviewer")
        .get(pk=review.pk)
    )


def decided(
    review: Review,
    word: ReviewDecision.Word,
    *,
    at: datetime,
    reason: str = "",
    user: User | None = None,
    until: datetime | None = None,
) -> None:
    """Keep one decision about a line. Append-only: a changed mind is a second row."""
    ReviewDecision.objects.create(
        tenant_id=review.tenant_id,
        review=review,
        word=word,
        reason=reason,
        until=until,
        actor=str(user) if user else current().actor,
        user=user,
        at=at,
        cause_id=current().pk,
    )


def _set(review: Review, to: ReviewState, *, note: str, settled: bool, at: datetime) -> None:
    move(review, to, by=REVIEW)
    review.decided_at = at
    review.settled_at = at if settled else None
    review.note = note[:400]
    review.save(update_fields=["state", "decided_at", "settled_at", "note"])


def _sure_of_end(review: Review, until: datetime | None, *, at: datetime) -> None:
    if until is None:
        return
    ends = review.account.expires_at
    if until <= at:
        raise BadDecision(_("the end must lie ahead"))
    if ends is not None and until > ends:
        raise BadDecision(
            _("it ends on %(ends)s: a review can bring the end nearer; security renews it to a later one")
            % {"ends": f"{ends:%Y-%m-%d}"}
        )


def certify(*, review: Review, user: User, reason: str, at: datetime, until: datetime | None = None) -> Review:
    """It is still needed, until an end that may only be nearer than the one it has.

    After a revoke, or late after silence, this releases the campaign's hold; what else holds the account stays.
    Raises `Refused` with the rule, `BadDecision` for an end that can't be.
    """
    with transaction.atomic():
        line = _locked(review)
        demand(may_decide(user, line, at=at))
        _sure_of_end(line, until, at=at)
        if line.state == ReviewState.CERTIFIED and until is None:
            return line
        decided(line, ReviewDecision.Word.CERTIFY, reason=reason.strip(), user=user, until=until, at=at)
        for hold in Hold.objects.filter(account=line.account, kind=HoldKind.CAMPAIGN, released_at__isnull=True):
            if not _held_by_another(line):
                lifecycle.release(hold=hold, reason=_("certified in %(name)s") % {"name": line.campaign.name}, at=at)
        _no_longer_ended(line, at=at)
        if until is not None and until != line.account.expires_at:
            lifecycle.renew(account=line.account, until=until, reason=_("the end set in a review"), at=at)
        _set(line, ReviewState.CERTIFIED, note=reason.strip(), settled=True, at=at)
        _record(line, Event.REVIEW_CERTIFIED, user, _("still needed"), reason)
    return line


def _no_longer_ended(line: Review, *, at: datetime) -> None:
    """What is active here again is no longer "ended here, still active there"."""
    if Account.objects.filter(pk=line.account_id, state=AccountState.ACTIVE).exists():
        wrong = Finding.objects.filter(kind=FindingKind.STILL_ACTIVE, account=line.account_id, state__in=FINDING_LIVE)
        resolve(wrong.values_list("dedupe_key", flat=True), because=_("certified after all"), at=at)


def _held_by_another(line: Review) -> bool:
    """Whether another campaign has ended the same account too: its hold then stays."""
    return (
        Review.objects.filter(account=line.account, state__in=[ReviewState.REVOKED, ReviewState.SILENT])
        .exclude(pk=line.pk)
        .exclude(state=ReviewState.SILENT, campaign__silence="escalate")
        .exists()
    )


def alike(reviews: Iterable[Review]) -> str:
    """Why these lines can't be answered by one act, or nothing: alike in kind, place, groups and system."""
    lines = list(reviews)
    if len(lines) > MOST_AT_ONCE:
        return _("at most %(most)d lines at once; these are %(n)d") % {"most": MOST_AT_ONCE, "n": len(lines)}
    for line in lines:
        if line.account.is_privileged or line.evidence.get("is_privileged"):
            return _("%(name)s is privileged: it is answered by itself") % {"name": line.account.user_name}
        if line.evidence.get("changed") or not line.evidence.get("last_used_at"):
            return _("%(name)s has changed, or its use is unknown: it is answered by itself") % {
                "name": line.account.user_name
            }
    same = ("kind", "environment", "memberships", "systems")
    if len({tuple(str(line.evidence.get(word)) for word in same) for line in lines}) > 1:
        return _("these lines are not alike: they differ in kind, environment, groups or systems")
    return ""


def certify_alike(*, reviews: Collection[Review], user: User, reason: str, at: datetime) -> list[Review]:
    """Certify at most five alike lines by one act: never privileged, changed or unused ones, and all or none.

    Raises `Refused` with the rule.
    """
    if why := alike(reviews):
        raise Refused(why)
    with transaction.atomic():
        ordered = sorted(reviews, key=lambda line: line.pk)
        return [certify(review=line, user=user, reason=reason, at=at) for line in ordered]


def revoke(*, review: Review, user: User, reason: str, at: datetime) -> Review:
    """It is no longer needed: the account is suspended now, and read back in its systems.

    The line is settled when it is read as off. Raises `Refused` with the rule, `BadDecision` without a reason.
    """
    why = reason.strip()
    if not why:
        raise BadDecision(_("write why it is to end"))
    with transaction.atomic():
        line = _locked(review)
        demand(may_decide(user, line, at=at))
        if line.state == ReviewState.REVOKED:
            return line
        decided(line, ReviewDecision.Word.REVOKE, reason=why, user=user, at=at)
        suspend([line], reason=f"{line.campaign.name}: {why}", at=at)
        _set(line, ReviewState.REVOKED, note=why, settled=False, at=at)
        _record(line, Event.REVIEW_REVOKED, user, _("no longer needed; suspended here"), why)
    return line


def suspend(lines: Sequence[Review], *, reason: str, at: datetime) -> None:
    """Put the campaign's hold on the accounts of these lines, and have each read back, also what was off already."""
    ids = [line.account_id for line in lines]
    lifecycle.suspend(accounts=ids, kind=HoldKind.CAMPAIGN, reason=reason, at=at)
    lifecycle.read_again(accounts=ids, at=at + lifecycle.READ_BACK_WITHIN)


def _record(line: Review, event: Event, user: User, word: str, reason: str) -> None:
    record(
        event=event,
        sentence=f"{user}: {line.account.user_name} in {line.campaign.name}: {word}. {reason.strip()}".strip(),
        subjects=subjects(line),
    )


def except_line(*, review: Review, user: User, reason: str, until: datetime, at: datetime) -> Approval:
    """Ask a second security person to settle a line that was not read as off, for a time.

    Their yes makes the exception; the next settling takes it. Raises `Refused`, `approvals.BadAnswer`,
    `approvals.CantAsk`.
    """
    return approvals.ask_exception(review=review, asked_by=user, reason=reason, until=until, at=at)


# -- what was read since


def standing(reviews: Collection[Review]) -> dict[UUID, Standing]:
    """For each line, what the connected systems of its account showed at or after its decision. Two queries."""
    accounts = [r.account_id for r in reviews]
    connected = _connected(accounts)
    since = min((r.decided_at for r in reviews if r.decided_at is not None), default=None)
    latest: dict[tuple[UUID, UUID], Readback] = {}
    if since is not None:
        reads = (
            Readback.objects.filter(account__in=accounts, at__gte=since)
            .exclude(result=ReadResult.FAILED)
            .select_related("system")
            .order_by("at", "id")
        )
        for read in reads:
            latest[read.account_id, read.system_id] = read
    return {r.pk: _standing(r, connected.get(r.account_id, {}), latest) for r in reviews}


def _connected(accounts: Collection[UUID]) -> dict[UUID, dict[UUID, str]]:
    """The systems that can be read and that each account lives in, with their names."""
    readable = Connection.objects.exclude(connector=Connector.NONE).filter(system__ended_at__isnull=True)
    shadows = Shadow.objects.filter(
        account__in=accounts, ended_at__isnull=True, system__in=readable.values("system_id")
    ).select_related("system")
    found: dict[UUID, dict[UUID, str]] = {}
    for shadow in shadows:
        if shadow.account_id is not None:
            found.setdefault(shadow.account_id, {})[shadow.system_id] = shadow.system.name
    return found


def _standing(review: Review, connected: dict[UUID, str], latest: dict[tuple[UUID, UUID], Readback]) -> Standing:
    off, active, unread = [], [], []
    mine_too = {s: read.system.name for (a, s), read in latest.items() if a == review.account_id}
    for system, name in sorted({**mine_too, **connected}.items(), key=lambda pair: pair[1]):
        read = latest.get((review.account_id, system))
        if read is None or review.decided_at is None or read.at < review.decided_at:
            if system in connected:
                unread.append(Place(system, name))
        elif read.result in OFF:
            off.append(Place(system, name))
        else:
            active.append(Place(system, name))
    return Standing(off=tuple(off), active=tuple(active), unread=tuple(unread))
