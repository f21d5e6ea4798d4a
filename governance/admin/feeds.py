"""One feed: the values that its cursor had, and the verbs: follow, stop, listen more or less often, ask for a rewind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.rules import Refused, Word
from audit.journal import timeline
from audit.models import Cause
from governance import approvals, rewinds
from governance.admin import system_feeds, tokens
from governance.admin.changes import By, by
from governance.admin.once import answer
from governance.admin.replays import instant
from governance.pages import Ask, PageRequest, ReasonForm, ask, page, window
from provisioning import cursors
from provisioning.feeds.following import STREAMS
from provisioning.feeds.scim_delta import moment_of, position_at
from provisioning.models.connection import Connection
from provisioning.models.cursor import Cursor, CursorState

REFUSALS = (*tokens.REFUSALS, cursors.CantFollow)
CANT_ASK = (approvals.CantAsk, approvals.BadAnswer)
LONGEST_CADENCE = 10_080
_LARGEST_KEY = 2**63 - 1


class CadenceForm(ReasonForm):
    """How often a feed is listened to."""

    cadence_minutes = forms.IntegerField(
        label=gettext_lazy("Listen every (minutes)"),
        help_text=gettext_lazy("Without an answer for twice as long it is a finding."),
        min_value=1,
        max_value=LONGEST_CADENCE,
        initial=5,
    )
    field_order: tuple[str, ...] = ("cadence_minutes", "reason")


class FollowForm(CadenceForm):
    """What is followed, and how often."""

    stream = forms.ChoiceField(label=gettext_lazy("What"), choices=[(s, system_feeds.NAMES[s]) for s in STREAMS])
    field_order = ("stream", "cadence_minutes", "reason")


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value of a cursor: what it was, since when, by whom, and in whose words why."""

    row: Any
    heard_until: datetime | None
    by: By
    said: str
    is_before: bool


def _feed(pk: UUID, cursor: UUID) -> Cursor:
    found: Cursor = get_object_or_404(Cursor.objects.select_related("system"), pk=cursor, system=pk)
    return found


def _page_of(found: Cursor) -> str:
    return reverse("feed", args=[found.system_id, found.pk])


def _named(found: Cursor) -> dict[str, Any]:
    return {"stream": system_feeds.NAMES.get(found.stream, found.stream), "system": found.system.name}


@page(Word.ROLL_READ)
def feed(request: PageRequest, pk: UUID, cursor: UUID) -> HttpResponse:
    """One feed, with every value that its cursor had, newest first."""
    found = _feed(pk, cursor)
    kept = window(request, found.history.order_by("-history_id"))
    return render(
        request,
        "pages/feed.html",
        {
            "line": system_feeds.one(found, at=request.at),
            "cursor": found,
            "system": found.system,
            "window": kept,
            "values": _values(found, kept.rows),
            "off": _off(found),
        },
    )


def _values(found: Cursor, rows: Sequence[Any]) -> list[Value]:
    """The rows with their causes, and with what the journal said of the cursor then. Two queries."""
    stands = moment_of(found.position)
    causes = Cause.objects.in_bulk({row.cause_id for row in rows if row.cause_id is not None})
    told = timeline(kind="cursor", subject_id=str(found.pk)).filter(cause_id__in=list(causes))
    said = dict(told.order_by("id").values_list("cause_id", "sentence"))
    shown = []
    for row in rows:
        until = moment_of(row.position)
        shown.append(
            Value(
                row=row, heard_until=until, by=by(causes.get(row.cause_id)), said=said.get(row.cause_id, ""),
                is_before=until is not None and stands is not None and until < stands,
            )
        )  # fmt: skip
    return shown


def _off(found: Cursor) -> dict[str, str]:
    """Why each verb is off, where it is; empty words for the others."""
    ended = _("%(system)s has ended.") % {"system": found.system.name} if found.system.ended_at is not None else ""
    stopped = _("It is stopped.") if found.state == CursorState.STOPPED else ""
    return {"follow": ended, "any": ended or stopped, "rewind": ended or cursors.no_way_back(found)}


@page(Word.SYSTEM_MANAGE)
def follow(request: PageRequest, pk: UUID) -> HttpResponse:
    """Listen to a stream of a system between its readings."""
    found = tokens.living(pk)
    if why := cursors.in_the_way(found, Connection.objects.filter(system=found).first()):
        raise Refused(why)

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        on = Cursor.objects.filter(system=found, stream=cleaned["stream"]).exclude(state=CursorState.STOPPED).exists()
        made = cursors.follow(
            system=found, stream=cleaned["stream"], cadence_minutes=cleaned["cadence_minutes"], at=request.at
        )
        said = (
            _("%(system)s: %(stream)s are followed already, every %(n)d minutes: nothing was changed.")
            if on
            else _("%(system)s: %(stream)s are followed every %(n)d minutes. A complete reading is due first.")
        )
        messages.success(request, said % (_named(made) | {"n": made.cadence_minutes}))
        return HttpResponseRedirect(_page_of(made))

    asked = Ask(
        title=_("Follow a feed of %(system)s?") % {"system": found.name},
        button=_("Follow 1 feed"),
        keep=reverse("system", args=[pk]),
        consequences=[
            _("It begins with a complete reading, which is due at once."),
            _("What it says has changed takes effect as if %(system)s had sent it.") % {"system": found.name},
            _("A list of changes shows no deletions: those are found by complete readings, as before."),
            _("You count as asking for what it asks for, for 30 days: you can't approve that."),
        ],
    )
    chosen = request.GET.get("stream", "")
    initial = {"stream": chosen} if chosen in STREAMS else {}
    return answer(request, asked, do=do, form_class=FollowForm, refusals=REFUSALS, initial=initial)


@page(Word.SYSTEM_MANAGE)
def stop(request: PageRequest, pk: UUID, cursor: UUID) -> HttpResponse:
    """Listen to a stream no more."""
    tokens.living(pk)
    found = _feed(pk, cursor)

    def do(cleaned: dict[str, Any]) -> str:
        cursors.stop(cursor=found, reason=cleaned["reason"], at=request.at)
        return _("%(system)s: %(stream)s are not followed any more.") % _named(found)

    asked = Ask(
        title=_("Stop following the %(stream)s of %(system)s?") % _named(found),
        button=_("Stop 1 feed"),
        keep=_page_of(found),
        consequences=[
            _("What changes there is heard no sooner than its next complete reading, or when it sends it."),
            _("What was received is applied all the same. A rewind that is asked for is void."),
            _("Following it again begins with a complete reading."),
        ],
        is_danger=True,
    )
    return ask(request, asked, do=do, refusals=REFUSALS)


@page(Word.SYSTEM_MANAGE)
def cadence(request: PageRequest, pk: UUID, cursor: UUID) -> HttpResponse:
    """Listen more, or less often."""
    tokens.living(pk)
    found = _feed(pk, cursor)

    def do(cleaned: dict[str, Any]) -> str:
        cursors.change_cadence(cursor=found, cadence_minutes=cleaned["cadence_minutes"], at=request.at)
        return _("It is listened to every %(n)d minutes.") % {"n": cleaned["cadence_minutes"]}

    asked = Ask(
        title=_("Listen to the %(stream)s of %(system)s more, or less often?") % _named(found),
        button=_("Change 1 feed"),
        keep=_page_of(found),
        facts=[(_("Now, in minutes"), found.cadence_minutes)],
        consequences=[_("Nothing is missed: it goes on from where it stands.")],
    )
    initial = {"cadence_minutes": found.cadence_minutes}
    return ask(request, asked, do=do, form_class=CadenceForm, refusals=REFUSALS, initial=initial)


def _position(request: PageRequest, found: Cursor) -> Mapping[str, Any] | None:
    """Where the address asks to go back to: one of its past values, or a time where the tenant is."""
    typed = request.GET.get("value", "")
    if typed.isascii() and typed.isdigit() and int(typed) <= _LARGEST_KEY:
        past: Any = found.history.filter(history_id=int(typed)).first()
        return past.position if past is not None else None
    moment = instant(request, "to")
    return position_at(moment) if moment is not None else None


@page(Word.SYSTEM_MANAGE)
def rewind(request: PageRequest, pk: UUID, cursor: UUID) -> HttpResponse:
    """Ask that a feed be listened to once more from an earlier time, with its effect shown first."""
    system = tokens.living(pk)
    found = _feed(pk, cursor)
    to = _position(request, found)
    try:
        if to is None:
            raise approvals.BadAnswer(_("Choose one of its past values, or write a time."))
        effect = rewinds.foreseen(cursor=found, to=to, at=request.at)
    except CANT_ASK as refused:
        messages.error(request, _("Nothing was asked: %(why)s") % {"why": refused})
        return HttpResponseRedirect(_page_of(found))

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        question = approvals.ask_rewind(
            cursor=found, to=to, asked_by=request.user, reason=cleaned["reason"], at=request.at
        )
        messages.success(
            request,
            _("Asked. One security person who does not administer %(system)s answers.") % {"system": system.name},
        )
        return HttpResponseRedirect(reverse("approval", args=[question.pk]))

    asked = Ask(
        title=_("Ask that the %(stream)s of %(system)s be listened to once more?") % _named(found),
        button=_("Ask for 1 rewind"),
        keep=_page_of(found),
        facts=[(_("From"), effect.since), (_("It stands at"), effect.until)],
        consequences=[
            *effect.sentences(),
            _("One security person answers, who does not administer it and did not in the last 30 days."),
            _("Silence for 7 days means no. It is void when the feed begins anew before."),
        ],
    )
    return answer(request, asked, do=do, refusals=(Refused, *CANT_ASK))
