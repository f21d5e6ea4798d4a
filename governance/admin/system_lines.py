"""What arrived from a system, as one list: exchanges, reads, and requests whose token was not accepted."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from itertools import chain
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.system import System
from governance.admin.coercions import Tolerated, noted, tolerated
from provisioning.models.connection import ReadRecord, RefusedToken
from provisioning.models.exchange import BODIES, Exchange, OutcomeWord
from provisioning.tokens import refused_at

SHOWN = 20


class Show(StrEnum):
    """Which of them."""

    ALL = ""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    BAD_TOKEN = "bad-token"  # noqa: S105 - the name of a filter


LABELS = (
    (Show.ALL, gettext_lazy("all")),
    (Show.ACCEPTED, gettext_lazy("accepted")),
    (Show.REFUSED, gettext_lazy("refused")),
    (Show.BAD_TOKEN, gettext_lazy("bad token")),
)


@dataclass(frozen=True)
class Line:
    """One request: a shape and words for what became of it, and what is worth saying of it."""

    at: datetime
    method: str
    path: str
    status: int
    shape: str
    words: str
    label: str = ""
    tolerated: tuple[Tolerated, ...] = ()
    said: tuple[str, ...] = ()
    exchange: UUID | None = None
    plan: UUID | None = None


_SHAPES = {OutcomeWord.APPLIED: "=", OutcomeWord.HELD: "~", OutcomeWord.PARKED: "~", OutcomeWord.REJECTED: "x"}


def _of_exchange(one: Exchange) -> Line:
    return Line(
        at=one.at, method=one.method, path=one.path, status=one.status, exchange=one.pk, plan=one.plan_id,
        shape=_SHAPES.get(OutcomeWord(one.outcome), "-"), words=one.get_outcome_display(), label=one.resource_label,
        tolerated=tolerated(one.coercions), said=(*noted(one.coercions), *((one.error,) if one.error else ())),
    )  # fmt: skip


def _of_read(one: ReadRecord) -> Line:
    is_refused = one.status >= HTTPStatus.BAD_REQUEST
    return Line(
        at=one.at, method=one.method, path=one.path, status=one.status, shape="x" if is_refused else "=",
        words=_("refused") if is_refused else _("read"), said=(one.note,) if one.note else (),
    )  # fmt: skip


def _of_refused(one: RefusedToken) -> Line:
    token = f"…{str(one.token_id)[-6:]}"
    return Line(
        at=one.at, method=one.method, path=one.path, status=HTTPStatus.UNAUTHORIZED.value, shape="x",
        words=_("bad token"), said=(_("token %(token)s: %(why)s") % {"token": token, "why": one.because},),
    )  # fmt: skip


def _exchanges(system: System, show: Show) -> Iterator[Line]:
    rows = Exchange.objects.filter(system=system).order_by("-id")
    if show == Show.ACCEPTED:
        rows = rows.exclude(outcome=OutcomeWord.REJECTED)
    if show == Show.REFUSED:
        rows = rows.filter(outcome=OutcomeWord.REJECTED)
    return map(_of_exchange, rows.defer(*BODIES)[:SHOWN])


def _reads(system: System, show: Show) -> Iterator[Line]:
    rows = ReadRecord.objects.filter(system=system).order_by("-id")
    if show == Show.ACCEPTED:
        rows = rows.filter(status__lt=HTTPStatus.BAD_REQUEST)
    if show == Show.REFUSED:
        rows = rows.filter(status__gte=HTTPStatus.BAD_REQUEST)
    return map(_of_read, rows[:SHOWN])


def lines(system: System, *, show: Show) -> list[Line]:
    """The last 20 requests, newest first. At most three queries, whatever there is.

    A request whose token names no token of this system belongs to nobody and is shown nowhere here.
    """
    found: list[Iterator[Line]] = []
    if show != Show.BAD_TOKEN:
        found += [_exchanges(system, show), _reads(system, show)]
    if show in {Show.ALL, Show.BAD_TOKEN}:
        found.append(map(_of_refused, refused_at(system).order_by("-id")[:SHOWN]))
    return sorted(chain(*found), key=lambda line: line.at, reverse=True)[:SHOWN]


def shown(text: str) -> Show:
    """Which filter an address asks for; one that there is not is no filter."""
    return Show(text) if text in {*Show} else Show.ALL
