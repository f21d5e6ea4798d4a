"""The journal says in one sentence why; it is found by what it speaks of, and it is cut into months."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import pytest
from django.db import connection

from audit import journal
from audit.cause import NoCause, reading
from audit.keys import uuid7_floor
from audit.models import JournalEntry, JournalSubject
from audit.scope import scope
from tests.conftest import a_cause, as_owner


class Event(StrEnum):
    """Events of this test."""

    MADE = "door.made"
    SHUT = "door.shut"


DOOR = journal.Subject(kind="door", id="7", label="the front door")
ROOM = journal.Subject(kind="room", id="7", label="the hall")


def test_an_entry_has_its_cause_its_facts_and_its_subjects(tenant, because):
    entry = journal.record(event=Event.MADE, sentence="A door was made.", subjects=[DOOR, ROOM], facts={"width": 90})
    kept = JournalEntry.objects.get(pk=entry.pk)
    assert (kept.event, kept.sentence, kept.facts) == ("door.made", "A door was made.", {"width": 90})
    assert (kept.cause_id, kept.tenant_id) == (because.pk, tenant.pk)
    subjects = JournalSubject.objects.filter(entry_id=entry.pk).values_list("kind", "subject_id", "label", "tenant_id")
    assert set(subjects) == {("door", "7", "the front door", tenant.pk), ("room", "7", "the hall", tenant.pk)}


def test_a_timeline_holds_what_speaks_of_one_thing_newest_first(tenant, because):
    first = journal.record(event=Event.MADE, sentence="Made.", subjects=[DOOR])
    journal.record(event=Event.MADE, sentence="A room.", subjects=[ROOM])
    second = journal.record(event=Event.SHUT, sentence="Shut.", subjects=[DOOR, ROOM])
    assert [e.pk for e in journal.timeline(kind="door", subject_id="7")] == [second.pk, first.pk]
    assert [e.sentence for e in journal.timeline(kind="door", subject_id="8")] == []


def test_a_timeline_is_sorted_by_when_it_was_written(tenant, because, monkeypatch):
    for second, sentence in ((10, "first"), (30, "third"), (20, "second")):
        monkeypatch.setattr("audit.keys.time.time_ns", lambda s=second: (1_795_500_000 + s) * 1_000_000_000)
        journal.record(event=Event.SHUT, sentence=sentence, subjects=[DOOR])
    assert [e.sentence for e in journal.timeline(kind="door", subject_id="7")] == ["third", "second", "first"]


def test_a_label_longer_than_its_column_is_cut(tenant, because):
    entry = journal.record(
        event=Event.MADE, sentence="Long.", subjects=[journal.Subject(kind="door", id="7", label="x" * 500)]
    )
    assert JournalSubject.objects.get(entry_id=entry.pk).label == "x" * 400


def test_without_a_cause_nothing_is_recorded(tenant):
    with reading(tenant.pk), pytest.raises(NoCause):
        journal.record(event=Event.MADE, sentence="Nobody did it.")
    with reading(tenant.pk):
        assert not JournalEntry.objects.exists()


def test_another_tenant_sees_neither_entry_nor_subject(make_tenant, tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        journal.record(event=Event.MADE, sentence="Ours.", subjects=[DOOR])
    with scope(tenant=make_tenant("other").pk):
        assert not JournalEntry.objects.exists()
        assert not JournalSubject.objects.exists()
        assert not journal.timeline(kind="door", subject_id="7").exists()


def test_what_belongs_to_no_tenant_is_read_without_one_only(make_tenant, tenant):
    with scope(cause=a_cause()):
        journal.record(event=Event.MADE, sentence="Nobody's.", subjects=[DOOR])
        assert JournalEntry.objects.count() == 1
    with scope(tenant=tenant.pk):
        assert not JournalEntry.objects.exists()


# ── partitions ──────────────────────────────────────────────────────────────────────────────────────────────────


def partitions_of(table: str) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass ORDER BY 1",
            [table],
        )
        return dict(cursor.fetchall())


@pytest.mark.parametrize("table", ["audit_journalentry", "provisioning_exchange"])
def test_what_grows_for_ever_has_24_months_without_a_gap_and_a_default(db, table):
    found = partitions_of(table)
    assert found.pop(f"{table}_other") == "DEFAULT"
    # One more, where the run crosses the end of a month and a task of another test makes it.
    assert len(found) in {24, 25}
    names = sorted(found)
    first = dt.datetime.strptime(names[0][-7:], "%Y_%m").replace(tzinfo=dt.UTC)
    month = first
    for name in names:
        following = (month + dt.timedelta(days=32)).replace(day=1)
        low, high = (uuid7_floor(int(m.timestamp() * 1000)) for m in (month, following))
        assert (name, found[name]) == (f"{table}_{month:%Y_%m}", f"FOR VALUES FROM ('{low}') TO ('{high}')")
        month = following


@pytest.mark.parametrize("ahead", [0, 1, 12, 23])
def test_a_row_lands_in_the_month_that_it_was_made_in(tenant, because, monkeypatch, ahead):
    name = sorted(n for n in partitions_of("audit_journalentry") if not n.endswith("_other"))[ahead]
    month = dt.datetime.strptime(name[-7:], "%Y_%m").replace(tzinfo=dt.UTC)
    following = (month + dt.timedelta(days=32)).replace(day=1)
    for instant in (month, following - dt.timedelta(milliseconds=1)):
        monkeypatch.setattr("audit.keys.time.time_ns", lambda i=instant: round(i.timestamp() * 1000) * 1_000_000)
        entry = journal.record(event=Event.MADE, sentence="In its month.")
        with connection.cursor() as cursor:
            cursor.execute("SELECT tableoid::regclass::text FROM audit_journalentry WHERE id = %s", [entry.pk])
            assert cursor.fetchone() == (name,)


def test_a_row_of_a_month_that_nobody_made_is_kept_in_the_default(tenant, because, monkeypatch):
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: 4_102_444_800 * 1_000_000_000)
    entry = journal.record(event=Event.MADE, sentence="In the year 2100.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM audit_journalentry WHERE id = %s", [entry.pk])
        assert cursor.fetchone() == ("audit_journalentry_other",)


def test_a_partition_named_directly_hides_other_tenants_too(make_tenant, tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        journal.record(event=Event.MADE, sentence="Ours.")
    partitions = partitions_of("audit_journalentry")
    with as_owner(), connection.cursor() as cursor:
        for tenant_id, wanted in ((str(tenant.pk), 1), (str(make_tenant("other").pk), 0)):
            cursor.execute("SELECT set_config('rollcall.tenant', %s, true)", [tenant_id])
            seen = 0
            for name in partitions:
                cursor.execute(f'SELECT count(*) FROM "{name}"')
                seen += cursor.fetchone()[0]
            assert seen == wanted
