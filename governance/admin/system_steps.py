"""What a client has sent, thing by thing: connect, create, change and so on. Each is judged by its newest request alone.

The same words serve the test of a connection, which looks at what came since it began, and the system's page, which
looks at all that ever came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models.system import ReactivationPolicy, System
from governance.admin.coercions import Tolerated, noted, tolerated
from governance.admin.guides import STEPS
from provisioning.changes import Intent
from provisioning.models.connection import ReadRecord, RefusedToken
from provisioning.models.exchange import OutcomeWord
from provisioning.seen import GROUP, USER, Arrival

# Name, and the request that is expected, as it stands in the list.
NAMES: Mapping[str, tuple[Any, str]] = {
    "connect": (gettext_lazy("connect"), "GET /ServiceProviderConfig, /Users?filter=…"),
    "create": (gettext_lazy("create"), "POST /Users"),
    "update": (gettext_lazy("change"), "PATCH or PUT /Users/…"),
    "disable": (gettext_lazy("disable"), "PATCH or PUT /Users/…, active false"),
    "enable": (gettext_lazy("come back"), "PATCH or PUT /Users/…, active true; POST /Users again"),
    "delete": (gettext_lazy("delete"), "DELETE /Users/…"),
    "group_create": (gettext_lazy("make a group"), "POST /Groups"),
    "member_add": (gettext_lazy("add a member"), "PATCH or PUT /Groups/…"),
    "member_remove": (gettext_lazy("remove a member"), "PATCH or PUT /Groups/…"),
    "group_delete": (gettext_lazy("delete a group"), "DELETE /Groups/…"),
}
_OF_USERS = {
    Intent.CREATE: "create", Intent.UPDATE: "update", Intent.DISABLE: "disable", Intent.ENABLE: "enable",
    Intent.DELETE: "delete",
}  # fmt: skip
_OF_GROUPS = {
    Intent.CREATE: "group_create", Intent.MEMBER_ADD: "member_add", Intent.MEMBER_REMOVE: "member_remove",
    Intent.DELETE: "group_delete",
}  # fmt: skip
# What to do about a refusal, by its status; the message itself names the attribute.
_ADVICE: Mapping[int, Any] = {
    400: gettext_lazy("Correct the mapping of what the message names, then send it again."),
    401: gettext_lazy("Copy the token again, whole; an ended one is replaced by a new one."),
    403: gettext_lazy("This token may not write: make one that may."),
    404: gettext_lazy("The client asks for an id that this connection never gave: let it match its accounts anew."),
    409: gettext_lazy("The name or externalId lives here already: let the client match it instead of making it."),
    412: gettext_lazy("It was changed meanwhile: let the client read it again."),
    413: gettext_lazy("Let the client send fewer changes in one request."),
    429: gettext_lazy("It was too fast: it may try again after the time in Retry-After."),
    501: gettext_lazy("That is not supported here: switch it off in the client."),
}
_AGAIN = gettext_lazy("Nothing took effect: let the client try again.")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing: whether it came, what became of the newest, and what was tolerated or noted on the way."""

    key: str
    shape: str
    words: str
    at: datetime | None = None
    status: int = 0
    exchange: UUID | None = None
    plan: UUID | None = None
    tolerated: tuple[Tolerated, ...] = ()
    said: tuple[str, ...] = ()
    advice: Any = ""
    count: str = ""

    @property
    def name(self) -> Any:
        """What it is called."""
        return NAMES[self.key][0]

    @property
    def expects(self) -> str:
        """The request that does it."""
        return NAMES[self.key][1]

    @property
    def is_done(self) -> bool:
        """Whether it arrived and was taken in, held ones included where that is right."""
        return self.shape == "="


def sorted_out(arrivals: Sequence[Arrival]) -> dict[str, list[Arrival]]:
    """Which requests did which thing, newest first. Of whole lists of members the first adds, the next may remove."""
    found: dict[str, list[Arrival]] = {key: [] for key in STEPS}
    whole = [one for one in arrivals if one.wanted == Intent.MEMBER_REPLACE]
    for one in arrivals:
        for key in _keys(one, is_first_whole=bool(whole) and one is whole[-1]):
            found[key].append(one)
    return found


def _keys(one: Arrival, *, is_first_whole: bool) -> tuple[str, ...]:
    if one.resource_type == USER:
        # Made again while its account has ended: it asks for the account back.
        is_return = one.wanted == Intent.CREATE and one.outcome == OutcomeWord.HELD and one.plan_id is not None
        key = "enable" if is_return else _OF_USERS.get(one.wanted, "")
    elif one.resource_type == GROUP and one.wanted == Intent.MEMBER_REPLACE:
        key = "member_add" if is_first_whole else "member_remove"
    else:
        key = _OF_GROUPS.get(one.wanted, "") if one.resource_type == GROUP else ""
    return (key, "member_add") if one.has_members else (key,) if key else ()


def unsorted(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """What was refused and is none of the things: a change of a group, or one whose body could not be read."""
    refused = {OutcomeWord.REJECTED, OutcomeWord.PARKED}
    return [one for one in arrivals if one.outcome in refused and not _keys(one, is_first_whole=True)]


def steps(
    system: System, arrivals: Sequence[Arrival], reads: Sequence[ReadRecord], refused: Sequence[RefusedToken] = ()
) -> dict[str, Step]:
    """Every thing by its key, in the order of a test. Asks the database nothing."""
    found = sorted_out(arrivals)
    return {
        key: _connected(arrivals, reads, refused) if key == "connect" else _step(system, key, found[key])
        for key in STEPS
    }


def _step(system: System, key: str, same: Sequence[Arrival]) -> Step:
    if not same:
        return Step(key=key, shape="?", words=_("never sent"))
    newest = same[0]
    shape, words = judged(system, key, newest)
    is_refused = shape == "!"
    return Step(
        key=key, shape=shape, words=words, at=newest.at, status=newest.status, exchange=newest.id, plan=newest.plan_id,
        tolerated=tolerated(newest.coercions), said=(*noted(newest.coercions), *_why(newest)),
        advice=_ADVICE.get(newest.status, _AGAIN) if is_refused else "",
        count=ngettext("%(n)d request", "%(n)d requests", len(same)) % {"n": len(same)} if len(same) > 1 else "",
    )  # fmt: skip


def _why(one: Arrival) -> tuple[str, ...]:
    said = (one.error,) if one.error else ()
    if one.wanted == Intent.MEMBER_REPLACE:
        return (*said, _("sent as the whole list of members"))
    return said


def judged(system: System, key: str, one: Arrival) -> tuple[str, str]:
    """Shape and words for what became of one request."""
    outcome = OutcomeWord(one.outcome)
    if outcome == OutcomeWord.REJECTED:
        return "!", _("refused")
    if outcome == OutcomeWord.PARKED:
        return "!", _("not taken in")
    if outcome == OutcomeWord.HELD:
        is_right = key == "enable" and system.reactivation_policy == ReactivationPolicy.APPROVAL
        return ("=", _("held, as it should be")) if is_right else ("~", _("held, people decide"))
    return "=", str(outcome.label)


def _connected(arrivals: Sequence[Arrival], reads: Sequence[ReadRecord], refused: Sequence[RefusedToken]) -> Step:
    """Whether it reaches us with a token that is good, by the newest sign of either."""
    good = next((one for one in reads if one.status < HTTPStatus.BAD_REQUEST), None)
    taken = next((one for one in arrivals if one.outcome not in {OutcomeWord.REJECTED, OutcomeWord.PARKED}), None)
    first_bad = next((one for one in reads if one.status >= HTTPStatus.BAD_REQUEST), None)
    signs: list[tuple[datetime, Step]] = []
    if good is not None:
        asked = f"{good.method} {good.path}" + (f" ({good.note})" if good.note else "")
        signs.append((good.at, _sign("=", _("answered"), good.at, good.status, said=asked)))
    if taken is not None:
        asked = f"{taken.method} {taken.path}"
        signs.append((taken.at, _sign("=", _("answered"), taken.at, taken.status, said=asked, exchange=taken.id)))
    if first_bad is not None and good is None and taken is None:
        asked = f"{first_bad.method} {first_bad.path}: {first_bad.note}"
        signs.append((first_bad.at, _sign("!", _("refused"), first_bad.at, first_bad.status, said=asked)))
    if refused:
        asked = f"{refused[0].method} {refused[0].path}: {_('token')} …{str(refused[0].token_id)[-6:]}, {refused[0].because}"
        signs.append(
            (refused[0].at, _sign("!", _("bad token"), refused[0].at, HTTPStatus.UNAUTHORIZED.value, said=asked))
        )
    if not signs:
        return Step(key="connect", shape="?", words=_("never sent"))
    return max(signs, key=lambda sign: sign[0])[1]


def _sign(shape: str, words: str, at: datetime, status: int, *, said: str, exchange: UUID | None = None) -> Step:
    return Step(
        key="connect", shape=shape, words=words, at=at, status=status, said=(said,), exchange=exchange,
        advice=_ADVICE.get(status, _AGAIN) if shape == "!" else "",
    )  # fmt: skip


@dataclass(frozen=True)
class ReadKind:
    """One way to read that clients have, and whether this one was seen to use it."""

    name: Any
    shape: str
    last_at: datetime | None


_DISCOVERY = ("/ServiceProviderConfig", "/Schemas", "/ResourceTypes")


def read_kinds(reads: Sequence[ReadRecord]) -> list[ReadKind]:
    """Which reads are among the last that are kept, each by its newest."""
    good = [one for one in reads if one.status < HTTPStatus.BAD_REQUEST]
    wanted = (
        (_("asks what we can do"), [one for one in good if one.path.startswith(_DISCOVERY)]),
        (_("looks up by a filter"), [one for one in good if "filter" in one.note or one.path.endswith("/.search")]),
        (_("reads a list"), [one for one in good if one.path in {"/", "/Users", "/Groups"}]),
        (_("reads one"), [one for one in good if one.path.startswith(("/Users/", "/Groups/")) and "." not in one.path]),
        (_("turns pages"), [one for one in good if "paging" in one.note]),
    )
    return [ReadKind(name, "=" if same else "?", same[0].at if same else None) for name, same in wanted]
