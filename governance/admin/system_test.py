"""The test of a connection: what to click in the identity provider, each step ticked as its request arrives.

Nothing is kept: when the test began stands in its address, and what came since is read off the ledger and the rings.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models.system import System
from accounts.rules import Word
from governance.admin.coercions import rules_seen
from governance.admin.guide_texts import GUIDES
from governance.admin.guides import STEPS, Guide, guessed
from governance.admin.once import once
from governance.admin.system_canary import follow, names_of
from governance.admin.system_seen import shown
from governance.admin.system_steps import Step, steps, unsorted
from governance.pages import PageRequest, page
from provisioning.models.connection import ReadRecord
from provisioning.seen import arrivals, since_key
from provisioning.tokens import READS_KEPT, refused_at

# Of each kind of request so many of the newest are looked at.
_EACH = 20
_OTHERS = 5
_SINCE = re.compile("[0-9]{9,10}")


@dataclass(frozen=True)
class Row:
    """One step of the test: what came, what to click for it, or why the client never sends it."""

    step: Step
    click: Any
    never: Any

    @property
    def shape(self) -> str:
        """Its shape; what the client never sends is no gap."""
        return "-" if self.is_never else self.step.shape

    @property
    def words(self) -> str:
        """What is said of it."""
        if self.is_never:
            return _("not sent by it")
        return _("not yet") if self.step.shape == "?" else self.step.words

    @property
    def is_never(self) -> bool:
        """Whether it is not to be waited for."""
        return bool(self.never) and self.step.shape == "?"


def guide_of(request: PageRequest, system: System) -> Guide:
    """The provider that the address names, else the one that the system is named after."""
    asked = request.GET.get("idp", "")
    return GUIDES[asked if asked in GUIDES else guessed(system.name, GUIDES, otherwise="other")]


def _began(request: PageRequest) -> datetime | None:
    """When the test began, as its address says; a time that lies ahead is none."""
    typed = request.GET.get("since", "")
    found = datetime.fromtimestamp(int(typed), UTC) if _SINCE.fullmatch(typed) else None
    return found if found is not None and found <= request.at else None


def _came(system: System, guide: Guide, since: datetime) -> dict[str, Any]:
    """What came since the test began. A dozen queries at most, whatever came."""
    key = since_key(since)
    found = arrivals(system, since=since, each=_EACH)
    reads = list(ReadRecord.objects.filter(system=system, id__gte=key).order_by("-id")[:READS_KEPT])
    refused = list(refused_at(system).filter(id__gte=key).order_by("-id")[:_EACH])
    came = steps(system, found, reads, refused)
    rows = [Row(came[one], guide.clicks.get(one, ""), guide.never.get(one, "")) for one in STEPS]
    # Whatever comes shows that it connects: what is told is what else it did.
    dated = sorted((row.step for row in rows if row.step.at), key=lambda step: (step.key != "connect", step.at))
    return {
        "rows": rows,
        "done": sum(row.step.is_done for row in rows),
        "wanted": sum(not row.is_never for row in rows),
        "refused": [row.step.name for row in rows if row.step.shape == "!"],
        "others": unsorted(found)[:_OTHERS],
        "newest": dated[-1] if dated else None,
        "canary": follow(system, names_of(system, since), found, reads, since=since),
        "shown": shown(system),
        "coerced": rules_seen(system),
        "query": urlencode({"idp": guide.key, "since": int(since.timestamp())}),
    }


@page(Word.ROLL_READ)
def test(request: PageRequest, pk: UUID) -> HttpResponse:
    """The whole page. An address without a beginning leads to one that begins now."""
    found = get_object_or_404(System, pk=pk)
    guide, since = guide_of(request, found), _began(request)
    if since is None:
        query = urlencode({"idp": guide.key, "since": int(request.at.timestamp())})
        return HttpResponseRedirect(f"{reverse('system-test', args=[pk])}?{query}")
    zone = request.tenant.zone
    return render(
        request,
        "pages/system_test.html",
        _came(found, guide, since)
        | {
            "system": found,
            "guide": guide,
            "guides": GUIDES.values(),
            "since": since,
            "began": f"{since:%Y-%m-%d %H:%M}",
            "since_query": int(since.timestamp()),
            "local": f"{since.astimezone(zone):%H:%M} {zone.key}" if request.tenant.time_zone != "UTC" else "",
            "base_url": f"{settings.ROLLCALL_PUBLIC_URL}/scim/v2",
            "off": _("it has ended") if found.ended_at is not None else "",
        },
    )


@page(Word.ROLL_READ)
def live(request: PageRequest, pk: UUID) -> HttpResponse:
    """The steps and the test account alone, for the part of the page that renews itself."""
    found = get_object_or_404(System, pk=pk)
    since = _began(request) or request.at
    guide = guide_of(request, found)
    return once(request, "pages/system_test_live.html", _came(found, guide, since) | {"system": found, "guide": guide})
