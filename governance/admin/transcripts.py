"""What a client sent, as lines of JSON that a test can send again: the form of `tests/dialects/transcripts.jsonl`.

It holds what the ledger holds, which is redacted. Ids of resources become `{u1}`, `{g1}` and so on, and `setup` says
how many there must be, so that a line stands for itself.
"""

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.text import slugify

from accounts.models.system import System
from accounts.rules import Word
from governance.pages import PageRequest, page
from provisioning import bodies
from provisioning.changes import Intent
from provisioning.models.exchange import BODIES, Exchange

EXPORTED = 200
# A longer body is named by its size: a transcript is to be read by people.
LONGEST = 64 * 1024
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NEEDS_MEMBERS = {Intent.MEMBER_REMOVE.value}


class _Names:
    """Which placeholder stands for which id, in the order in which they are met."""

    def __init__(self, one: Exchange) -> None:
        self.known: dict[str, str] = {}
        self.is_group = one.resource_type == "Group"
        own = one.path.rpartition("/")[2]
        if _ID.fullmatch(own):
            self.known[own] = "{g1}" if self.is_group else "{u1}"

    @property
    def users(self) -> int:
        return sum(name.startswith("{u") for name in self.known.values())

    def replaced(self, value: Any) -> Any:
        """The value with every id as its placeholder, in keys and texts alike."""
        if isinstance(value, str):
            return _ID.sub(lambda found: self._named(found[0]), value)
        if isinstance(value, list):
            return [self.replaced(one) for one in value]
        if isinstance(value, Mapping):
            return {self.replaced(name): self.replaced(inner) for name, inner in value.items()}
        return value

    def _named(self, text: str) -> str:
        return self.known.setdefault(text, f"{{u{self.users + 1}}}")


def line_of(one: Exchange, body: Any, *, idp: str) -> dict[str, Any]:
    """One exchange as a line of a transcript. `body` is what is kept of its request, None where that is too long."""
    names = _Names(one)
    filled, path = names.replaced(body), names.replaced(one.path)
    setup: dict[str, Any] = {"users": names.users} if names.users else {}
    if "{g1}" in names.known.values():
        setup["groups"] = [{"members": names.users if one.intent in _NEEDS_MEMBERS else 0}]
    why = f"{one.get_outcome_display()}: {one.intent}" + (f", {one.error}" if one.error else "")
    if body is None and one.request_bytes > LONGEST:
        why += f"; its body of {one.request_bytes} bytes is left out"
    return {
        "id": f"{slugify(idp) or 'client'}-{one.pk.hex[-6:]}",
        "idp": idp,
        "method": one.method,
        "path": path,
        "body": filled,
        "headers": {},
        "setup": setup,
        "expect_status": [one.status],
        "checks": [],
        "why": why,
        "source": f"exchange {one.pk}, {one.at:%Y-%m-%d %H:%M:%S} UTC",
        "rfc_required": one.status < HTTPStatus.BAD_REQUEST and not one.coercions,
        "derived": False,
    }


def text_of(line: Mapping[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(line, ensure_ascii=False)


def _bodies(rows: Iterable[Exchange]) -> dict[UUID, Any]:
    short = [one.pk for one in rows if one.request_bytes <= LONGEST]
    found = bodies.shown_all(Exchange.objects.filter(pk__in=short))
    return {pk: one.request for pk, one in found.items()}


def _as_file(lines: Iterable[Mapping[str, Any]], name: str) -> HttpResponse:
    text = "".join(f"{text_of(line)}\n" for line in lines)
    return HttpResponse(
        text.encode(),
        content_type="application/jsonl; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.jsonl"', "Cache-Control": "no-store"},
    )


@page(Word.ROLL_READ)
def of_system(request: PageRequest, pk: UUID) -> HttpResponse:
    """The last exchanges of a system, oldest first, as a file."""
    found = get_object_or_404(System, pk=pk)
    rows = list(Exchange.objects.filter(system=found).defer(*BODIES).order_by("-id")[:EXPORTED])
    bodies = _bodies(rows)
    lines = [line_of(one, bodies.get(one.pk), idp=found.name) for one in reversed(rows)]
    return _as_file(lines, f"{slugify(found.name) or 'client'}-{request.at:%Y%m%d-%H%M}")


@page(Word.ROLL_READ)
def of_exchange(request: PageRequest, pk: UUID) -> HttpResponse:  # noqa: ARG001  a view
    """One exchange, as a file."""
    found = get_object_or_404(Exchange.objects.select_related("system").defer(*BODIES), pk=pk)
    line = line_of(found, _bodies([found]).get(found.pk), idp=found.system.name)
    return _as_file([line], line["id"])


def fixture(one: Exchange, body: Any) -> str:
    """One exchange with what is kept of its request, as a line to copy; nothing where that is too long for a page."""
    return "" if one.request_bytes > LONGEST else text_of(line_of(one, body, idp=one.system.name))
