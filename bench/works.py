"""The pieces of work, as one contestant does them: each a call that does it once and returns the seconds.

What is prepared (bodies, members to be taken out again, somebody to be ended) is not in the time; that an answer is
right is looked at whenever it costs nothing, and thoroughly at the first.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bench.company import GROUP_URN, PATCH_URN, Person
from bench.contestants import DROPS_MEMBERS, ROLLCALL, STOCK
from bench.measuring import Unable
from bench.wire import Ask, Reply, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.company import Team
    from bench.contestants import Seat

    Call = Callable[[], float]

PAGE = 100
CHANGED = 10
"""Members that a PUT of a group exchanges: one in a hundred of a thousand."""
_WALK = 1_000  # resources to a page on the way to a deep cursor
_PATIENCE = {False: 0.0006, True: 0.01}  # seconds for each person on that way, of peers and of ours


def sent(seat: Seat, ask: Ask, *, well: Iterable[int] = (200,)) -> Reply:
    """The answer. Raises `Unable` for any status but those."""
    reply = seat.wire.send(ask)
    seat.sent += 1
    if reply.status not in well:
        raise Unable(f"{ask.method} {ask.path.partition('?')[0]} is answered {reply.quoted()}")
    return reply


def _refuse(seat: Seat, what: str) -> None:
    if what in seat.unable:
        raise Unable(seat.unable[what])


def _reading(seat: Seat, paths: Iterable[str], *, holds: Callable[[dict[str, Any]], bool]) -> Call:
    """Reads one address after the other; the first answer is read whole."""
    asks = itertools.cycle([Ask.of("GET", seat.base + path) for path in paths])
    first = sent(seat, next(asks)).body
    if not holds(first):
        raise Unable(f"the answer is wrong: {str(first)[:200]}")
    return lambda: sent(seat, next(asks)).seconds


def _spread(seat: Seat) -> list[int]:
    """Fifty people from everywhere in the company."""
    people = seat.company.people
    return [1 + (k * people) // 50 + k % 7 for k in range(50)]


def _holds_page(body: dict[str, Any]) -> bool:
    return len(body.get("Resources", [])) == PAGE


def list_page(seat: Seat) -> Call:
    """The first page of a hundred, by index."""
    return _reading(seat, [f"/Users?startIndex=1&count={PAGE}"], holds=_holds_page)


def cursor_page(seat: Seat, depth: float) -> Call:
    """The page of a hundred after that share of the company, by cursor."""
    _refuse(seat, "cursor")
    cursor = ""
    patience = _PATIENCE[seat.who == ROLLCALL] * seat.company.people
    until = time.monotonic() + patience
    for _ in range(int(seat.company.people * depth) // _WALK):
        if time.monotonic() > until:
            raise Unable(f"it takes more than {patience:.0f} s to page to that depth")
        path = f"{seat.base}/Users?count={_WALK}&attributes=userName&cursor={quote(cursor)}"
        cursor = sent(seat, Ask.of("GET", path)).body.get("nextCursor", "")
        if not cursor:
            raise Unable("its pages end before that depth")
    return _reading(seat, [f"/Users?count={PAGE}&cursor={quote(cursor)}"], holds=_holds_page)


def _filter(seat: Seat, attribute: str, value: Callable[[Person], str]) -> Call:
    people = [Person(n=n) for n in _spread(seat)]
    paths = ["/Users?filter=" + quote(f'{attribute} eq "{value(one)}"') for one in people]
    name = people[0].user_name

    def holds(body: dict[str, Any]) -> bool:
        return [one["userName"] for one in body.get("Resources", [])] == [name]

    return _reading(seat, paths, holds=holds)


def filter_user_name(seat: Seat) -> Call:
    """Find one by userName."""
    return _filter(seat, "userName", lambda person: person.user_name)


def filter_external_id(seat: Seat) -> Call:
    """Find one by externalId."""
    _refuse(seat, "filter externalId")
    return _filter(seat, "externalId", lambda person: person.external_id)


def filter_email(seat: Seat) -> Call:
    """Find one by an address."""
    _refuse(seat, "filter emails")
    return _filter(seat, "emails.value", lambda person: person.email)


def get_user(seat: Seat) -> Call:
    """Read one."""
    paths = [f"/Users/{seat.user(n)}" for n in _spread(seat)]
    name = Person(n=_spread(seat)[0]).user_name
    return _reading(seat, paths, holds=lambda body: body["userName"] == name)


def get_group(seat: Seat, size: int) -> Call:
    """Read a whole group."""
    team = _team(seat, size)
    path = f"/Groups/{seat.group(team.name)}"
    return lambda: _whole(sent(seat, Ask.of("GET", seat.base + path)), size)


def _whole(reply: Reply, size: int) -> float:
    if reply.content.count(b'"value"') < size:
        raise Unable("the answer lacks members")
    return reply.seconds


def _team(seat: Seat, size: int) -> Team:
    team = seat.company.team(size)
    if team is None:
        raise Unable(f"there is no group of {size:,} in a company of {seat.company.people:,}")
    return team


def make_somebody(seat: Seat) -> float:
    """Make one more, and keep in mind whom; the seconds."""
    reply = sent(seat, Ask.of("POST", f"{seat.base}/Users", seat.somebody_new().body), well=(201,))
    seat.made.append(str(reply.body["id"]))
    return reply.seconds


def create(seat: Seat) -> Call:
    """Make one."""
    return lambda: make_somebody(seat)


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    """The body of a PATCH."""
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def end_somebody(seat: Seat) -> float:
    """Set one of those who were made to inactive; the seconds."""
    body = patched({"op": "replace", "path": "active", "value": False})
    reply = sent(seat, Ask.of("PATCH", f"{seat.base}/Users/{seat.made.pop()}", body), well=(200, 204))
    if reply.content and reply.body["active"] is not False:
        raise Unable("the account is still active")
    return reply.seconds


def deactivate(seat: Seat) -> Call:
    """End one."""

    def call() -> float:
        if not seat.made:
            make_somebody(seat)
        return end_somebody(seat)

    return call


def add_member(seat: Seat, size: int) -> Call:
    """Put one more into a group of that size. Whom, is somebody who is not in it yet."""
    path = f"{seat.base}/Groups/{seat.group(_team(seat, size).name)}"
    spare = itertools.cycle(seat.company.spare)

    def call() -> float:
        member = [{"value": seat.user(next(spare))}]
        body = patched({"op": "add", "path": "members", "value": member})
        return sent(seat, Ask.of("PATCH", path, body), well=(200, 204)).seconds

    call()
    _expect_member(seat, path, seat.user(seat.company.spare[0]))
    return call


def _expect_member(seat: Seat, path: str, member: str) -> None:
    found = sent(seat, Ask.of("GET", path)).content
    if f'"{member}"'.encode() not in found:
        raise Unable("the member is not in the group")


def _lists(seat: Seat, team: Team) -> tuple[list[int], list[int]]:
    """Two lists of the same length that differ in one member of a hundred."""
    members, spare = list(team.members), list(seat.company.spare[-CHANGED:])
    return members, members[CHANGED:] + spare


def put_group(seat: Seat, size: int) -> Call:
    """Replace a group by PUT, one member in a hundred being another one."""
    team = _team(seat, size)
    path = f"{seat.base}/Groups/{seat.group(team.name)}"
    bodies = itertools.cycle([_group_body(seat, team, members) for members in _lists(seat, team)])

    def call() -> float:
        return sent(seat, Ask.of("PUT", path, next(bodies)), well=(200, 204)).seconds

    call()  # whoever was added before is out now
    if seat.who != STOCK:
        call()
        _expect_member(seat, path, seat.user(seat.company.spare[-1]))
    return call


def _group_body(seat: Seat, team: Team, members: list[int]) -> dict[str, Any]:
    listed = [{"value": seat.user(n)} for n in members]
    return {"schemas": [GROUP_URN], "displayName": team.name, "members": listed}


def patch_group(seat: Seat, size: int) -> Call:
    """The same difference by PATCH: what really does the work where PUT does not. The client must know it beforehand."""
    team = _team(seat, size)
    path = f"{seat.base}/Groups/{seat.group(team.name)}"
    before, after = _lists(seat, team)
    pairs = [(before, after), (after, before)]
    bodies = itertools.cycle([_exchanged(seat, old, new) for old, new in pairs])
    return lambda: sent(seat, Ask.of("PATCH", path, next(bodies)), well=(200, 204)).seconds


def _exchanged(seat: Seat, old: list[int], new: list[int]) -> dict[str, Any]:
    leaving = [{"value": seat.user(n)} for n in sorted(set(old) - set(new))]
    coming = [{"value": seat.user(n)} for n in sorted(set(new) - set(old))]
    return patched(
        {"op": "remove", "path": "members", "value": leaving}, {"op": "add", "path": "members", "value": coming}
    )


def why_half(who: str) -> str:
    """What a contestant's PUT of a group leaves undone."""
    return DROPS_MEMBERS if who == STOCK else ""


def at_once(seat: Seat, *, clients: int, each: int) -> tuple[list[float], list[float]]:
    """Seconds of creations and of deactivations while so many clients do both as fast as they are answered.

    Raises `Unable` when one of them is refused.
    """
    bodies = [[seat.somebody_new().body for _ in range(each)] for _ in range(clients)]
    made: list[float] = []
    ended: list[float] = []
    refused: list[str] = []
    off = patched({"op": "replace", "path": "active", "value": False})

    def client(own: list[dict[str, Any]]) -> None:
        wire = seat.another_wire()
        for body in own:
            one = wire.send(Ask.of("POST", f"{seat.base}/Users", body))
            if one.status != 201:  # noqa: PLR2004  Created
                refused.append(one.quoted())
                break
            other = wire.send(Ask.of("PATCH", f"{seat.base}/Users/{one.body['id']}", off))
            if other.status not in {200, 204}:
                refused.append(other.quoted())
                break
            made.append(one.seconds)
            ended.append(other.seconds)
        wire.close()

    threads = [threading.Thread(target=client, args=(own,)) for own in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seat.sent += len(made) + len(ended)
    if refused:
        raise Unable(f"one of {clients} clients at once was refused: {refused[0]}")
    return made, ended


def floor(port: int, path: str, *, times: int) -> list[float]:
    """Seconds of an address that does nothing: what client, loopback and web server cost."""
    wire = Wire(port, "")
    wire.send(Ask.of("GET", path))
    found = [wire.send(Ask.of("GET", path)).seconds for _ in range(times)]
    wire.close()
    return found
