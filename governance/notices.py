"""Notices: what is told to whom. A row for each thing and person, once; rows are the queue, mails are sent from them.

    write_for_findings(at=…)   findings that somebody must know of: to owners, else to security
    tell_approval(approval=…, at=…)    a new question: to everybody who may answer it
    tell_outcome(approval=…, at=…)     how it ended: to whoever answers for the account, or wanted the role
    tell_reviewers(campaign=…, at=…)   a campaign began: one mail for each reviewer, with their lines
    remind_reviewers(at=…)     three days and one day before a deadline, while lines wait
    tell_escalated(campaign=…, lines=…, at=…)   silence that does not suspend: to security

`governance.sending` sends what is due. Mails are plain text. They name the tenant, the facts, what to do and where; never a secret.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from accounts.models.account import Account, AccountState
from accounts.models.finding import Finding, FindingKind
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.tenant import Tenant
from accounts.models.user import Role, RoleName, User
from accounts.states import FINDING_OPEN
from audit.cause import NoCause, current
from governance.models.approval import Approval, ApprovalKind
from governance.models.campaign import Campaign, CampaignState, Review, ReviewState
from governance.models.notice import Notice
from governance.rules import WORDS, bars, roles_for
from governance.sending import MOST_TRIES

# Paths inside a tenant. Mails are read long after: these addresses stay.
MY = "/my/"
APPROVAL = "/admin/approvals/{id}/"
ACCOUNT = "/admin/accounts/{id}/"
FINDINGS = "/admin/findings/"
CAMPAIGN = "/admin/campaigns/{id}/"

# What somebody is told of at once. Other findings wait in the inbox.
TOLD = (
    FindingKind.EXPIRES,
    FindingKind.NO_OWNER,
    FindingKind.STILL_ACTIVE,
    FindingKind.MASS_REDUCTION,
    FindingKind.NOT_MEASURED,
    FindingKind.FEED_SILENT,
    FindingKind.SWEEP_FAILED,
    FindingKind.MEMBERS_UNRESOLVED,
)
TO_OWNERS = frozenset({FindingKind.EXPIRES, FindingKind.STILL_ACTIVE})
TO_SECURITY_TOO = frozenset({FindingKind.STILL_ACTIVE})
BATCH = 200
# Before the deadline of a campaign, the nearest first.
REMINDERS = ((timedelta(days=1), "1d"), (timedelta(days=3), "3d"))
# No reminder on the heels of the first mail.
REMIND_AFTER = timedelta(hours=12)
SUBJECT_LENGTH = 300


@dataclass(frozen=True)
class Recipient:
    """Somebody who is told: a stable key for "once", an address that may be empty, their account where they have one."""

    key: str
    name: str
    address: str
    account: UUID | None = None


@dataclass(frozen=True)
class _Text:
    """One mail before it has a recipient."""

    key: str
    subject: str
    body: str
    finding: UUID | None = None


def url(tenant: Tenant, path: str, **values: Any) -> str:
    """The address of a page of a tenant, as a mail shows it."""
    return f"{settings.ROLLCALL_PUBLIC_URL}/t/{tenant.slug}{path.format(**values)}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _row(text: _Text, to: Recipient, *, tenant: Tenant, at: datetime) -> Notice:
    address = to.address.strip()
    return Notice(
        tenant=tenant,
        to_account_id=to.account,
        to_address=address,
        dedupe_key=f"{text.key}{to.key}",
        finding_id=text.finding,
        subject=_line(f"[{tenant.name}] {text.subject}")[:SUBJECT_LENGTH],
        body=text.body,
        made_at=at,
        due_at=at,
        tries=0 if address else MOST_TRIES,
        problem="" if address else _("%(who)s has no mail address: nobody was told") % {"who": to.name},
    )


def _write(rows: Sequence[Notice]) -> int:
    """Write those that are new. Whoever writes the same one at the same time wins, and it is written once."""
    keys = [r.dedupe_key for r in rows]
    known = set(Notice.objects.filter(dedupe_key__in=keys).values_list("dedupe_key", flat=True))
    fresh = [r for r in rows if r.dedupe_key not in known]
    Notice.objects.bulk_create(fresh, batch_size=500, ignore_conflicts=True)
    return len(fresh)


def _tenant() -> Tenant:
    tenant = current().tenant_id
    if tenant is None:
        raise NoCause("notices are written in the scope of a tenant")
    return Tenant.objects.get(pk=tenant)


# -- who


def with_role(names: Collection[RoleName], *, tenant: UUID, at: datetime, since: datetime | None = None) -> list[User]:
    """People with a live role of those names in a tenant, who had it at `since`, by name."""
    live = Role.objects.filter(
        Q(tenant=tenant) | Q(tenant__isnull=True),
        Q(until__isnull=True) | Q(until__gt=at),
        name__in=list(names),
        since__lte=since or at,
    )
    return list(User.objects.filter(pk__in=live.values("user_id"), is_active=True).order_by("username_key"))


def _as_recipients(users: Iterable[User]) -> list[Recipient]:
    return [Recipient(f"user:{u.pk}", str(u), u.email) for u in users]


def security(*, tenant: UUID, at: datetime) -> list[Recipient]:
    """The security staff of a tenant; one without an address where there is none, so that the silence is on record."""
    found = _as_recipients(with_role([RoleName.SECURITY], tenant=tenant, at=at))
    return found or [Recipient("nobody", _("security"), "")]


def owners(accounts: Collection[UUID]) -> dict[UUID, list[Recipient]]:
    """Whoever answers for each account, can be written to and is there."""
    live = Ownership.objects.filter(
        account__in=accounts, state=OwnershipState.ACCEPTED, owner__state=AccountState.ACTIVE
    ).exclude(owner__email="")
    found: dict[UUID, list[Recipient]] = {}
    for one in live.select_related("owner"):
        owner = one.owner
        them = Recipient(f"account:{owner.pk}", owner.user_name, owner.email, owner.pk)
        if them not in found.setdefault(one.account_id, []):
            found[one.account_id].append(them)
    return found


# -- findings


def _untold() -> QuerySet[Finding]:
    told = Notice.objects.filter(
        finding=OuterRef("pk"),
        dedupe_key__startswith=Concat(
            Value("finding:"), Cast(OuterRef("pk"), CharField()), Value(":"), OuterRef("stage"), Value(":")
        ),
    )
    return (
        Finding.objects.filter(kind__in=TOLD, state__in=FINDING_OPEN)
        .exclude(Exists(told))
        .select_related("account", "system")
        .order_by("id")
    )


_TODO: Mapping[str, Any] = {
    FindingKind.EXPIRES: _lazy(
        "It is suspended when it ends, and ended 30 days after. Ask security to renew it, or let it end."
    ),
    FindingKind.NO_OWNER: _lazy("Offer it to somebody who can answer for it, or end it."),
    FindingKind.STILL_ACTIVE: _lazy("End it in that system; the finding closes when it is read there as off."),
    FindingKind.MASS_REDUCTION: _lazy(
        "Everything was applied, and that system's plans are held. See whether it was meant."
    ),
    FindingKind.NOT_MEASURED: _lazy("Until it is read completely again, nobody knows what changed there."),
    FindingKind.FEED_SILENT: _lazy(
        "What changes there is heard no sooner than its next complete reading. Its page says what it answered."
    ),
    FindingKind.SWEEP_FAILED: _lazy("It was not done, and will be tried again. Look at the finding for its cause."),
    FindingKind.MEMBERS_UNRESOLVED: _lazy(
        "Nobody was taken out of the group. See who was meant to leave it, and let the system say so in another way."
    ),
}


def _of_finding(finding: Finding, tenant: Tenant) -> _Text:
    facts = [finding.title + "."]
    if finding.system is not None:
        facts.append(_("System: %(name)s") % {"name": finding.system.name})
    facts.append(_("Since: %(when)s UTC") % {"when": f"{finding.first_seen_at:%Y-%m-%d %H:%M}"})
    if finding.due_at is not None:
        facts.append(_("Due: %(when)s UTC") % {"when": f"{finding.due_at:%Y-%m-%d %H:%M}"})
    where = url(tenant, ACCOUNT, id=finding.account_id) if finding.account_id else url(tenant, FINDINGS)
    return _Text(
        key=f"finding:{finding.pk}:{finding.stage}:",
        subject=finding.title,
        body="\n".join([*facts, "", str(_TODO[finding.kind]), where]),
        finding=finding.pk,
    )


def write_for_findings(*, at: datetime, limit: int = BATCH) -> int:
    """One batch of findings that nobody was told of, each stage once. Returns how many findings it took: 0 is the end."""
    batch = list(_untold()[:limit])
    if not batch:
        return 0
    tenant = _tenant()
    staff = security(tenant=tenant.pk, at=at)
    answering = owners([f.account_id for f in batch if f.account_id is not None and f.kind in TO_OWNERS])
    rows = []
    for finding in batch:
        text = _of_finding(finding, tenant)
        theirs = answering.get(finding.account_id, []) if finding.account_id else []
        both = [*theirs, *staff] if finding.kind in TO_SECURITY_TOO else theirs
        rows += [_row(text, to, tenant=tenant, at=at) for to in both or staff]
    _write(rows)
    return len(batch)


# -- questions


def tell_approval(*, approval: Approval, at: datetime) -> int:
    """A question waits: everybody who may answer it is told. Returns how many notices are new."""
    tenant = _tenant()
    barred = bars(approval, at=at)
    names = roles_for(WORDS[ApprovalKind(approval.kind)])
    able = with_role(names, tenant=tenant.pk, at=at, since=approval.asked_at)
    to = _as_recipients(u for u in able if u.identity_id not in barred)
    body = [
        approval.title,
        _("Asked by: %(who)s, %(when)s UTC") % {"who": approval.asked_by, "when": f"{approval.asked_at:%F %H:%M}"},
        ngettext("It needs %(n)d person.", "It needs %(n)d people.", approval.needs) % {"n": approval.needs},
        _("Silence until %(when)s UTC means no.") % {"when": f"{approval.until:%Y-%m-%d %H:%M}"},
        "",
        _("Read the facts and answer here:"),
        url(tenant, APPROVAL, id=approval.pk),
    ]
    text = _Text(key=f"approval:{approval.pk}:open:", subject=approval.title, body="\n".join(body))
    nobody = [Recipient("nobody", _("somebody who may answer it"), "")]
    return _write([_row(text, one, tenant=tenant, at=at) for one in to or nobody])


def tell_outcome(*, approval: Approval, at: datetime) -> int:
    """A question has ended: whoever answers for the account, or was to have the role, is told."""
    tenant = _tenant()
    to: list[Recipient] = []
    if approval.user is not None:
        to = _as_recipients([approval.user])
    elif approval.account_id is not None:
        to = owners([approval.account_id]).get(approval.account_id, [])
    ended = _("%(title)s: %(state)s") % {"title": approval.title, "state": approval.get_state_display()}
    body = [ended, approval.ended_because, "", url(tenant, MY)]
    text = _Text(key=f"approval:{approval.pk}:{approval.state}:", subject=ended, body="\n".join(body))
    return _write([_row(text, one, tenant=tenant, at=at) for one in to if one.address])


# -- campaigns


def _reviewer(account: Account) -> Recipient:
    address = account.email
    if not address and account.identity_id is not None:
        users = User.objects.filter(identity=account.identity_id, is_active=True).exclude(email="")
        address = users.values_list("email", flat=True).first() or ""
    return Recipient(f"account:{account.pk}", account.user_name, address, account.pk)


def _last_use(review: Review) -> str:
    used = review.evidence.get("last_used_at")
    when = _("last used %(when)s") % {"when": used[:10]} if used else _("last use unknown")
    changed = review.evidence.get("changed") or []
    return f"- {review.account.user_name}: {when}" + (f"; {', '.join(changed)}" if changed else "")


def _of_lines(campaign: Campaign, lines: Sequence[Review], tenant: Tenant, *, stage: str, at: datetime) -> _Text:
    left = max((campaign.deadline - at).days, 0)
    subject = ngettext(
        "%(n)d account: still needed? (%(campaign)s)", "%(n)d accounts: still needed? (%(campaign)s)", len(lines)
    ) % {"n": len(lines), "campaign": campaign.name}
    body = [
        _("You answer for these in the review “%(campaign)s”, until %(when)s UTC (%(left)d days left).")
        % {"campaign": campaign.name, "when": f"{campaign.deadline:%Y-%m-%d %H:%M}", "left": left},
        _("No answer by then: %(silence)s.") % {"silence": campaign.get_silence_display()},
        "",
        *[_last_use(line) for line in lines],
        "",
        _("Say for each whether it is still needed:"),
        url(tenant, MY),
    ]
    return _Text(key=f"campaign:{campaign.pk}:{stage}:", subject=subject, body="\n".join(body))


def _tell_reviewers(campaign: Campaign, *, stage: str, at: datetime) -> int:
    waiting = campaign.reviews.filter(state=ReviewState.WAITING).select_related("account", "reviewer__identity")
    by_reviewer: dict[UUID, list[Review]] = {}
    for line in waiting.order_by("account__user_name_key"):
        by_reviewer.setdefault(line.reviewer_id, []).append(line)
    tenant = _tenant()
    rows = [
        _row(_of_lines(campaign, lines, tenant, stage=stage, at=at), _reviewer(lines[0].reviewer), tenant=tenant, at=at)
        for lines in by_reviewer.values()
    ]
    return _write(rows)


def tell_reviewers(*, campaign: Campaign, at: datetime) -> int:
    """A campaign began: each reviewer gets one mail with their lines. Returns how many notices are new."""
    return _tell_reviewers(campaign, stage="launched", at=at)


def _to_remind(*, at: datetime) -> list[tuple[Campaign, str]]:
    near = Campaign.objects.filter(
        state=CampaignState.RUNNING,
        deadline__gt=at,
        deadline__lte=at + REMINDERS[-1][0],
        launched_at__lte=at - REMIND_AFTER,
    )
    found = []
    for campaign in near:
        stage = next(word for ahead, word in REMINDERS if campaign.deadline - at <= ahead)
        if not Notice.objects.filter(dedupe_key__startswith=f"campaign:{campaign.pk}:{stage}:").exists():
            found.append((campaign, stage))
    return found


def remind_reviewers(*, at: datetime) -> int:
    """Whoever still has lines without an answer, three days and one day before the deadline, once each."""
    return sum(_tell_reviewers(campaign, stage=stage, at=at) for campaign, stage in _to_remind(at=at))


def has_something_to_tell(*, at: datetime) -> bool:
    """Whether a finding or a reminder waits to be written, so that an idle tick writes nothing at all."""
    return _untold().exists() or bool(_to_remind(at=at))


def tell_escalated(*, campaign: Campaign, lines: int, at: datetime) -> int:
    """The deadline passed and lines without an answer stay open: security decides them now."""
    tenant = _tenant()
    subject = ngettext(
        "%(n)d line of %(campaign)s had no answer", "%(n)d lines of %(campaign)s had no answer", lines
    ) % {"n": lines, "campaign": campaign.name}
    body = [subject + ".", _("Nothing was suspended. Decide each line:"), url(tenant, CAMPAIGN, id=campaign.pk)]
    text = _Text(key=f"campaign:{campaign.pk}:escalated:", subject=subject, body="\n".join(body))
    return _write([_row(text, to, tenant=tenant, at=at) for to in security(tenant=tenant.pk, at=at)])
