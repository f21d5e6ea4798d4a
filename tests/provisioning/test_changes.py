"""The words between rooms: the look-up form of names, and that nothing in a change can be altered."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.changes import Coercion, MemberStep, fold, user_name_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.com", "alice@example.COM"),
        ("  alice ", "alice"),
        ("stra\u00dfe", "STRASSE"),
        ("\ufb01na", "FINA"),
        ("e\u0301va", "\u00c9VA"),
        ("\uff21lice", "alice"),
    ],
)
def test_two_spellings_of_one_user_name_have_one_key(one: str, other: str) -> None:
    assert user_name_key(one) == user_name_key(other)


@pytest.mark.parametrize(("one", "other"), [("alice", "alicia"), ("a b", "ab"), ("i", "\u0131"), ("a", "\u0430")])
def test_two_names_that_differ_in_more_than_spelling_have_two_keys(one: str, other: str) -> None:
    assert user_name_key(one) != user_name_key(other)


@given(st.text())
def test_the_key_of_a_key_is_the_key(text: str) -> None:
    assert user_name_key(user_name_key(text)) == user_name_key(text)


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_a_step_and_a_coercion_can_not_be_altered() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MemberStep(op="add").op = "remove"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Coercion(attribute="active", sent="False", read_as="false").sent = "x"  # type: ignore[misc]
