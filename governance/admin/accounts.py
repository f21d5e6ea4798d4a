"""Accounts: the list, and one account on one screen with its timeline by cause. The verbs stand in `account_verbs`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import lifecycle
from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.finding import Finding
from accounts.models.hold import Hold
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.system import System
from accounts.rules import Word, may_release
from accounts.states import FINDING_LIVE
from governance.admin import account_facts, account_verbs
from governance.admin.changes import GROUP_LABELS
from governance.models.campaign import Review, ReviewState
from governance.pages import PageRequest, asked_id, chosen, page, window
from provisioning.changes import fold
from provisioning.models.shadow import Shadow

# The views of verbs are views of an account's page, and are addressed as such.
suspend, end, release, renew = account_verbs.suspend, account_verbs.end, account_verbs.release, account_verbs.renew
offer, ask_back = account_verbs.offer, account_verbs.ask_back

GONE = (AccountState.DEPROVISIONED, AccountState.ARCHIVED)
NHI = "nhi"
LIVING = "living"
KINDS = ((NHI, gettext_lazy("all non-human")), *AccountKind.choices)
STATES = ((LIVING, gettext_lazy("all that have not ended")), *AccountState.choices)
# What stands out about an account: the word of the filter, and what it says.
MATTERS = (
    ("no_owner", gettext_lazy("no owner")),
    ("no_end", gettext_lazy("no end")),
    ("past_end", gettext_lazy("past their end, still active")),
    ("use_unknown", gettext_lazy("use unknown")),
    ("privileged", gettext_lazy("privileged")),
    ("ends_1", gettext_lazy("end within 1 day")),
    ("ends_7", gettext_lazy("end within 7 days")),
    ("ends_14", gettext_lazy("end within 14 days")),
    ("ends_30", gettext_lazy("end within 30 days")),
)
_LONGEST_NAME = 100
_SYSTEMS_OFFERED = 200
_OWNED_SHOWN = 50
_FINDINGS_SHOWN = 20


def _ends_within(days: int) -> Callable[[PageRequest], Q]:
    return lambda request: Q(expires_at__gt=request.at, expires_at__lte=request.at + timedelta(days=days))


# The same conditions as the counts of the front page, so that each count is as long as its list.
_CONDITIONS: dict[str, Callable[[PageRequest], Q]] = {
    "no_owner": lambda _request: ~Q(pk__in=Ownership.objects.filter(state=OwnershipState.ACCEPTED).values("account")),
    "no_end": lambda _request: Q(expires_at__isnull=True),
    "past_end": lambda request: Q(expires_at__lte=request.at, state=AccountState.ACTIVE),
    "use_unknown": lambda _request: Q(last_used_at__isnull=True),
    "privileged": lambda _request: Q(is_privileged=True),
    **{f"ends_{days}": _ends_within(days) for days in (1, 7, 14, 30)},
}


def _asked(request: PageRequest) -> dict[str, str]:
    """What the address asks for, of what can be asked for: anything else is no filter."""
    system = asked_id(request, "system")
    return {
        "q": request.GET.get("q", "").replace("\x00", "").strip()[:_LONGEST_NAME],
        "kind": chosen(request, "kind", KINDS),
        "state": chosen(request, "state", STATES),
        "with": chosen(request, "with", MATTERS),
        "system": str(system) if system else "",
    }


def _filtered(request: PageRequest, asked: dict[str, str]) -> QuerySet[Account]:
    rows = Account.objects.all()
    if kind := asked["kind"]:
        rows = rows.exclude(kind=AccountKind.PERSON) if kind == NHI else rows.filter(kind=kind)
    if state := asked["state"]:
        rows = rows.exclude(state__in=GONE) if state == LIVING else rows.filter(state=state)
    if text := fold(asked["q"]).strip():
        # By prefix: an index range. A substring under row-level security would read the whole tenant.
        rows = rows.filter(Q(user_name_key__gte=text, user_name_key__lt=text + "\U0010ffff") | Q(employee_number=text))
    if matter := asked["with"]:
        rows = rows.filter(_CONDITIONS[matter](request))
    if system := asked["system"]:
        known = Shadow.objects.filter(system=UUID(system), account__isnull=False, ended_at__isnull=True)
        rows = rows.filter(pk__in=known.values("account")).exclude(state=AccountState.ARCHIVED)
    return rows.order_by("user_name_key", "pk")


@page(Word.ROLL_READ)
def accounts(request: PageRequest) -> HttpResponse:
    """Every account of the tenant, by prefix of the name, kind, state, system and what stands out."""
    asked = _asked(request)
    return render(
        request,
        "pages/accounts.html",
        {
            "window": window(request, _filtered(request, asked)),
            "kinds": KINDS,
            "states": STATES,
            "matters": MATTERS,
            "systems": System.objects.filter(ended_at__isnull=True).order_by("name")[:_SYSTEMS_OFFERED],
            "chosen": asked,
            "is_filtered": any(asked.values()),
        },
    )


def _waits(found: Account) -> list[Review]:
    """The lines of running campaigns that ask about it."""
    open_lines = Review.objects.filter(account=found, state=ReviewState.WAITING, campaign__state="running")
    return list(open_lines.select_related("campaign", "reviewer").order_by("campaign__deadline"))


def _answers(found: Account) -> dict[str, Any]:
    """Who answers for it now, who was asked or has gone, and what it answers for itself."""
    rows = list(Ownership.objects.filter(account=found).select_related("owner").order_by("-offered_at"))
    owned = Ownership.objects.filter(owner=found, state=OwnershipState.ACCEPTED).select_related("account")
    return {
        "owners": [one for one in rows if one.state == OwnershipState.ACCEPTED],
        "offers": [one for one in rows if one.state == OwnershipState.OFFERED],
        "former": [one for one in rows if one.state in {OwnershipState.DECLINED, OwnershipState.ENDED}],
        "owned": owned.order_by("account__user_name_key")[:_OWNED_SHOWN],
    }


@page(Word.ROLL_READ)
def account(request: PageRequest, pk: UUID) -> HttpResponse:
    """One account on one screen: why it is, who answers, when it ends, what it reaches and because of what."""
    found = get_object_or_404(Account.objects.select_related("identity"), pk=pk)
    holds = list(Hold.objects.filter(account=found, released_at__isnull=True))
    systems, measured = account_facts.in_systems(found, at=request.at)
    wish = account_verbs.wishes(found).first()
    group = chosen(request, "by", GROUP_LABELS)
    wrong = Finding.objects.filter(account=found, state__in=FINDING_LIVE)
    context = {
        "account": found,
        "has_ended": found.state in GONE,
        "is_past_end": found.state == AccountState.ACTIVE and not found.is_active(at=request.at),
        "told": account_facts.told_by(found),
        "longest": lifecycle.LONGEST,
        "reaches": account_facts.reaches(found, measured),
        "is_measured": bool(measured) and all(m.is_measured for m in measured.values()),
        "read_at": min((m.last_complete_at for m in measured.values() if m.last_complete_at), default=None),
        "systems": systems,
        "holds": [(hold, may_release(request.user, hold, at=request.at)) for hold in holds],
        "findings": list(wrong.order_by("due_at", "-severity", "pk")[: _FINDINGS_SHOWN + 1]),
        "findings_shown": _FINDINGS_SHOWN,
        "wish": wish,
        "reviews": _waits(found),
        "missing": lifecycle.missing_for_activation(found, at=request.at) if found.state == "pending" else (),
        "lines": account_facts.lines(found, group=group),
        "group": group,
        "groups": [("", _("all")), *GROUP_LABELS],
        "off": account_verbs.off(found, holds=holds, is_asked=wish is not None, is_known=bool(systems)),
    }
    return render(request, "pages/account.html", context | _answers(found))
