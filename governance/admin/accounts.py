"""Accounts: the list, one account on one screen with its timeline by cause, and the verbs."""

import zoneinfo
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import lifecycle, ownership
from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.finding import Finding
from accounts.models.group import Membership
from accounts.models.hold import Hold, HoldKind
from accounts.models.ownership import Ownership
from accounts.rules import Word, may_release
from accounts.states import FINDING_LIVE
from audit.journal import timeline
from audit.models import Cause
from governance.pages import Ask, PageRequest, ReasonForm, ask, may, page, window
from provisioning import plans, systems
from provisioning.changes import fold
from provisioning.models.plan import Plan, PlanKind
from provisioning.models.readback import Readback
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN_LIVE

LONGEST = timedelta(days=730)
FILTERS = ("q", "kind", "state", "with", "system")


def _filtered(request: HttpRequest) -> Any:
    rows = Account.objects.all()
    if kind := request.GET.get("kind"):
        rows = rows.exclude(kind=AccountKind.PERSON) if kind == "nhi" else rows.filter(kind=kind)
    if state := request.GET.get("state"):
        rows = rows.filter(state=state)
    if text := fold(request.GET.get("q", "")).strip()[:100]:
        # By prefix: an index range. A substring under row-level security would read the whole tenant.
        rows = rows.filter(Q(user_name_key__gte=text, user_name_key__lt=text + "\U0010ffff") | Q(employee_number=text))
    which = request.GET.get("with")
    if which == "no_owner":
        owned = Ownership.objects.filter(state="accepted").values("account_id")
        gone = [AccountState.DEPROVISIONED, AccountState.ARCHIVED]
        rows = rows.exclude(kind=AccountKind.PERSON).exclude(pk__in=owned).exclude(state__in=gone)
    if which == "no_end":
        gone = [AccountState.DEPROVISIONED, AccountState.ARCHIVED]
        rows = rows.exclude(kind=AccountKind.PERSON).filter(expires_at__isnull=True).exclude(state__in=gone)
    if which == "past_end":
        rows = rows.filter(expires_at__lte=request.at, state=AccountState.ACTIVE)  # type: ignore[attr-defined]
    if (system := request.GET.get("system")) and _is_uuid(system):
        rows = rows.filter(
            pk__in=Shadow.objects.filter(system=UUID(system), ended_at__isnull=True).values("account_id")
        )
    return rows.order_by("user_name_key", "pk")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


@page(Word.ROLL_READ)
def accounts(request: PageRequest) -> HttpResponse:
    """Every account of the tenant, by prefix of the name, kind and state."""
    return render(
        request,
        "pages/accounts.html",
        {
            "window": window(request, _filtered(request)),
            "kinds": [("nhi", _("all non-human")), *AccountKind.choices],
            "states": AccountState.choices,
            "chosen": {name: request.GET.get(name, "") for name in FILTERS},
            "is_filtered": any(request.GET.get(name) for name in FILTERS),
        },
    )


def because(membership: Membership) -> str:
    """Why somebody is in a group, in words."""
    if membership.system is not None:
        return _("%(system)s says so") % {"system": membership.system.name}
    return str(membership.get_origin_display())


def _timeline(account: Account) -> list[dict[str, Any]]:
    """Journal entries and field changes, joined by their cause, newest first."""
    entries = list(timeline(kind="account", subject_id=str(account.pk))[:60])
    changes: dict[int | None, list[Any]] = {}
    for row in Account.history.filter(id=account.pk).order_by("-history_id")[:60]:
        changes.setdefault(row.cause_id, []).append(row)
    causes = Cause.objects.in_bulk({*(e.cause_id for e in entries), *(c for c in changes if c is not None)})
    lines: dict[int | None, dict[str, Any]] = {}
    for entry in entries:
        line = lines.setdefault(entry.cause_id, {"cause": causes.get(entry.cause_id), "said": [], "at": entry.at})
        line["said"].append(entry.sentence)
    for cause_id, rows in changes.items():
        cause = causes.get(cause_id) if cause_id is not None else None
        line = lines.setdefault(cause_id, {"cause": cause, "said": [], "at": rows[0].history_date})
        line["rows"] = len(rows)
    return sorted(lines.values(), key=lambda line: line["at"], reverse=True)


def _off(account: Account) -> dict[str, str]:
    """Why each verb is off, where it is."""
    ended = account.state in {AccountState.DEPROVISIONED, AccountState.ARCHIVED}
    off = dict.fromkeys(("end", "renew", "offer", "suspend", "ask"), "")
    if ended:
        off["end"] = off["renew"] = off["offer"] = _("it has ended")
        off["suspend"] = _("it has ended: only a security hold can be placed on it")
    if account.state != AccountState.DEPROVISIONED:
        off["ask"] = _("it has not ended")
    return off


@page(Word.ROLL_READ)
def account(request: PageRequest, pk: UUID) -> HttpResponse:
    """One account on one screen: why it is, who answers, when it ends, what it reaches and because of what."""
    found = get_object_or_404(Account.objects.select_related("identity"), pk=pk)
    memberships = Membership.objects.filter(account=found, ended_at__isnull=True).select_related("group", "system")
    holds = list(Hold.objects.filter(account=found, released_at__isnull=True))
    shadows = Shadow.objects.filter(account=found).select_related("system").order_by("ended_at", "system__name")
    reads: dict[UUID, Readback] = {}
    for read in Readback.objects.filter(account=found).order_by("at")[:50]:
        reads[read.system_id] = read
    return render(
        request,
        "pages/account.html",
        {
            "account": found,
            "is_active": found.is_active(at=request.at),
            "ownerships": Ownership.objects.filter(account=found).select_related("owner").order_by("ended_at", "state"),
            "owned": Ownership.objects.filter(owner=found, state="accepted").select_related("account"),
            "memberships": [(m, because(m)) for m in memberships.order_by("group__display_name_key")[:200]],
            "holds": [(h, may_release(request.user, h, at=request.at)) for h in holds],
            "shadows": [(s, reads.get(s.system_id)) for s in shadows],
            "findings": Finding.objects.filter(account=found, state__in=FINDING_LIVE),
            "plan": Plan.objects.filter(account=found, kind=PlanKind.REACTIVATION, state__in=PLAN_LIVE).first(),
            "missing": lifecycle.missing_for_activation(found, at=request.at) if found.state == "pending" else (),
            "timeline": _timeline(found),
            "off": _off(found),
        },
    )


def _reached(found: Account) -> str:
    names = Shadow.objects.filter(account=found, ended_at__isnull=True).values_list("system__name", flat=True)
    return ", ".join(names) or _("no system")


class HoldForm(ReasonForm):
    """Which kind of hold, and why."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind of hold"),
        choices=[(HoldKind.MANUAL.value, HoldKind.MANUAL.label), (HoldKind.SECURITY.value, HoldKind.SECURITY.label)],
        help_text=gettext_lazy("A security hold is released by security alone, and blocks a return after the end."),
    )
    field_order = ("kind", "reason")


@page(Word.ACCOUNT_SUSPEND)
def suspend(request: PageRequest, pk: UUID) -> HttpResponse:
    """Place a hold."""
    found = get_object_or_404(Account, pk=pk)

    def do(cleaned: dict[str, Any]) -> str:
        lifecycle.suspend(accounts=[found.pk], kind=HoldKind(cleaned["kind"]), reason=cleaned["reason"], at=request.at)
        return _("%(name)s is suspended. Its systems are read back within five minutes.") % {"name": found.user_name}

    return ask(
        request,
        Ask(
            title=_("Suspend %(name)s?") % {"name": found.user_name},
            button=_("Suspend 1 account"),
            keep=reverse("account", args=[pk]),
            consequences=[
                _("It is inactive here at once; sign-ins of its person end."),
                _("Its systems (%(systems)s) are read back within five minutes.") % {"systems": _reached(found)},
                _("It is what it was again when the hold is released."),
            ],
            is_danger=True,
        ),
        do=do,
        form_class=HoldForm,
    )


@page(Word.ACCOUNT_END)
def end(request: PageRequest, pk: UUID) -> HttpResponse:
    """Deprovision."""
    found = get_object_or_404(Account, pk=pk)
    owned = Ownership.objects.filter(owner=found, state="accepted").count()

    def do(cleaned: dict[str, Any]) -> str:
        lifecycle.deprovision(accounts=[found.pk], reason=cleaned["reason"], at=request.at)
        return _("%(name)s has ended. It comes back only by approval.") % {"name": found.user_name}

    return ask(
        request,
        Ask(
            title=_("End %(name)s?") % {"name": found.user_name},
            button=_("End 1 account"),
            keep=reverse("account", args=[pk]),
            consequences=[
                _("It ends here at once, and in %(systems)s it is read back within five minutes.")
                % {"systems": _reached(found)},
                _("%(count)d accounts that it answers for need a new owner within 7 days.") % {"count": owned},
                _("It comes back only when people approve it; sessions and tokens from before never do."),
            ],
            is_danger=True,
        ),
        do=do,
    )


@page(Word.ROLL_READ)
def release(request: PageRequest, pk: UUID, hold: UUID) -> HttpResponse:
    """Release one hold."""
    found = get_object_or_404(Hold.objects.select_related("account"), pk=hold, account=pk)
    # The directory's last word: somebody released who was never active yet is active if it says so.
    wanted = Shadow.objects.filter(account=pk, ended_at__isnull=True, wants_active=True).exists()

    def do(cleaned: dict[str, Any]) -> str:
        account = lifecycle.release(hold=found, reason=cleaned["reason"], wanted_active=wanted, at=request.at)
        return _("Released. %(name)s is %(state)s.") % {
            "name": account.user_name, "state": account.get_state_display(),
        }  # fmt: skip

    others = Hold.objects.filter(account=pk, released_at__isnull=True).exclude(pk=found.pk).count()
    after = (
        _("%(count)d other holds stay: it remains suspended.") % {"count": others}
        if others
        else _("It was the last hold: it is active again if nothing is missing.")
    )
    return ask(
        request,
        Ask(
            title=_("Release the hold “%(kind)s” of %(name)s?")
            % {"kind": found.get_kind_display(), "name": found.account.user_name},
            button=_("Release 1 hold"),
            keep=reverse("account", args=[pk]),
            facts=[(_("Placed by"), found.placed_by), (_("Because"), found.reason)],
            consequences=[after],
            ruling=may_release(request.user, found, at=request.at),
        ),
        do=do,
        refusals=(lifecycle.CantRelease,),
    )


class RenewForm(ReasonForm):
    """Until when, and why. A day ends at its end in the tenant's time zone."""

    until = forms.DateField(label=gettext_lazy("New end"), widget=forms.DateInput(attrs={"type": "date"}))
    field_order = ("until", "reason")

    def __init__(self, *args: Any, zone: zoneinfo.ZoneInfo, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone, self.at = zone, at

    def clean_until(self) -> datetime:
        """The end of the typed day. Refuses a past one, and one further than two years."""
        until = datetime.combine(self.cleaned_data["until"] + timedelta(days=1), time.min, tzinfo=self.zone)
        if until <= self.at:
            raise forms.ValidationError(_("Choose a day that lies ahead."))
        if until > self.at + LONGEST:
            raise forms.ValidationError(_("Choose a day within two years: every end is looked at again."))
        return until


@page(Word.ACCOUNT_RENEW)
def renew(request: PageRequest, pk: UUID) -> HttpResponse:
    """Set a new expiry."""
    found = get_object_or_404(Account, pk=pk)

    def do(cleaned: dict[str, Any]) -> str:
        lifecycle.renew(account=found, until=cleaned["until"], reason=cleaned["reason"], at=request.at)
        return _("%(name)s ends %(day)s now.") % {"name": found.user_name, "day": f"{cleaned['until']:%Y-%m-%d}"}

    return ask(
        request,
        Ask(
            title=_("Renew %(name)s?") % {"name": found.user_name},
            button=_("Renew 1 account"),
            keep=reverse("account", args=[pk]),
            consequences=[_("A hold that its old end placed is released; any other stays.")],
        ),
        do=do,
        form_class=RenewForm,
        refusals=(lifecycle.CantChange,),
        zone=request.tenant.zone,
        at=request.at,
    )


class OfferForm(ReasonForm):
    """To whom."""

    owner = forms.CharField(
        label=gettext_lazy("User name of the owner"),
        max_length=320,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    field_order = ("owner", "reason")

    def clean_owner(self) -> Account:
        """The one account of a person with that user name."""
        key = fold(self.cleaned_data["owner"]).strip()
        people = Account.objects.filter(user_name_key=key, kind=AccountKind.PERSON).exclude(state="archived")
        found = list(people[:2])
        if len(found) != 1:
            raise forms.ValidationError(
                _("No person has that user name here.") if not found else _("Several accounts have that user name.")
            )
        return found[0]


@page(Word.OWNERSHIP_OFFER)
def offer(request: PageRequest, pk: UUID) -> HttpResponse:
    """Offer the account to an owner."""
    found = get_object_or_404(Account, pk=pk)

    def do(cleaned: dict[str, Any]) -> str:
        ownership.offer(account=found, owner=cleaned["owner"], reason=cleaned["reason"], at=request.at)
        return _("Offered to %(owner)s. It counts when they accept.") % {"owner": cleaned["owner"].user_name}

    return ask(
        request,
        Ask(
            title=_("Offer %(name)s to an owner?") % {"name": found.user_name},
            button=_("Offer 1 account"),
            keep=reverse("account", args=[pk]),
            consequences=[_("They find it under “My accounts” and accept or decline; until then nothing changes.")],
        ),
        do=do,
        form_class=OfferForm,
        refusals=(ownership.CantOwn,),
    )


@page(Word.REACTIVATION_ASK)
def ask_back(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask for an ended account to come back: a wish that others approve."""
    found = get_object_or_404(Account, pk=pk)
    shadow = Shadow.objects.filter(account=found).select_related("system").order_by("ended_at").last()

    def do(_cleaned: dict[str, Any]) -> str:
        if shadow is None or found.state != AccountState.DEPROVISIONED:
            raise lifecycle.CantReturn(_("it has not ended, or no system knows it"))
        plans.ask_return(
            account=found,
            system=shadow.system,
            requesters={request.user.identity_id} | systems.requesters(system=shadow.system, at=request.at),
            asked_by=request.user.get_username(),
            exchange_id=None,
            at=request.at,
        )
        return _("Asked. Other people approve it within 8 hours, or it lapses.")

    return ask(
        request,
        Ask(
            title=_("Ask for %(name)s to come back?") % {"name": found.user_name},
            button=_("Ask for 1 account"),
            keep=reverse("account", args=[pk]),
            consequences=[
                _("You can't approve what you ask for; nor can its owners, nor who administers its system."),
                _("Memberships and sessions from before do not come back by themselves."),
            ],
            ruling=may(request, Word.REACTIVATION_ASK),
        ),
        do=do,
        refusals=(lifecycle.CantReturn,),
    )
