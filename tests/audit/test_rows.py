"""A row by its key, and the leaf that it gives: the same that a whole batch gives."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

import pytest

from audit import journal
from audit.keys import uuid7
from audit.layouts import entries, layout_of
from audit.leaves import NEVER, Batch, digests, reach_of
from audit.models import JournalEntry
from audit.rows import read
from audit.scope import scope
from tests.audit.test_guards import Event
from tests.conftest import a_cause

pytestmark = pytest.mark.django_db


def test_a_row_is_read_with_the_texts_that_its_leaf_hashes(tenant, because):
    entry = journal.record(event=Event.HAPPENED, sentence="Ada left.", facts={"a": 1})
    (row,) = read(layout_of(JournalEntry), [entry.pk, uuid7()])
    assert (row.key, row.raw) == (entry.pk, entry.pk.bytes)
    assert UUID(str(row.salt))
    assert row.personal == ('{"a": 1}', "Ada left.")
    assert row.hidden == b'{"a": 1}\tAda left.'
    assert f"\t{Event.HAPPENED}\t".encode() in row.seen
    assert row.personal_digest == sha256(str(row.salt).encode() + row.hidden).digest()


def test_one_by_one_rows_give_the_leaves_that_they_give_together(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()) as cause:
        keys = [journal.record(event=Event.HAPPENED, sentence=text).pk for text in ("Zoë", "", "a\nb")]
        JournalEntry.objects.create(tenant_id=tenant.pk, cause_id=cause.pk, event="x", sentence="no salt", salt=None)
    layout = layout_of(JournalEntry)
    with scope(tenant=tenant.pk):
        keys = list(JournalEntry.objects.filter(cause_id=cause.pk).values_list("pk", flat=True))
        together = digests(JournalEntry, layout, reach_of(Batch(tenant.pk, (0,), NEVER, after=cause.pk - 1)))[1]
        single = {row.raw: row.leaf(layout, row.personal_digest) for row in read(layout, keys)}
    assert len(single) == 4
    assert single == dict(entries(together, layout.kind))
