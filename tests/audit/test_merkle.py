"""The root of a list of leaves is that of RFC 6962, and changes with every leaf and with their order."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import merkle
from audit.standalone import verify_export

pytestmark = pytest.mark.unit

LEAVES = [sha256(bytes([number])).digest() for number in range(20)]


def by_definition(leaves: list[bytes]) -> bytes:
    """Section 2.1, as it is written there: divided at the largest power of two that is smaller than the length."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"").digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + by_definition(leaves[:half]) + by_definition(leaves[half:])).digest()


@pytest.mark.parametrize("count", range(20))
def test_the_root_is_that_of_the_definition_for_us_and_for_the_script(count):
    expected = by_definition(LEAVES[:count])
    assert merkle.root_of(iter(LEAVES[:count])) == expected
    assert verify_export.root(LEAVES[:count]) == expected


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=200))
def test_any_list_has_one_root(leaves):
    assert merkle.root_of(leaves) == verify_export.root(leaves) == by_definition(leaves)


def test_no_leaf_and_no_order_has_the_root_of_another():
    roots = {merkle.root_of(LEAVES[:count]) for count in range(20)}
    roots |= {merkle.root_of([LEAVES[1], LEAVES[0]]), merkle.root_of([*LEAVES[:3], LEAVES[3]][::-1])}
    assert len(roots) == 22
