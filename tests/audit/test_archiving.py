"""Which rows a seal has, by key, and what is noted when they leave; whole stories: `tests/provisioning/test_archives.py`."""

from __future__ import annotations

from itertools import pairwise

import pytest

from audit import archiving
from audit.keys import uuid7
from audit.layouts import DIGEST, Shape, layout_of
from audit.models import Archived, Seal
from provisioning.models import Exchange
from tests.conftest import AT, as_eraser

pytestmark = pytest.mark.django_db


def a_seal(tenant, number, keys):
    """A seal that has these exchanges; whether it holds is not asked here."""
    shape = Shape({"provisioning_exchange": (layout_of(Exchange), len(keys))})
    return Seal.objects.create(
        tenant_id=tenant.pk, number=number, from_xid=number, to_xid=number + 1, after_id=0, last_id=number, rows=len(keys),
        root="", shape=str(shape), leaves=b"".join(key.bytes + bytes(DIGEST) for key in sorted(keys)),
        statement="{}", signature=b"", key_id="k", at=AT.replace(day=number),
    )  # fmt: skip


def test_keys_are_told_seal_by_seal_and_no_further_than_asked(tenant, because):
    keys = {number: sorted(uuid7() for _ in range(3)) for number in (1, 2, 3)}
    for number, some in keys.items():
        a_seal(tenant, number, some)
    found = list(archiving.sealed_keys(Exchange, tenant=tenant.pk, until=2))
    assert found == [(1, keys[1]), (2, keys[2])]


def test_the_last_seal_before_an_instant_has_none_after_it_that_is_older(tenant, because):
    for number in (1, 2, 3):
        a_seal(tenant, number, [uuid7()])
    days = [AT.replace(day=day, hour=23) for day in (1, 2, 3)]
    found = [archiving.last_before(tenant=tenant.pk, before=day) for day in days]
    assert [one.number for one in found if one] == [1, 2, 3]
    assert all(before.number < after.number for before, after in pairwise(found))
    assert archiving.last_before(tenant=tenant.pk, before=AT.replace(day=1, hour=0)) is None


def test_what_leaves_is_noted_in_order_under_the_cause_in_force(tenant, because):
    keys, archive_id = [uuid7(), uuid7()], uuid7()
    with as_eraser():
        archiving.note(Exchange, reversed(keys), number=7, archive_id=archive_id)
    row = Archived.objects.get()
    assert (row.number, row.archive_id, row.cause_id, row.table_name) == (
        7, archive_id, because.pk, "provisioning_exchange",
    )  # fmt: skip
    assert bytes(row.keys) == b"".join(key.bytes for key in sorted(keys))
