"""Whether the copied company is one that the product could have made: asked before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import works
from bench.wire import Ask
from local.errors import CannotRun

if TYPE_CHECKING:
    from bench.contestants import Seat
    from bench.serving import House


def shape(value: Any) -> Any:
    """A JSON value without its facts: names and types."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def check(home: House, seat: Seat) -> None:
    """Make one person through the API, and compare. Raises `CannotRun` where the copied ones differ."""
    number = seat.next_person
    works.make_somebody(seat)
    made = seat.made[-1]
    differing = home.within(str(seat.facts["database"]), "columns", str(number), made)
    if differing:
        raise CannotRun(f"what is copied in is not what the product writes: {differing}")
    # Somebody who is in no group either, and somebody from the middle, whose groups are left out.
    one = shape(works.sent(seat, Ask.of("GET", f"{seat.base}/Users/{made}")).body)
    for n in (seat.company.spare[0], seat.company.people // 2):
        other = shape(works.sent(seat, Ask.of("GET", f"{seat.base}/Users/{seat.user(n)}")).body)
        if one | {"groups": None} != other | {"groups": None}:
            raise CannotRun(f"a copied person is answered otherwise than one made here: {other} and {one}")
