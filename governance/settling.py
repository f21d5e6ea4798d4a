"""Settling: what the deadline of a campaign leaves, until every line is certified, read as off, or excepted.

    due(at=…) -> list[UUID]                           the campaigns that there is something to do about
    settle(campaign=…, at=…, after=None) -> Settled   one slice; `next` is where the following one begins

Silence does what the campaign said: it suspends at most, or leaves the line open and tells security. A line that was
ended here and is still active elsewhere says so, has a finding, and is read again until it is off or excepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from accounts import lifecycle
from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.account import Account
from accounts.models.finding import FindingKind, Severity
from audit import crashpoints
from audit.cause import current
from audit.journal import record
from audit.transitions import move
from governance import notices, reviews
from governance.campaigns import subject
from governance.models.approval import Approval, ApprovalKind, ApprovalState
from governance.models.campaign import Campaign, CampaignState, Review, ReviewDecision, ReviewState, Silence
from governance.states import CAMPAIGN, REVIEW, REVIEW_SETTLED, Event
from provisioning.systems import still_active_key

BATCH = 100
# How long until a system that still shows an account as active is read again.
READ_AGAIN_AFTER = timedelta(hours=1)
DUE_WITHIN = timedelta(days=1)
AFTER_SLICE = crashpoints.point("campaign.slice_written", where="a slice of a campaign is settled, not committed")


@dataclass
class Settled:
    """What one slice did. `next` is None when it was the last."""

    silent: int = 0
    verified: int = 0
    excepted: int = 0
    still_open: int = 0
    failed: int = 0
    closed: bool = False
    next: UUID | None = field(default=None)


def due(*, at: datetime) -> list[UUID]:
    """Campaigns that there is something to do about: the deadline has passed, a line was read or excepted, all is settled."""
    live = Campaign.objects.filter(state__in=[CampaignState.RUNNING, CampaignState.SETTLING])
    lines = Review.objects.filter(campaign=OuterRef("pk"))
    ended = lines.filter(state__in=[ReviewState.REVOKED, ReviewState.SILENT])
    granted = Approval.objects.filter(
        kind=ApprovalKind.EXCEPTION, state=ApprovalState.APPROVED, lasts_until__gt=at, review_id__isnull=False
    )
    found = live.filter(
        Q(state=CampaignState.RUNNING, deadline__lte=at)
        | Q(Exists(lines.filter(state=ReviewState.WAITING)), state=CampaignState.SETTLING)
        | Q(~Exists(lines.exclude(state__in=REVIEW_SETTLED)), state=CampaignState.SETTLING)
        # Read back since, or never to be: nothing more is due for it.
        | Q(Exists(ended.filter(account__read_due_at__isnull=True)))
        | Q(Exists(ended.filter(pk__in=granted.values("review_id"))))
    )
    return list(found.order_by("deadline", "id").values_list("pk", flat=True))


def settle(*, campaign: Campaign, at: datetime, after: UUID | None = None, limit: int = BATCH) -> Settled:
    """Deal with the next lines that are not settled. Safe to repeat; another settler of the same campaign waits not."""
    done = Settled()
    with transaction.atomic():
        found = Campaign.objects.select_for_update(skip_locked=True).filter(pk=campaign.pk).first()
        if found is None or found.state not in {CampaignState.RUNNING, CampaignState.SETTLING}:
            return done
        _begin(found, at=at)
        batch = _open_lines(found, after=after, limit=limit)
        if found.state == CampaignState.SETTLING:
            _silence(found, [line for line in batch if line.state == ReviewState.WAITING], done, at=at)
        ended = [line for line in batch if line.state in {ReviewState.REVOKED, ReviewState.SILENT}]
        if ended:
            _take_exceptions(ended, done, at=at)
            _verify([line for line in ended if line.settled_at is None], done, at=at)
        if len(batch) == limit:
            done.next = batch[-1].pk
        else:
            _finish(found, done, at=at)
        crashpoints.here(AFTER_SLICE)
    return done


def _begin(campaign: Campaign, *, at: datetime) -> None:
    if campaign.state == CampaignState.RUNNING and campaign.deadline <= at:
        move(campaign, CampaignState.SETTLING, by=CAMPAIGN)
        campaign.save(update_fields=["state"])
        waiting = campaign.reviews.filter(state=ReviewState.WAITING).count()
        sentence = f"{campaign.name}: the deadline has passed; {waiting} lines have no answer"
        record(event=Event.CAMPAIGN_SETTLING, sentence=sentence, subjects=[subject(campaign)])


def _open_lines(campaign: Campaign, *, after: UUID | None, limit: int) -> list[Review]:
    # A line that somebody decides right now is theirs; the next round sees what they said.
    lines = (
        Review.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(campaign=campaign)
        .exclude(state__in=REVIEW_SETTLED)
        .select_related("account", "reviewer", "campaign")
        .order_by("id")
    )
    if after is not None:
        lines = lines.filter(pk__gt=after)
    return list(lines[:limit])


# -- silence


def _silence(campaign: Campaign, lines: Sequence[Review], done: Settled, *, at: datetime) -> None:
    """What no answer means; in one savepoint, and line by line if that fails, so that one bad row stops no other."""
    if not lines:
        return
    try:
        with transaction.atomic():
            _be_silent(campaign, lines, at=at)
        done.silent += len(lines)
    except DatabaseError:
        for line in lines:
            line.state = ReviewState.WAITING
            try:
                with transaction.atomic():
                    _be_silent(campaign, [line], at=at)
                done.silent += 1
            except DatabaseError as error:
                line.state = ReviewState.WAITING
                done.failed += 1
                _say_failed(line, error, at=at)


def _be_silent(campaign: Campaign, lines: Sequence[Review], *, at: datetime) -> None:
    suspends = campaign.silence == Silence.SUSPEND
    if suspends:
        reason = _("%(name)s: no answer until the deadline") % {"name": campaign.name}
        reviews.suspend(lines, reason=reason, at=at)
    note = _("no answer; suspended here") if suspends else _("no answer; nothing was suspended, security decides")
    for line in lines:
        move(line, ReviewState.SILENT, by=REVIEW)
        line.decided_at, line.note = at, note
        reviews.decided(line, ReviewDecision.Word.SILENCE, at=at)
    Review.objects.bulk_update(lines, ["state", "decided_at", "note"], batch_size=500)
    _note(campaign, lines, event=Event.REVIEW_SILENT, word=note)


def _note(campaign: Campaign, lines: Sequence[Review], *, event: Event, word: str) -> None:
    """One entry for one slice, naming every line."""
    things = {(s.kind, s.id): s for line in lines for s in reviews.subjects(line)}
    record(
        event=event,
        sentence=f"{current().actor}: {campaign.name}: {len(lines)} lines: {word}",
        subjects=things.values(),
        facts={"count": len(lines)},
    )


def _say_failed(line: Review, error: DatabaseError, *, at: datetime) -> None:
    wrong = Wrong(
        kind=FindingKind.SWEEP_FAILED,
        key=f"campaign_failed:{line.pk}",
        title=_("the silence about %(name)s could not be carried out") % {"name": line.account.user_name},
        severity=Severity.CRITICAL,
        account=line.account_id,
        # The class alone: a database's message may hold values of the row.
        evidence={"error": type(error.__cause__ or error).__name__, "review": str(line.pk)},
        due_at=at + DUE_WITHIN,
    )
    open_or_raise([wrong], at=at)


# -- read as off, or excepted


def _take_exceptions(lines: Sequence[Review], done: Settled, *, at: datetime) -> None:
    granted = {
        a.review_id: a
        for a in Approval.objects.filter(
            kind=ApprovalKind.EXCEPTION,
            state=ApprovalState.APPROVED,
            review_id__in=[line.pk for line in lines],
            lasts_until__gt=at,
        )
    }
    for line in lines:
        approval = granted.get(line.pk)
        if approval is None or line.decided_at is None or approval.asked_at < line.decided_at:
            continue
        reviews.decided(
            line, ReviewDecision.Word.EXCEPT, reason=approval.facts["reason"], until=approval.lasts_until, at=at
        )
        move(line, ReviewState.EXCEPTED, by=REVIEW)
        line.settled_at, line.note = at, approval.ended_because
        line.save(update_fields=["state", "settled_at", "note"])
        _note(line.campaign, [line], event=Event.REVIEW_EXCEPTED, word=approval.ended_because)
        done.excepted += 1


def _verify(lines: Sequence[Review], done: Settled, *, at: datetime) -> None:
    """Settle what was read as off; keep open, say and read again what was not."""
    if not lines:
        return
    standing = reviews.standing(lines)
    off = [line for line in lines if standing[line.pk].is_off]
    for line in off:
        move(line, ReviewState.VERIFIED_OFF, by=REVIEW)
        line.settled_at, line.note = at, standing[line.pk].sentence[:400]
    still = [line for line in lines if not standing[line.pk].is_off and _is_ended(line)]
    changed = [line for line in still if line.note != standing[line.pk].sentence[:400]]
    for line in changed:
        line.note = standing[line.pk].sentence[:400]
    Review.objects.bulk_update([*off, *changed], ["state", "settled_at", "note"], batch_size=500)
    if off:
        _note(off[0].campaign, off, event=Event.REVIEW_VERIFIED, word=_("read as off"))
    _findings(lines, standing, at=at)
    # Never later than what is due already: a reading that is asked for again and again would never come.
    waiting = Account.objects.filter(pk__in=[line.account_id for line in still], read_due_at__isnull=True)
    lifecycle.read_again(accounts=list(waiting.values_list("pk", flat=True)), at=at + READ_AGAIN_AFTER)
    done.verified += len(off)
    done.still_open += len(lines) - len(off)


def _is_ended(line: Review) -> bool:
    """Whether the line ended its account here: silence that only escalates did not."""
    return line.state == ReviewState.REVOKED or line.campaign.silence == Silence.SUSPEND


def _findings(lines: Sequence[Review], standing: dict[UUID, reviews.Standing], *, at: datetime) -> None:
    gone, wrongs = [], []
    for line in lines:
        places = standing[line.pk]
        gone += [still_active_key(place.system, line.account_id) for place in places.off]
        if not _is_ended(line):
            continue
        wrongs += [
            Wrong(
                kind=FindingKind.STILL_ACTIVE,
                key=still_active_key(place.system, line.account_id),
                title=_("%(name)s is suspended here, still active at %(system)s")
                % {"name": line.account.user_name, "system": place.name},
                severity=Severity.HIGH,
                account=line.account_id,
                system=place.system,
                subject_kind="review",
                subject_id=str(line.pk),
                evidence={"campaign": line.campaign.name, "review": str(line.pk)},
                due_at=(line.decided_at or at) + DUE_WITHIN,
            )
            for place in places.active
        ]
    resolve(gone, because=_("read as off"), at=at)
    open_or_raise(wrongs, at=at)


def _finish(campaign: Campaign, done: Settled, *, at: datetime) -> None:
    """The end of a round: close, if every line is settled; else tell security of what silence left open."""
    if campaign.state != CampaignState.SETTLING:
        return
    left = campaign.reviews.exclude(state__in=REVIEW_SETTLED)
    if not left.exists():
        move(campaign, CampaignState.CLOSED, by=CAMPAIGN)
        campaign.closed_at = at
        campaign.save(update_fields=["state", "closed_at"])
        sentence = f"{campaign.name} closed: every line is certified, read as off, or excepted"
        record(event=Event.CAMPAIGN_CLOSED, sentence=sentence, subjects=[subject(campaign)])
        done.closed = True
    elif campaign.silence == Silence.ESCALATE:
        silent = left.filter(state=ReviewState.SILENT).count()
        if silent:
            notices.tell_escalated(campaign=campaign, lines=silent, at=at)
