"""The verbs of one account: each asks for a reason, says what happens, and leads back to the account's page."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import lifecycle, ownership
from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.hold import Hold, HoldKind
from accounts.models.ownership import Ownership
from accounts.rules import Refused, Ruling, Word, may_release
from governance.admin.system_forms import UntilForm
from governance.pages import Ask, PageRequest, ReasonForm, ask, page
from provisioning import systems
from provisioning.changes import fold
from provisioning.models.plan import Plan, PlanKind, PlanState
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN_LIVE
from provisioning.wishes import ask_return


def off(account: Account, *, holds: Collection[Hold], is_asked: bool = False, is_known: bool = True) -> dict[str, str]:
    """Why each verb can't be done to an account as it is, whoever asks; empty words for those that can.

    `holds` are its live ones; `is_asked`: it is asked back already; `is_known`: a system knows it, and could ask.
    """
    reasons = dict.fromkeys(("suspend", "end", "renew", "offer", "ask"), "")
    if account.state in {AccountState.DEPROVISIONED, AccountState.ARCHIVED}:
        reasons["end"] = _("it has ended already")
        reasons["renew"] = reasons["offer"] = _("it has ended: ask for it to come back first")
    if account.state == AccountState.ARCHIVED:
        reasons = dict.fromkeys(reasons, _("it is archived: nothing changes it any more"))
    elif not _kinds(account, holds):
        reasons["suspend"] = _("it is held already: release the hold above first")
    if account.state != AccountState.DEPROVISIONED:
        reasons["ask"] = reasons["ask"] or _("it has not ended")
    elif is_asked:
        reasons["ask"] = _("it is asked back already: the question above waits for people")
    elif not is_known:
        reasons["ask"] = _("no system knows it, so none could take it back")
    return reasons


def _kinds(account: Account, holds: Collection[Hold]) -> list[HoldKind]:
    """The kinds of hold that can be placed. One that has ended is held by security alone."""
    placed = {hold.kind for hold in holds}
    wanted = [HoldKind.SECURITY]
    if account.state != AccountState.DEPROVISIONED:
        wanted.insert(0, HoldKind.MANUAL)
    return [] if account.state == AccountState.ARCHIVED else [kind for kind in wanted if kind not in placed]


def _living_holds(account: Account) -> list[Hold]:
    return list(Hold.objects.filter(account=account, released_at__isnull=True))


def _ruling(account: Account, verb: str, **known: Any) -> Ruling:
    """Whether the verb can be done now. A form that was open meanwhile is refused as the button is."""
    reason = off(account, holds=_living_holds(account), **known)[verb]
    return Ruling(allowed=not reason, reason=_("Nothing was changed: %(reason)s.") % {"reason": reason})


def _reached(found: Account) -> list[str]:
    living = Shadow.objects.filter(account=found, ended_at__isnull=True)
    return list(living.order_by("system__name").values_list("system__name", flat=True))


def _question(word: str, name: str, places: Sequence[str]) -> str:
    """The verb, what it is about, and where it is felt."""
    where = ngettext("at %(n)d system", "at %(n)d systems", len(places)) % {"n": len(places)}
    return f"{word} {name} {where}?" if places else f"{word} {name}?"


def _read_back(places: Sequence[str]) -> str:
    if not places:
        return _("No system knows it: there is nothing to read back.")
    return _("%(systems)s: read back within five minutes.") % {"systems": ", ".join(places)}


def wishes(account: Account) -> QuerySet[Plan]:
    """The live plans that ask for an ended account to come back: one at most for each ending."""
    return Plan.objects.filter(account=account, kind=PlanKind.REACTIVATION, state__in=PLAN_LIVE)


class HoldForm(ReasonForm):
    """Which kind of hold, and why."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind of hold"),
        help_text=gettext_lazy("A security hold is released by security alone, and blocks a return after the end."),
    )
    field_order = ("kind", "reason")

    def __init__(self, *args: Any, kinds: Sequence[HoldKind], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["kind"]
        field.choices = [(kind.value, kind.label) for kind in kinds]


@page(Word.ACCOUNT_SUSPEND)
def suspend(request: PageRequest, pk: UUID) -> HttpResponse:
    """Place a hold."""
    found = get_object_or_404(Account, pk=pk)
    places, has_ended = _reached(found), found.state == AccountState.DEPROVISIONED

    def do(cleaned: dict[str, Any]) -> str:
        kind = HoldKind(cleaned["kind"])
        if not lifecycle.suspend(accounts=[found.pk], kind=kind, reason=cleaned["reason"], at=request.at):
            raise Refused(_("It has ended or is held so already: look at its page again."))
        if has_ended:
            return _("%(name)s is held by security: nobody can bring it back.") % {"name": found.user_name}
        return _("%(name)s is suspended. Its systems are read back within five minutes.") % {"name": found.user_name}

    if has_ended:
        title, button = _("Hold %(name)s by security?") % {"name": found.user_name}, _("Hold 1 account")
        consequences = [_("No approval brings it back while this hold lives; security alone releases it.")]
    else:
        title, button = _question(_("Suspend"), found.user_name, places), _("Suspend 1 account")
        consequences = [
            _("It is inactive here at once; sign-ins of its person end."),
            _read_back(places),
            _("It is what it was again when the hold is released."),
        ]
    return ask(
        request,
        Ask(
            title=title,
            button=button,
            keep=reverse("account", args=[pk]),
            consequences=consequences,
            is_danger=True,
            ruling=_ruling(found, "suspend"),
        ),
        do=do,
        form_class=HoldForm,
        kinds=_kinds(found, _living_holds(found)),
    )


@page(Word.ACCOUNT_END)
def end(request: PageRequest, pk: UUID) -> HttpResponse:
    """Deprovision."""
    found = get_object_or_404(Account, pk=pk)
    places = _reached(found)
    owned = Ownership.objects.filter(owner=found, state="accepted").count()
    orphans = ngettext(
        "%(n)d account that it answers for needs a new owner within 7 days.",
        "%(n)d accounts that it answers for need a new owner within 7 days.",
        owned,
    )

    def do(cleaned: dict[str, Any]) -> str:
        if not lifecycle.deprovision(accounts=[found.pk], reason=cleaned["reason"], at=request.at):
            raise Refused(_("It has ended meanwhile: look at its page again."))
        return _("%(name)s has ended. It comes back only by approval.") % {"name": found.user_name}

    return ask(
        request,
        Ask(
            title=_question(_("End"), found.user_name, places),
            button=_("End 1 account"),
            keep=reverse("account", args=[pk]),
            consequences=[
                _("It ends here at once; sign-ins of its person end."),
                _read_back(places),
                *([orphans % {"n": owned}] if owned else []),
                _("It comes back only when people approve it; sessions and tokens from before never do."),
            ],
            is_danger=True,
            ruling=_ruling(found, "end"),
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
    stay = ngettext(
        "%(n)d other hold stays: it remains suspended.", "%(n)d other holds stay: it remains suspended.", others
    )
    after = stay % {"n": others} if others else _("It was the last hold: it is active again if nothing is missing.")
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


class RenewForm(UntilForm):
    """Until when an account goes on, and why."""

    longest = lifecycle.LONGEST
    too_long = gettext_lazy("Choose a day within two years: every end is looked at again.")
    until = forms.DateField(label=gettext_lazy("New end"), widget=forms.DateInput(attrs={"type": "date"}))
    field_order = ("until", "reason")


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
            facts=[(_("Ends now"), found.expires_at or _("no end"))],
            ruling=_ruling(found, "renew"),
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
            ruling=_ruling(found, "offer"),
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
    is_asked = wishes(found).exists()

    def do(_cleaned: dict[str, Any]) -> str:
        if shadow is None or found.state != AccountState.DEPROVISIONED:
            raise lifecycle.CantReturn(_("it has not ended, or no system knows it"))
        asked = ask_return(
            account=found,
            system=shadow.system,
            requesters={request.user.identity_id} | systems.requesters(system=shadow.system, at=request.at),
            asked_by=request.user.get_username(),
            exchange_id=None,
            at=request.at,
        )
        if asked.state == PlanState.DONE:
            return _("It is back: an exception excuses returns at %(system)s now.") % {"system": shadow.system.name}
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
            ruling=_ruling(found, "ask", is_asked=is_asked, is_known=shadow is not None),
        ),
        do=do,
        refusals=(lifecycle.CantReturn,),
    )
