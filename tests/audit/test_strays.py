"""Rows without a cause are found, whether everything was looked at before or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from audit.layouts import layout_of
from audit.leaves import NEVER, Batch, digests, reach_of
from audit.models import Cause, JournalEntry, JournalSubject
from audit.scope import scope
from audit.strays import Looked, strays
from tests.conftest import a_cause

if TYPE_CHECKING:
    from accounts.models import Tenant

BEYOND = 77_777_777


def entry(tenant: Tenant, cause: int) -> UUID:
    """An entry of the journal that names this cause, whether there is one or not."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        made: JournalEntry = JournalEntry.objects.create(tenant_id=tenant.pk, cause_id=cause, event="x", sentence="")
    return made.pk


def subject(tenant: Tenant, of: UUID) -> int:
    """What an entry is about, whether there is that entry or not."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        made: JournalSubject = JournalSubject.objects.create(
            tenant_id=tenant.pk, entry_id=of, kind="x", subject_id="1", label=""
        )
    return made.pk


def cause(tenant: Tenant) -> int:
    """A cause that there is."""
    with scope(tenant=tenant.pk, cause=a_cause()) as made:
        return int(made.pk)


@pytest.fixture
def causes(tenant):
    """Three that there are."""
    return [cause(tenant) for _ in range(3)]


def looked(tenant: Tenant, model: type, batches: list[list[int]]) -> Looked:
    """What one knows who has looked at the rows of these causes, batch after batch."""
    found, before = Looked(), None
    for batch in batches:
        with scope(tenant=tenant.pk):
            before = reach_of(Batch(tenant.pk, (0,), NEVER, after=batch[0] - 1, upto=batch[-1]), before=before)
            digests(model, layout_of(model), before, unknown=found.unknown)
        found.add(model, before)
    return found


def test_who_has_looked_finds_the_same_rows_as_who_has_not(tenant, causes):
    first, last = causes[0], causes[-1]
    good = [entry(tenant, one) for one in causes]
    bad = [entry(tenant, one) for one in (1, BEYOND)]
    with scope(tenant=tenant.pk):
        seen = looked(tenant, JournalEntry, [[first, last]])
        assert strays(JournalEntry) == strays(JournalEntry, seen) == sorted(map(str, bad))
        assert not {str(one) for one in good} & set(strays(JournalEntry, seen))


def test_a_row_between_two_batches_is_not_left_out(tenant, causes):
    first, _, last = causes
    with scope(tenant=tenant.pk, cause=a_cause()) as gap:
        pass
    after = cause(tenant)
    entry(tenant, first)
    entry(tenant, after)
    # A cause of nobody's lies where one was that is gone.
    seen = looked(tenant, JournalEntry, [[first, last], [after]])
    assert seen.span == (first, after)
    assert seen.unknown == set()
    entry(tenant, gap.pk)
    seen = looked(tenant, JournalEntry, [[first, last], [after]])
    assert seen.unknown == {gap.pk}
    with scope(tenant=tenant.pk):
        assert strays(JournalEntry, seen) == []


def test_what_was_not_recognised_is_asked_about_and_what_was_is_not(tenant, causes):
    bad = entry(tenant, BEYOND)
    with scope(tenant=tenant.pk):
        assert strays(JournalEntry, Looked((1, BEYOND + 1), {BEYOND})) == [str(bad)]
        # Whoever says that they know it is not asked again: it is they who looked.
        assert strays(JournalEntry, Looked((1, BEYOND + 1), set())) == []
        assert strays(JournalEntry, Looked()) == [str(bad)]


def test_a_subject_belongs_to_its_entry(tenant, causes):
    known = entry(tenant, causes[0])
    nowhere = UUID(int=2**128 - 1)
    good, bad = subject(tenant, known), subject(tenant, nowhere)
    seen = looked(tenant, JournalSubject, [causes])
    assert seen.span == (known.bytes, known.bytes)
    with scope(tenant=tenant.pk):
        assert strays(JournalSubject) == strays(JournalSubject, seen) == [str(bad)]
        assert strays(JournalSubject, Looked((bytes(16), nowhere.bytes), {nowhere.bytes})) == [str(bad)]
    assert good != bad


def test_of_what_has_no_rows_to_look_at_nothing_was_looked_at(tenant, causes):
    seen = looked(tenant, JournalSubject, [causes])
    assert seen == Looked()
    assert looked(tenant, Cause, [causes]).span == (causes[0], causes[-1])
