"""What verifiers believe of what is gone; whole stories: `tests/provisioning/test_erasure.py` and `test_archives.py`."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from audit import erased, erasing, journal
from audit.keys import uuid7
from audit.layouts import layout_of
from audit.models import Archived, ErasedValue, JournalEntry
from tests.audit.test_guards import Event
from tests.conftest import as_eraser, as_owner

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("text", [None, "[erased]", "[erased] 00000000-0000-0000-0000-000000000000", "{}", "[]"])
def test_a_blank_is_known(text):
    assert erased.is_blank(text)


@pytest.mark.parametrize(
    "text", ["", "ada", "[erased] ada!", "x[erased]", "[erased]\n", '{"a": 1}', "[erased] [erased]"]
)
def test_everything_else_is_no_blank(text):
    assert not erased.is_blank(text)


def test_a_row_gives_the_leaf_that_it_had_only_while_it_is_blank(tenant, because):
    entry = journal.record(event=Event.HAPPENED, sentence="Ada left.")
    layout, key = layout_of(JournalEntry), entry.pk.bytes
    assert erased.leaves(layout, [key]) == {}
    with as_eraser(), erasing.unlocked():
        erasing.erase(JournalEntry, [entry.pk])
    assert set(erased.leaves(layout, [key])) == {key}
    with as_owner(), erasing.unlocked():
        JournalEntry.objects.update(sentence="Ada stayed.")
    assert erased.leaves(layout, [key]) == {}
    with as_owner(), erasing.unlocked():
        JournalEntry.objects.update(sentence="[erased]", salt=uuid7())
    assert erased.leaves(layout, [key]) == {}


def test_archived_keys_are_read_back_one_by_one(tenant, because):
    keys = sorted(uuid7() for _ in range(3))
    with as_eraser():
        for some in (keys[:2], keys[2:]):
            Archived.objects.create(
                tenant_id=tenant.pk, cause_id=because.pk, archive_id=uuid7(), number=4,
                table_name="audit_journalentry", keys=b"".join(key.bytes for key in some),
            )  # fmt: skip
    layout = layout_of(JournalEntry)
    assert erased.archived(4, layout) == {key.bytes for key in keys}
    assert erased.archived(5, layout) == set()


def test_the_database_keeps_one_digest_of_a_row(tenant, because):
    values = {"tenant_id": tenant.pk, "cause_id": because.pk, "table_name": "t", "row_key": "1", "digest": "d"}
    with as_eraser(), pytest.raises(IntegrityError, match="audit_erased_value_once"), transaction.atomic():
        ErasedValue.objects.create(**values)
        ErasedValue.objects.create(**values)
