"""Steps of one request as one: the same members, the same people named, as the steps one by one."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.changes import MemberStep
from provisioning.steps import Net, fold
from tests.factories.words import step

ADA, BOB, CYD, DOT = (UUID(int=n) for n in range(1, 5))

people = st.sampled_from([ADA, BOB, CYD, DOT])
lists = st.lists(people, max_size=4, unique=True).map(tuple)
single = st.builds(lambda op, values: MemberStep(op=op, values=values), st.sampled_from(["add", "remove"]), lists)
steps = st.lists(
    st.one_of(single, single, lists.map(lambda values: step("replace", *values)), st.just(step("remove_all"))),
    max_size=12,
)


def one_by_one(before: frozenset[UUID], sent: list[MemberStep], *, may_add: bool) -> tuple[set[UUID], set[UUID], bool]:
    """Who is in after each step in its turn, who was put in by any, and whether an addition was held back."""
    inside, named, is_held = set(before), set(), False
    for one in sent:
        values = set(one.values)
        if one.op in {"add", "replace"}:
            named |= values
            new = values - inside
            is_held = is_held or bool(new and not may_add)
            kept = inside if one.op == "add" else inside & values
            inside = kept | (new if may_add else set())
        else:
            inside -= values if one.op == "remove" else set(inside)
    return inside, named, is_held


def carried_out(before: frozenset[UUID], net: Net) -> set[UUID]:
    stays = before - net.leaves if net.stays is None else before & net.stays
    return set(stays | net.joins)


@given(st.frozensets(people), steps, st.booleans())
def test_steps_as_one_end_where_the_steps_one_by_one_end(
    before: frozenset[UUID], sent: list[MemberStep], may_add: bool
) -> None:
    net = fold(sent, may_add=may_add)
    inside, named, is_held = one_by_one(before, sent, may_add=may_add)
    assert carried_out(before, net) == inside
    assert set(net.named) == named
    assert (net.is_held or bool(net.asked - before)) == is_held
    assert net.takes_out or before <= inside
    assert net.joins <= set(net.named)
    assert set(net.removed) == {value for one in sent if one.op == "remove" for value in one.values}


def test_thousands_of_operations_are_one_net() -> None:
    many = [UUID(int=n) for n in range(1, 2001)]
    sent = [step("add" if n % 2 else "remove", one) for n, one in enumerate(many)]
    net = fold(sent, may_add=True)
    assert (net.joins, net.leaves) == (frozenset(many[1::2]), frozenset(many[::2]))
    assert net.named == tuple(many[1::2])


@pytest.mark.parametrize(
    ("sent", "net"),
    [
        ([], Net()),
        ([step("add", ADA), step("remove", ADA)], Net(named=(ADA,), removed=(ADA,), leaves=frozenset({ADA}))),
        ([step("remove", ADA), step("add", ADA)], Net(named=(ADA,), removed=(ADA,), joins=frozenset({ADA}))),
        ([step("remove_all")], Net(stays=frozenset())),
        (
            [step("replace", BOB, ADA), step("remove", BOB)],
            Net(named=(BOB, ADA), removed=(BOB,), joins=frozenset({ADA}), stays=frozenset({ADA})),
        ),
    ],
)
def test_what_a_few_steps_come_to(sent: list[MemberStep], net: Net) -> None:
    assert fold(sent, may_add=True) == net


def test_without_leave_to_add_who_was_taken_out_stays_out_and_is_held() -> None:
    net = fold([step("remove", ADA), step("add", ADA, BOB)], may_add=False)
    assert net == Net(named=(ADA, BOB), removed=(ADA,), leaves=frozenset({ADA}), is_held=True, asked=frozenset({BOB}))
