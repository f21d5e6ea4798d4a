"""Campaigns: are these accounts still needed? Drafted, checked, launched with frozen evidence.

    draft(tenant=…, user=…, name=…, query=…, deadline=…, silence=…, at=…) -> Campaign
    preflight(campaign, at=…) -> Preflight            what blocks the launch, with counts; `lines` is how many it has
    launch(campaign=…, user=…, at=…) -> Campaign      freezes each line with its evidence and tells the reviewers
    abandon(campaign=…, user=…, reason=…, at=…) -> Campaign      a draft that is never launched
    progress(campaigns) -> dict[UUID, Progress]       one query for any number of campaigns

`governance.reviews` decides lines; `governance.settling` ends what the deadline leaves, and closes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from accounts.models.account import Account
from accounts.models.tenant import Tenant
from accounts.models.user import User
from accounts.rules import Word, demand, may
from audit.journal import Subject, record
from audit.transitions import IllegalMove, move
from governance import freshness, lines, notices
from governance.models.campaign import Campaign, CampaignState, Review, ReviewState, Silence
from governance.states import CAMPAIGN, Event
from provisioning.models.shadow import Shadow

SHOWN = 20
BATCH = 500


class CantLaunch(ValueError):
    """The campaign can't be made or launched so; the message says what to do first."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a draft: how many accounts or systems, and some of their names."""

    word: str
    sentence: str
    count: int
    names: tuple[str, ...] = ()
    is_blocking: bool = True


@dataclass(frozen=True)
class Preflight:
    """What a launch would make, and what stands against it."""

    lines: int
    reviewers: int
    problems: tuple[Problem, ...]

    @property
    def may_launch(self) -> bool:
        """Nothing blocks it."""
        return not any(p.is_blocking for p in self.problems)


@dataclass(frozen=True)
class Progress:
    """How far a campaign is. `settled` lines need nothing more; `silent_people` have a line without an answer."""

    total: int = 0
    waiting: int = 0
    certified: int = 0
    revoked: int = 0
    silent: int = 0
    verified_off: int = 0
    excepted: int = 0
    silent_people: int = 0

    @property
    def settled(self) -> int:
        """Certified, read as off, or excepted."""
        return self.certified + self.verified_off + self.excepted

    @property
    def decided(self) -> int:
        """How many lines wait for nobody's answer any more."""
        return self.total - self.waiting

    @property
    def decided_percent(self) -> int | None:
        """How many of a hundred lines have an answer, rounded down; None where there is no line."""
        return 100 * self.decided // self.total if self.total else None


def subject(campaign: Campaign) -> Subject:
    """What the journal notes a campaign about."""
    return Subject("campaign", str(campaign.pk), campaign.name)


def draft(
    *,
    tenant: Tenant,
    user: User,
    name: str,
    query: lines.Query,
    deadline: datetime,
    silence: Silence,
    at: datetime,
) -> Campaign:
    """A campaign that nobody hears of yet. Raises `Refused`, or `CantLaunch` for a name in use or a past deadline."""
    demand(may(user, Word.CAMPAIGN_RUN, tenant=tenant.pk, at=at))
    title = " ".join(name.split())
    if not title:
        raise CantLaunch(_("a campaign needs a name"))
    if deadline <= at:
        raise CantLaunch(_("the deadline must lie ahead"))
    try:
        with transaction.atomic():
            made = Campaign.objects.create(
                tenant=tenant,
                name=title,
                query=query.as_json(),
                silence=silence,
                deadline=deadline,
                made_by=user,
                made_at=at,
            )
            record(event=Event.CAMPAIGN_DRAFTED, sentence=f"{user}: drafted {made.name}", subjects=[subject(made)])
    except IntegrityError as error:
        raise CantLaunch(_("there is a campaign of that name already: choose another")) from error
    return made


def _named(word: str, sentence: str, found: Collection[Account]) -> Problem:
    return Problem(word, sentence, len(found), tuple(a.user_name for a in list(found)[:SHOWN]))


def _of_reviewers(accounts: list[Account], resolved: lines.Reviewers) -> list[Problem]:
    problems = []
    if not accounts:
        problems.append(Problem("empty", _("the filter names no account"), 0))
    if resolved.nobody:
        sentence = _("nobody can answer: no owner who accepted, is active and can sign in")
        problems.append(_named("unresolved", sentence, resolved.nobody))
    if resolved.only_oneself:
        sentence = _("only they themselves could answer for their own account")
        problems.append(_named("self_review", sentence, resolved.only_oneself))
    return problems


def _of_systems(accounts: list[Account], *, at: datetime) -> list[Problem]:
    """Stale systems block; accounts that no reading reaches are told of, since only an exception will settle them."""
    living = Shadow.objects.filter(account__in=[a.pk for a in accounts], ended_at__isnull=True)
    lives_in = set(living.values_list("account_id", "system_id"))
    measured = freshness.of_systems(at=at, systems={system for _account, system in lives_in})
    readable = {m.system for m in measured if m.goal is not None}
    stale = [m for m in measured if m.goal is not None and not m.is_measured]
    problems = []
    if stale:
        sentence = _("systems not read completely within their goal: the evidence would be old")
        problems.append(Problem("stale", sentence, len(stale), tuple(m.name for m in stale)[:SHOWN]))
    reached = {account for account, system in lives_in if system in readable}
    if unread := [a for a in accounts if a.pk not in reached]:
        sentence = _("no system of these can be read: if revoked, only an exception settles the line")
        names = tuple(a.user_name for a in unread[:SHOWN])
        problems.append(Problem("unreadable", sentence, len(unread), names, is_blocking=False))
    return problems


def preflight(campaign: Campaign, *, at: datetime) -> Preflight:
    """What a launch now would make, and what blocks it."""
    return _preflight(list(lines.matching(lines.query_from(campaign.query))), campaign, at=at)[0]


def _preflight(accounts: list[Account], campaign: Campaign, *, at: datetime) -> tuple[Preflight, lines.Reviewers]:
    resolved = lines.reviewers(accounts)
    problems = [*_of_reviewers(accounts, resolved), *_of_systems(accounts, at=at)]
    if campaign.deadline <= at:
        problems.append(Problem("late", _("the deadline has passed: set another"), 1))
    people = len({a.pk for a in resolved.found.values()})
    return Preflight(lines=len(accounts), reviewers=people, problems=tuple(problems)), resolved


def launch(*, campaign: Campaign, user: User, at: datetime) -> Campaign:
    """Freeze each line with its evidence, and tell the reviewers. Raises `Refused`, or `CantLaunch` with what blocks it."""
    demand(may(user, Word.CAMPAIGN_RUN, tenant=campaign.tenant_id, at=at))
    with transaction.atomic():
        found = Campaign.objects.select_for_update().get(pk=campaign.pk)
        if found.state != CampaignState.DRAFT:
            raise CantLaunch(_("the campaign is %(state)s already") % {"state": found.get_state_display()})
        accounts = list(lines.matching(lines.query_from(found.query)))
        checked, resolved = _preflight(accounts, found, at=at)
        if not checked.may_launch:
            blocking = "; ".join(f"{p.count}: {p.sentence}" for p in checked.problems if p.is_blocking)
            raise CantLaunch(_("not launched: %(blocking)s") % {"blocking": blocking})
        frozen = lines.evidence(accounts, resolved.found, at=at)
        Review.objects.bulk_create(
            (
                Review(
                    tenant_id=found.tenant_id,
                    campaign=found,
                    account=account,
                    reviewer=resolved.found[account.pk],
                    evidence=frozen[account.pk],
                )
                for account in accounts
            ),
            batch_size=BATCH,
        )
        move(found, CampaignState.RUNNING, by=CAMPAIGN)
        found.launched_at = at
        found.save(update_fields=["state", "launched_at"])
        record(
            event=Event.CAMPAIGN_LAUNCHED,
            sentence=f"{user}: launched {found.name}, {len(accounts)} lines, until {found.deadline:%F %H:%M} UTC",
            subjects=[subject(found)],
            facts={"lines": len(accounts), "reviewers": checked.reviewers, "query": found.query},
        )
        notices.tell_reviewers(campaign=found, at=at)
    return found


def abandon(*, campaign: Campaign, user: User, reason: str, at: datetime) -> Campaign:
    """A draft that is never launched. A running campaign ends only when every line is settled: raises `CantLaunch`."""
    demand(may(user, Word.CAMPAIGN_RUN, tenant=campaign.tenant_id, at=at))
    with transaction.atomic():
        found = Campaign.objects.select_for_update().get(pk=campaign.pk)
        try:
            changed = move(found, CampaignState.ABANDONED, by=CAMPAIGN)
        except IllegalMove as error:
            raise CantLaunch(_("it runs: it closes when every line is settled, and no sooner")) from error
        if changed:
            found.save(update_fields=["state"])
            sentence = f"{user}: {found.name} is never launched. {reason.strip()}".strip()
            record(event=Event.CAMPAIGN_ABANDONED, sentence=sentence, subjects=[subject(found)])
    return found


def progress(campaigns: Collection[UUID]) -> dict[UUID, Progress]:
    """How far each campaign is. One query; a campaign without lines is not in it."""
    counts = {state.value: Count("id", filter=Q(state=state)) for state in ReviewState}
    silent = Count("reviewer", filter=Q(state=ReviewState.WAITING), distinct=True)
    rows = (
        Review.objects.filter(campaign__in=campaigns)
        .order_by()
        .values("campaign_id")
        .annotate(total=Count("id"), silent_people=silent, **counts)
    )
    return {
        row["campaign_id"]: Progress(**{word: int(n) for word, n in row.items() if isinstance(n, int)}) for row in rows
    }
