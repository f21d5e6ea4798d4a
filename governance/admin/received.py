"""What was acknowledged and is not applied yet: above the ledger, with what people can do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.rules import Word
from governance.pages import Ask, PageRequest, ask, page
from provisioning import received as door
from provisioning import tasks
from provisioning.models.received import Received
from provisioning.models.shadow import Shadow
from provisioning.scim import applying
from provisioning.states import RECEIVED_OPEN

SHOWN = 10
# Up to this many are counted.
MOST_COUNTED = 1_000


@dataclass(frozen=True)
class Open:
    """One that is open, and what its resource is called where we know it already."""

    received: Received
    label: str


@dataclass(frozen=True)
class Ahead:
    """The first of what is open: parked ones, which wait for a person, before those that wait for a worker."""

    rows: tuple[Open, ...]
    count: int
    is_more: bool


def ahead(asked: Mapping[str, str]) -> Ahead:
    """What is open, of the system and the resource that the ledger is asked for. Three queries, or one."""
    found = Received.objects.filter(state__in=sorted(RECEIVED_OPEN)).select_related("system").defer("sealed")
    for name in ("system", "resource_id"):
        if asked[name]:
            found = found.filter(**{name: asked[name]})
    rows = list(found.order_by("state", "received_at", "id")[:SHOWN])  # "parked" sorts before "waiting"
    if not rows:
        return Ahead((), 0, is_more=False)
    count = found.order_by()[: MOST_COUNTED + 1].count() if len(rows) == SHOWN else len(rows)
    names = dict(Shadow.objects.filter(pk__in=[one.resource_id for one in rows]).values_list("pk", "name"))
    shown = tuple(Open(one, names.get(one.resource_id or one.pk, "")) for one in rows)
    return Ahead(shown, min(count, MOST_COUNTED), is_more=count > MOST_COUNTED)


def _back(found: Received) -> str:
    return f"{reverse('ledger')}?system={found.system_id}"


def _found(pk: UUID) -> Received:
    found: Received = get_object_or_404(Received.objects.select_related("system").defer("sealed"), pk=pk)
    return found


def _name(found: Received) -> str:
    return f"{found.method} {found.path}"


def _facts(found: Received) -> list[tuple[str, Any]]:
    return [
        (_("System"), found.system.name),
        (_("What"), _name(found)),
        (_("Received"), found.received_at),
        (_("Tries"), found.tries),
        (_("Failed with"), found.error),
    ]


@page(Word.FINDING_HANDLE)
def now(request: PageRequest, pk: UUID) -> HttpResponse:
    """Apply it now, as far as its lane allows. POST alone."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    found = _found(pk)
    try:
        door.hurry(received=found, at=request.at)
    except door.CantRelease as refused:
        messages.error(request, _("Nothing was changed: %(why)s") % {"why": refused})
    else:
        transaction.on_commit(tasks.apply_soon)
        messages.success(request, _("%(what)s is applied as soon as a worker is free.") % {"what": _name(found)})
    return HttpResponseRedirect(_back(found))


@page(Word.FINDING_HANDLE)
def again(request: PageRequest, pk: UUID) -> HttpResponse:
    """Apply what is parked once more."""
    found = _found(pk)

    def do(cleaned: dict[str, Any]) -> str:
        door.again(received=found, reason=cleaned["reason"], at=request.at)
        transaction.on_commit(tasks.apply_soon)
        return _("%(what)s is applied again.") % {"what": _name(found)}

    asked = Ask(
        title=_("Apply %(what)s of %(system)s again?") % {"what": _name(found), "system": found.system.name},
        button=_("Apply 1 change again"),
        keep=_back(found),
        facts=_facts(found),
        consequences=[
            _("It goes through the same door as a request; what needs people still waits for them."),
            _("If it fails as often as before, it is parked again."),
            *_overtaken(found),
        ],
    )
    return ask(request, asked, do=do, refusals=(door.CantRelease,))


@page(Word.FINDING_HANDLE)
def give_up(request: PageRequest, pk: UUID) -> HttpResponse:
    """Never apply what is parked, and let its lane go on."""
    found = _found(pk)

    def do(cleaned: dict[str, Any]) -> str:
        applying.give_up(received=found, reason=cleaned["reason"], at=request.at)
        transaction.on_commit(tasks.apply_soon)
        return _("%(what)s is given up. What came after it goes on.") % {"what": _name(found)}

    behind = Received.objects.filter(system=found.system_id, lane=found.lane, state="waiting").count()
    asked = Ask(
        title=_("Give up %(what)s of %(system)s?") % {"what": _name(found), "system": found.system.name},
        button=_("Give up 1 change"),
        keep=_back(found),
        facts=_facts(found),
        consequences=[
            _("It is never applied, and its sender is told so. Its body is not kept."),
            _("Changes of the same resource that go on then: %(n)d.") % {"n": behind},
            *([_("It takes access away: make sure that this is done in another way.")] if found.reduces else []),
        ],
        is_danger=True,
    )
    return ask(request, asked, do=do, refusals=(door.CantRelease,))


def _overtaken(found: Received) -> list[str]:
    if found.overtaken_by is None:
        return []
    return [_("Something newer went past it: where it would undo that, it is superseded, and changes nothing.")]
