"""Replays: what somebody asked to be replayed, how far it is, and the pages that ask before."""

import time
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models.system import System
from accounts.rules import Refused, Ruling, Word
from governance.admin import replay_facts
from governance.admin.once import answer
from governance.pages import Ask, PageRequest, ask, asked_id, page, window
from provisioning import replay, replaying
from provisioning.models.exchange import Exchange, OutcomeWord
from provisioning.models.replay import Replay, ReplayKind, ReplayState
from provisioning.replay import Busy, InTheWay
from provisioning.replaying import BadRange, Preview, Range

# So many are simulated before the question is put, within so many seconds; how many that were is said.
SIMULATED, SECONDS = 200, 3.0


def instant(request: PageRequest, name: str) -> datetime | None:
    """The instant that a filter names, where the tenant is; anything else that is typed is no filter."""
    try:
        found = parse_datetime(request.GET.get(name, ""))
    except ValueError:
        return None
    if found is None or not 1970 <= found.year < 9000:  # noqa: PLR2004  what a key can be made of
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=request.tenant.zone)


def _bounds(request: PageRequest) -> dict[str, UUID]:
    first, last = instant(request, "from"), instant(request, "until")
    found = {"first_id": replaying.since(first)} if first is not None else {}
    return found | ({"last_id": replaying.until(last)} if last is not None else {})


def asked_range(request: PageRequest) -> Range | None:
    """What the filter of the ledger would replay: a resource, what is parked, or a range of one system."""
    named = asked_id(request, "system")
    system = System.objects.filter(pk=named).first() if named is not None else None
    resource, bounds = asked_id(request, "resource_id"), _bounds(request)
    if resource is not None:
        return Range(kind=ReplayKind.RESOURCE, resource_id=resource, system=system, **bounds)
    if request.GET.get("outcome") == OutcomeWord.PARKED:
        return Range(kind=ReplayKind.PARKED, system=system, **bounds)
    return Range(kind=ReplayKind.RANGE, system=system, **bounds) if system is not None else None


def _ledger(request: HttpRequest) -> str:
    query = urlencode([(name, value) for name, values in request.GET.lists() for value in values])
    return f"{reverse('ledger')}?{query}" if query else reverse("ledger")


def _for_seconds() -> Any:
    ends_at = time.monotonic() + SECONDS
    return lambda: time.monotonic() < ends_at


def _foreseen(seen: Preview) -> list[str]:
    """What a replay would do, in sentences."""
    change = ngettext("%(n)d would change something.", "%(n)d would change something.", seen.would_change)
    lines = [change % {"n": seen.would_change}]
    if seen.would_ask:
        wish = ngettext("%(n)d would ask people first.", "%(n)d would ask people first.", seen.would_ask)
        lines.append(wish % {"n": seen.would_ask})
    if in_the_way := seen.counts.get(replaying.IN_THE_WAY, 0):
        first = seen.in_the_way[0]
        lines.append(
            _("%(n)d can't be replayed, such as %(label)s: %(because)s.")
            % {"n": in_the_way, "label": first["label"], "because": first["because"]}
        )
    if seen.looked_at < seen.total:
        lines.append(_("That is of the first %(n)d: more were not simulated here.") % {"n": seen.looked_at})
    lines.append(_("The older word never overwrites a newer one; what gives access asks people first."))
    lines.append(_("You can stop it on its page, and go on later; what is done stays done."))
    return lines


@page(Word.LEDGER_REPLAY)
def new(request: PageRequest) -> HttpResponse:
    """Ask before what the filter of the ledger shows is replayed."""
    asked = asked_range(request)
    if asked is None:
        raise Refused(_("Choose a system, a resource or what is parked in the ledger: then it can be replayed."))
    is_asked = request.method != "POST"
    seen = replaying.preview(asked, at=request.at, go_on=_for_seconds(), most=SIMULATED if is_asked else 0)

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        row = replaying.begin(asked, by=request.user, reason=cleaned["reason"], at=request.at)
        return HttpResponseRedirect(reverse("replay", args=[row.pk]))

    question = _("Replay %(n)d: %(change)d would change") % {"n": seen.total, "change": seen.would_change}
    button = ngettext("Replay %(n)d exchange", "Replay %(n)d exchanges", seen.total) % {"n": seen.total}
    asking = Ask(
        title=question if is_asked else button, button=button, keep=_ledger(request),
        consequences=_foreseen(seen) if is_asked else [],
        facts=[(_("What"), asked.kind.label), (_("System"), str(asked.system or _("all")))],
    )  # fmt: skip
    return answer(request, asking, do=do, refusals=(BadRange, Refused))


@page(Word.LEDGER_REPLAY)
def one(request: PageRequest, pk: UUID) -> HttpResponse:
    """Replay one exchange, here and now."""
    found = replay.original_of(get_object_or_404(Exchange.objects.select_related("system"), pk=pk))
    shown = replay_facts.of(found, then=(), at=request.at) if request.method != "POST" else None
    label = found.resource_label or found.path

    def do(cleaned: dict[str, Any]) -> HttpResponse:
        asked = Range(kind=ReplayKind.EXCHANGE, exchange_id=found.pk)
        row = replaying.begin(asked, by=request.user, reason=cleaned["reason"], at=request.at)
        while not replaying.step(replay_id=row.pk, at=request.at):
            pass
        made = Exchange.objects.filter(replays=found.pk).order_by("-id")[0]
        messages.success(request, _("Replayed: %(outcome)s.") % {"outcome": made.get_outcome_display()})
        return HttpResponseRedirect(reverse("exchange", args=[made.pk]))

    asking = Ask(
        title=_("Replay %(method)s of %(label)s?") % {"method": found.method, "label": label},
        button=_("Replay 1 exchange"), keep=reverse("exchange", args=[pk]),
        consequences=[shown.sentence, *([shown.rules] if shown.rules else [])] if shown is not None else [],
        facts=[(_("System"), found.system.name), (_("Sent"), found.at)],
    )  # fmt: skip
    return answer(request, asking, do=do, refusals=(BadRange, InTheWay, Busy, Refused))


@page(Word.ROLL_READ)
def replays(request: PageRequest) -> HttpResponse:
    """Every replay, newest first."""
    rows = Replay.objects.select_related("system").order_by("-made_at")
    return render(request, "pages/replays.html", {"window": window(request, rows)})


@page(Word.ROLL_READ)
def shown(request: PageRequest, pk: UUID) -> HttpResponse:
    """One replay and how far it is; `?part=body` is what of it renews itself while it runs."""
    found = get_object_or_404(Replay.objects.select_related("system"), pk=pk)
    labels = dict(OutcomeWord.choices)
    words = {replaying.IN_THE_WAY: _("can't be replayed"), replaying.FAILED: _("failed")}
    part = request.GET.get("part") == "body"
    context = {
        "replay": found,
        "counts": [(word, labels.get(word) or words.get(word, word), n) for word, n in sorted(found.counts.items())],
        "is_part": part,
    }
    return render(request, "pages/replay_body.html" if part else "pages/replay.html", context)


@page(Word.LEDGER_REPLAY)
def stop(request: PageRequest, pk: UUID) -> HttpResponse:
    """No further exchange is replayed."""
    found = get_object_or_404(Replay.objects.select_related("system"), pk=pk)

    def do(cleaned: dict[str, Any]) -> str:
        replaying.stop(row=found, by=request.user, reason=cleaned["reason"], at=request.at)
        return _("Stopped. What is done stays done; it can go on later.")

    return ask(
        request,
        Ask(
            title=_("Stop after %(done)d of %(total)d?") % {"done": found.done, "total": found.total},
            button=_("Stop 1 replay"), keep=reverse("replay", args=[pk]),
            consequences=[_("What is done stays done."), _("It can go on where it stands.")],
            ruling=Ruling(allowed=found.state == ReplayState.RUNNING, reason=_("It does not run: nothing to stop.")),
        ),
        do=do, refusals=(BadRange, Refused),
    )  # fmt: skip


@page(Word.LEDGER_REPLAY)
def resume(request: PageRequest, pk: UUID) -> HttpResponse:
    """It goes on where it stands."""
    found = get_object_or_404(Replay.objects.select_related("system"), pk=pk)

    def do(cleaned: dict[str, Any]) -> str:
        replaying.resume(row=found, by=request.user, reason=cleaned["reason"], at=request.at)
        return _("It goes on within a few seconds.")

    return ask(
        request,
        Ask(
            title=_("Go on with %(left)d of %(total)d?") % {"left": found.total - found.done, "total": found.total},
            button=_("Go on with 1 replay"), keep=reverse("replay", args=[pk]),
            consequences=[_("What is newer than an exchange stands, also what came while it was stopped.")],
            ruling=Ruling(allowed=found.state == ReplayState.STOPPED, reason=_("It was not stopped.")),
        ),
        do=do, refusals=(BadRange, Refused),
    )  # fmt: skip
