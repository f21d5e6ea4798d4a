"""Seals of the first format hold beside those of today, and show what was changed just as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from audit import sealing
from audit.models import Cause, Seal
from audit.scope import scope
from tests.factories import seals
from tests.factories.seals import Sealed, first_format, tamper

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Sealed]:
    """Two seals of the first format, and two of today's after them."""

    def story(made: Sealed) -> None:
        with patch.object(sealing, "layout_of", first_format):
            _two(made, "ada", "Zoë")
        _two(made, 'q"\\', "日本")
        made.tell_witness()

    with seals.committed(django_db_blocker, tmp_path_factory, story) as made:
        yield made


def _two(made: Sealed, *names: str) -> None:
    for name in names:
        made.idp.user(name, title="日本 '\"\\")
        assert made.seal() is not None


@pytest.fixture
def sealed(committed: Sealed, db: None) -> Sealed:
    """The same, in a transaction that takes back what a test does to it."""
    return committed


def test_a_chain_of_both_formats_is_as_it_was_sealed(sealed):
    with scope(tenant=sealed.tenant.pk):
        shapes = Seal.objects.order_by("number").values_list("shape", flat=True)
        assert ['"format":2' in shape for shape in shapes] == [False, False, True, True]
        assert ['"format"' in shape for shape in shapes] == [False, False, True, True]
    assert [(said.code, said.faults()) for said in (sealed.ours(), sealed.theirs())] == [(0, set())] * 2


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_row_that_was_changed_is_named_whatever_the_format_of_its_seal(sealed, number):
    with scope(tenant=sealed.tenant.pk):
        seal = Seal.objects.get(number=number)
        of_seal = Cause.objects.filter(xid__gte=seal.from_xid, xid__lt=seal.to_xid).order_by("-pk")
        key = of_seal.values_list("pk", flat=True)[0]
    changed = tamper(sealed.tenant, "UPDATE audit_cause SET kind = 'page' WHERE id = %s", key, table="audit_cause")
    assert changed == 1
    for said in (sealed.ours(), sealed.theirs()):
        assert (said.code, said.faults()) == (1, {f"audit_cause {key}: changed (seal {number})"})
