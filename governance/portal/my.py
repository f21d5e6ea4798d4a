"""The owner's pages: what I answer for, what is offered to me, what I am asked to review. Phone first."""

import zoneinfo
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import ownership
from accounts.models.ownership import Ownership, OwnershipState
from accounts.rules import Refused, Word
from governance import reviews as door
from governance.models.campaign import Review, ReviewDecision, ReviewState
from governance.pages import Ask, PageRequest, ask, end_of_day, page
from provisioning.models.shadow import Shadow

BATCH = 12
OFFERS = 50


@page(Word.REVIEW_ANSWER)
def my(request: PageRequest) -> HttpResponse:
    """Offers, reviews in batches of twelve with the riskiest first, and the accounts that I answer for."""
    own = Ownership.objects.filter(owner__identity=request.user.identity_id).select_related("account", "owner")
    lines = door.mine(request.user)
    waiting = lines.filter(state=ReviewState.WAITING)
    return render(
        request,
        "pages/my.html",
        {
            "offers": own.filter(state=OwnershipState.OFFERED).order_by("offered_at")[:OFFERS],
            "owned": own.filter(state=OwnershipState.ACCEPTED).order_by("account__expires_at")[:200],
            "waiting": waiting[:BATCH],
            "waiting_count": waiting.count(),
            "decided": lines.exclude(state=ReviewState.WAITING)[:50],
        },
    )


def _offer(request: PageRequest, pk: UUID) -> Ownership:
    return get_object_or_404(
        Ownership.objects.select_related("account", "owner"), pk=pk, owner__identity=request.user.identity_id
    )


class OptionalReason(forms.Form):
    """A yes needs no reason, but may have one."""

    reason = forms.CharField(
        label=gettext_lazy("Note"), required=False, max_length=1000, widget=forms.Textarea(attrs={"rows": 2})
    )


@page(Word.OWNERSHIP_ANSWER)
def accept(request: PageRequest, pk: UUID) -> HttpResponse:
    """Accept an offer."""
    found = _offer(request, pk)

    def do(cleaned: dict[str, Any]) -> str:
        wanted = Shadow.objects.filter(account=found.account, ended_at__isnull=True, wants_active=True).exists()
        ownership.accept(ownership=found, reason=cleaned["reason"], wanted_active=wanted, at=request.at)
        return _("You answer for %(name)s now.") % {"name": found.account.user_name}

    return ask(
        request,
        Ask(
            title=_("Answer for %(name)s?") % {"name": found.account.user_name},
            button=_("Accept 1 account"),
            keep=reverse("my"),
            facts=[(_("Purpose"), found.account.purpose or "-"), (_("Kind"), found.account.get_kind_display())],
            consequences=[
                _("It is active as soon as nothing else is missing."),
                _("You are asked again whether it is still needed, and told before it ends."),
            ],
        ),
        do=do,
        form_class=OptionalReason,
        refusals=(ownership.CantOwn,),
    )


@page(Word.OWNERSHIP_ANSWER)
def decline(request: PageRequest, pk: UUID) -> HttpResponse:
    """Decline an offer."""
    found = _offer(request, pk)

    def do(cleaned: dict[str, Any]) -> str:
        ownership.decline(ownership=found, reason=cleaned["reason"], at=request.at)
        return _("Declined. Security looks for somebody else.")

    return ask(
        request,
        Ask(
            title=_("Decline %(name)s?") % {"name": found.account.user_name},
            button=_("Decline 1 account"),
            keep=reverse("my"),
            consequences=[_("It stays as it is, and security is told that nobody answers for it.")],
        ),
        do=do,
        refusals=(ownership.CantOwn,),
    )


def _line(request: PageRequest, pk: UUID) -> Review:
    line = door.mine(request.user).filter(pk=pk).first()
    if line is None:
        raise Http404(_("this line is not yours, or its campaign is over"))
    return line


def _shown(evidence: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The evidence of a line in the order in which one decides by it. What is unknown says so."""

    def instant(name: str, otherwise: str) -> Any:
        text = evidence.get(name)
        return datetime.fromisoformat(text) if text else otherwise

    def words(name: str) -> str:
        found = evidence.get(name) or []
        return ", ".join(str(one["title"] if isinstance(one, Mapping) else one) for one in found)

    privileged = _("yes") if evidence.get("is_privileged") else _("no")
    rows: list[tuple[str, Any]] = [
        (_("Last used"), instant("last_used_at", _("unknown: nothing tells us"))),
        (_("Reaches"), words("memberships") or _("no group that we know")),
        (_("Changed since it was last certified"), words("changed")),
        (_("Privileged"), privileged),
        (_("Wrong with it"), words("findings")),
        (_("Ends"), instant("expires_at", _("no end"))),
        (_("Known to"), words("systems") or _("no system")),
        (_("Environment"), evidence.get("environment") or ""),
        (_("Last certified"), instant("last_certified_at", _("never"))),
        (_("As of"), instant("frozen_at", "")),
    ]
    return [(name, value) for name, value in rows if value != ""]


@page(Word.REVIEW_ANSWER)
def review(request: PageRequest, pk: UUID) -> HttpResponse:
    """One line: the evidence as it was at the launch, and the two answers, equally near."""
    line = _line(request, pk)
    waiting = list(door.mine(request.user).filter(state=ReviewState.WAITING).values_list("pk", flat=True)[:BATCH])
    return render(
        request,
        "pages/review.html",
        {
            "line": line,
            "number": waiting.index(line.pk) + 1 if line.pk in waiting else None,
            "of": len(waiting),
            "evidence": _shown(line.evidence),
            "decisions": ReviewDecision.objects.filter(review=line),
        },
    )


class KeepForm(OptionalReason):
    """Until when it is still needed, if the end should come nearer."""

    until = forms.DateField(
        label=gettext_lazy("Needed until (only to end it sooner)"), required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
    )  # fmt: skip
    field_order = ("until", "reason")

    def __init__(self, *args: Any, zone: zoneinfo.ZoneInfo, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = zone

    def clean_until(self) -> datetime | None:
        """The end of the typed day where the tenant is."""
        day = self.cleaned_data["until"]
        return end_of_day(day, zone=self.zone) if day else None


def _next(request: PageRequest) -> str:
    following = door.mine(request.user).filter(state=ReviewState.WAITING).first()
    return reverse("review", args=[following.pk]) if following else reverse("my")


@page(Word.REVIEW_ANSWER)
def certify(request: PageRequest, pk: UUID) -> HttpResponse:
    """Still needed."""
    line = _line(request, pk)

    def do(cleaned: dict[str, Any]) -> str:
        door.certify(review=line, user=request.user, reason=cleaned["reason"], until=cleaned["until"], at=request.at)
        return _("%(name)s is still needed: kept.") % {"name": line.account.user_name}

    return ask(
        request,
        Ask(
            title=_("Is %(name)s still needed?") % {"name": line.account.user_name},
            button=_("Keep 1 account"),
            keep=reverse("review", args=[pk]),
            done=_next(request),
            consequences=[
                _("You may change your answer until %(day)s.") % {"day": f"{line.campaign.deadline:%Y-%m-%d}"}
            ],
        ),
        do=do,
        form_class=KeepForm,
        refusals=(Refused, door.BadDecision),
        zone=request.tenant.zone,
    )


@page(Word.REVIEW_ANSWER)
def revoke(request: PageRequest, pk: UUID) -> HttpResponse:
    """End it."""
    line = _line(request, pk)

    def do(cleaned: dict[str, Any]) -> str:
        door.revoke(review=line, user=request.user, reason=cleaned["reason"], at=request.at)
        return _("%(name)s is suspended here; the line is settled when its systems were read as off.") % {
            "name": line.account.user_name
        }

    return ask(
        request,
        Ask(
            title=_("End %(name)s?") % {"name": line.account.user_name},
            button=_("End 1 account"),
            keep=reverse("review", args=[pk]),
            done=_next(request),
            consequences=[
                _("It is suspended at once, and its systems are read back within five minutes."),
                _("You may change your answer until %(day)s.") % {"day": f"{line.campaign.deadline:%Y-%m-%d}"},
            ],
            is_danger=True,
        ),
        do=do,
        refusals=(Refused, door.BadDecision),
    )
