"""A state changes only along an arrow of its table, and a table that can't be right is refused when it is made."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.transitions import IllegalMove, move, table

pytestmark = pytest.mark.unit

DOOR = table("door", initial={"shut"}, arrows={"shut": {"open", "walled"}, "open": {"shut"}, "walled": set()})


@dataclass
class Door:
    state: str = "shut"


def test_a_move_along_an_arrow_sets_the_state():
    door = Door()
    assert move(door, "open", by=DOOR) is True
    assert door.state == "open"


def test_a_move_to_where_it_is_says_so_and_changes_nothing():
    door = Door(state="walled")
    assert move(door, "walled", by=DOOR) is False
    assert door.state == "walled"


@pytest.mark.parametrize(
    ("source", "target"), [("open", "walled"), ("walled", "shut"), ("shut", "ajar"), ("gone", "shut")]
)
def test_a_move_without_an_arrow_is_refused_and_changes_nothing(source, target):
    door = Door(state=source)
    with pytest.raises(IllegalMove, match=f"door: {source} → {target} is not a way"):
        move(door, target, by=DOOR)
    assert door.state == source


def test_a_table_knows_its_states_its_ends_and_its_sources():
    assert DOOR.states == {"shut", "open", "walled"}
    assert DOOR.final == {"walled"}
    assert DOOR.sources("shut") == {"open"}
    assert DOOR.sources("walled") == {"shut"}
    assert DOOR.allows(source="shut", target="open")
    assert not DOOR.allows(source="open", target="walled")


def test_an_arrow_into_an_unknown_state_is_refused():
    with pytest.raises(ValueError, match=r"door: arrows into unknown states \['ajar'\]"):
        table("door", initial={"shut"}, arrows={"shut": {"ajar"}})


def test_an_unknown_initial_state_is_refused():
    with pytest.raises(ValueError, match=r"unknown states \['ajar'\]"):
        table("door", initial={"ajar"}, arrows={"shut": set()})


def test_a_state_that_no_arrow_enters_is_refused():
    with pytest.raises(ValueError, match=r"door: nothing reaches \['walled'\]"):
        table("door", initial={"shut"}, arrows={"shut": set(), "walled": {"shut"}})


def test_an_island_of_states_that_only_reach_each_other_is_refused():
    with pytest.raises(ValueError, match=r"door: nothing reaches \['ajar', 'open'\]"):
        table("door", initial={"shut"}, arrows={"shut": set(), "open": {"ajar"}, "ajar": {"open"}})


def test_a_state_whose_only_way_in_is_from_itself_is_refused():
    with pytest.raises(ValueError, match=r"door: nothing reaches \['open'\]"):
        table("door", initial={"shut"}, arrows={"shut": set(), "open": {"open"}})


def test_a_table_without_a_beginning_is_refused():
    with pytest.raises(ValueError, match="door: nothing reaches"):
        table("door", initial=set(), arrows={"shut": {"open"}, "open": {"shut"}})


def test_a_drawing_shows_beginnings_arrows_and_ends_in_order():
    assert DOOR.draw().splitlines() == [
        "stateDiagram-v2",
        "    [*] --> shut",
        "    shut --> open",
        "    shut --> walled",
        "    open --> shut",
        "    walled --> [*]",
    ]


@pytest.mark.law
@given(st.lists(st.sampled_from(["shut", "open", "walled", "ajar"]), max_size=20))
def test_any_walk_ends_where_only_legal_moves_lead(targets):
    door = Door()
    for target in targets:
        legal = target == door.state or DOOR.allows(source=door.state, target=target)
        before = door.state
        try:
            move(door, target, by=DOOR)
        except IllegalMove:
            assert not legal
            assert door.state == before
        else:
            assert legal
            assert door.state == target
