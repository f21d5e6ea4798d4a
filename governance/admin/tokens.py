"""Tokens of a system, on its page: made, rotated and ended. The text of one is shown on one answer, and kept nowhere."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models.system import System
from accounts.rules import Refused, Word
from governance.admin.once import answer, once
from governance.admin.people import names_of
from governance.admin.system_forms import USUAL_TOKEN, RotateForm, TokenForm
from governance.admin.system_test import guide_of
from governance.pages import Ask, PageRequest, ask, page
from provisioning import connections as connection_door
from provisioning import systems as door
from provisioning import tokens as token_door
from provisioning.models.connection import SystemToken

REFUSALS = (Refused, door.BadSystem, connection_door.SecretUnreadable)
_ENDED_SHOWN = 10


def living(pk: UUID) -> System:
    """A system that something can still be done with. Raises `Refused` for one that has ended."""
    found = get_object_or_404(System, pk=pk)
    if found.ended_at is not None:
        raise Refused(_("%(system)s has ended. Connect a new system; an administrator can.") % {"system": found.name})
    return found


def live_counts(*, at: datetime) -> dict[UUID, dict[str, Any]]:
    """How many live tokens each system has, and when the last of them ends."""
    live = SystemToken.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=at), expires_at__gt=at, system__in=System.objects.all()
    )
    counted = live.order_by().values("system").annotate(live=Count("id"), until=Max("expires_at"))
    return {row["system"]: {"live": row["live"], "until": row["until"]} for row in counted}


def rows(system: System, *, at: datetime) -> list[dict[str, Any]]:
    """Its live tokens, then the last ten of those that are refused, each with what it is and who made it."""
    kept = list(SystemToken.objects.filter(system=system).order_by("-made_at")[:50])
    names = names_of({row.made_by_id for row in kept if row.made_by_id is not None})
    found = [
        {
            "token": row,
            "is_live": (row.ended_at is None or row.ended_at > at) and row.expires_at > at,
            "made_by": names[row.made_by_id] if row.made_by_id is not None else _("set-up"),
            "until": min(row.ended_at, row.expires_at) if row.ended_at is not None else row.expires_at,
        }
        for row in kept
    ]
    live = [row for row in found if row["is_live"]]
    return [*live, *[row for row in found if not row["is_live"]][:_ENDED_SHOWN]]


def _newest(system: System) -> str:
    return str(SystemToken.objects.filter(system=system).values_list("pk", flat=True).order_by("-pk").first() or "")


def _only_once(system: System, after: str) -> None:
    """Refuse a form that was sent twice: the second would make a token that nobody has seen."""
    System.objects.select_for_update().get(pk=system.pk)
    if after != _newest(system):
        raise door.BadSystem(
            _("A token was made since this form was shown. Look at the system's page, then open the form again.")
        )


def _shown_once(request: PageRequest, made: tuple[SystemToken, str]) -> HttpResponse:
    token, text = made
    base_url = f"{settings.ROLLCALL_PUBLIC_URL}/scim/v2"
    guide = guide_of(request, token.system)
    context = {"token": token, "system": token.system, "text": text, "base_url": base_url, "guide": guide}
    return once(request, "pages/system_token.html", context)


def _token_arguments(request: PageRequest, system: System, **initial: Any) -> dict[str, Any]:
    until = (request.at + USUAL_TOKEN).astimezone(request.tenant.zone).date()
    return {
        "zone": request.tenant.zone,
        "at": request.at,
        "initial": {"until": until, "after": _newest(system), **initial},
    }


@page(Word.SYSTEM_MANAGE)
def token(request: PageRequest, pk: UUID) -> HttpResponse:
    """Make a token. Its text stands on the answer to the POST, and nowhere else."""
    found = living(pk)

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        _only_once(found, cleaned["after"])
        made = token_door.make_token(
            system=found, label=cleaned["label"], may=cleaned["may"], expires_at=cleaned["until"],
            made_by=request.user.identity_id, at=request.at,
        )  # fmt: skip
        return _shown_once(request, made)

    asked = Ask(
        title=_("Make a token for %(system)s?") % {"system": found.name},
        button=_("Make 1 token"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("It is shown once, on the next page, and kept nowhere."),
            _("Whoever has it speaks for %(system)s until the day you choose.") % {"system": found.name},
            _("For 30 days you can't approve what it asks for."),
        ],
    )
    arguments = _token_arguments(request, found)
    return answer(request, asked, do=do, form_class=TokenForm, refusals=REFUSALS, **arguments)


def _live_token(found: System, token: UUID, *, at: datetime) -> SystemToken:
    its_token = get_object_or_404(SystemToken.objects.select_related("system"), pk=token, system=found)
    if its_token.expires_at <= at or (its_token.ended_at is not None and its_token.ended_at <= at):
        raise Refused(_("Token %(token)s has ended already: make a new one.") % {"token": its_token})
    return its_token


@page(Word.SYSTEM_MANAGE)
def token_rotate(request: PageRequest, pk: UUID, token: UUID) -> HttpResponse:
    """Make a token in the place of another, which goes on for some hours."""
    found = living(pk)
    old = _live_token(found, token, at=request.at)

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        _only_once(found, cleaned["after"])
        made = token_door.rotate_token(
            token=old, expires_at=cleaned["until"], ends_in=timedelta(hours=cleaned["overlap"]),
            made_by=request.user.identity_id, at=request.at,
        )  # fmt: skip
        return _shown_once(request, made)

    asked = Ask(
        title=_("Rotate token %(token)s of %(system)s?") % {"token": old, "system": found.name},
        button=_("Rotate 1 token"),
        keep=reverse("system", args=[pk]),
        facts=[(_("Label"), old.label or _("none")), (_("It may"), ", ".join(old.may))],
        consequences=[
            _("Both are good for the hours you type; then the old one is answered 401."),
            _("The new one is shown once, on the next page, and kept nowhere."),
            _("For 30 days you can't approve what %(system)s asks for.") % {"system": found.name},
        ],
    )
    arguments = _token_arguments(request, found)
    return answer(request, asked, do=do, form_class=RotateForm, refusals=REFUSALS, **arguments)


@page(Word.SYSTEM_MANAGE)
def token_end(request: PageRequest, pk: UUID, token: UUID) -> HttpResponse:
    """End a token now."""
    found = living(pk)
    old = _live_token(found, token, at=request.at)
    others = live_counts(at=request.at)[found.pk]["live"] - 1

    def do(cleaned: dict[str, Any]) -> str:
        token_door.end_token(token=old, reason=cleaned["reason"], at=request.at)
        return _("Token %(token)s has ended: what comes with it is answered 401.") % {"token": old}

    after = (
        _("Other live tokens of %(system)s: %(n)d. They stay good.") % {"n": others, "system": found.name}
        if others
        else _("It is the last: %(system)s stops now, and its endings no longer arrive here.") % {"system": found.name}
    )
    asked = Ask(
        title=_("End token %(token)s of %(system)s?") % {"token": old, "system": found.name},
        button=_("End 1 token"),
        keep=reverse("system", args=[pk]),
        facts=[(_("Label"), old.label or _("none"))],
        consequences=[_("Requests with it are answered 401 at once."), after, _("It does not come back.")],
        is_danger=True,
    )
    return ask(request, asked, do=do, refusals=REFUSALS)
