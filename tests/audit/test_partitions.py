"""The months after the 24 that were made with a table: made in time, guarded as the others, by nobody's right but one."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from audit import journal, partitions, tasks
from audit.keys import uuid7_floor
from audit.models import JournalEntry
from tests.audit.test_guards import NOT_ALLOWED, refused
from tests.audit.test_journal import Event, partitions_of
from tests.conftest import as_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

TABLES = ("audit_journalentry", "provisioning_exchange")
JOURNAL = TABLES[0]


def month(ahead: int) -> dt.datetime:
    """The first instant of the month that lies so many after the present one, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0].astimezone(dt.UTC)
    return partitions.month_start(year=now.year, month=now.month, ahead=ahead)


def name(table: str, ahead: int) -> str:
    return f"{table}_{month(ahead):%Y_%m}"


def bounds(ahead: int) -> str:
    low, high = (uuid7_floor(int(month(n).timestamp() * 1000)) for n in (ahead, ahead + 1))
    return f"FOR VALUES FROM ('{low}') TO ('{high}')"


def at_that_time(monkeypatch: pytest.MonkeyPatch, instant: dt.datetime) -> None:
    """From now on keys are made as if it were then."""
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: round(instant.timestamp() * 1000) * 1_000_000)


def part_of(entry: JournalEntry) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM audit_journalentry WHERE id = %s", [entry.pk])
        return str(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def made_this_month(db: None) -> None:
    """A run that crosses the end of a month has a database with 23 months ahead: what is said here is not about that one."""
    if name(JOURNAL, 23) not in partitions_of(JOURNAL):
        pytest.skip("the database of this run was made before the month began")


def test_with_24_months_there_is_nothing_to_add():
    assert partitions.add_months() == partitions.Added()
    assert partitions.months_ahead(at=month(0)) == dict.fromkeys(TABLES, 23)


def test_the_application_adds_the_months_after_those_for_every_table():
    added = partitions.add_months(count=26)

    assert added == partitions.Added(made=tuple(name(table, ahead) for table in TABLES for ahead in (24, 25)))
    assert partitions.months_ahead(at=month(0)) == dict.fromkeys(TABLES, 25)
    for table in TABLES:
        found = partitions_of(table)
        assert [found[name(table, ahead)] for ahead in (23, 24, 25)] == [bounds(ahead) for ahead in (23, 24, 25)]
    assert partitions.add_months(count=26) == partitions.Added()


def test_a_row_of_month_25_lands_in_it(tenant, because, monkeypatch):
    partitions.add_months(count=25)
    at_that_time(monkeypatch, month(24) + dt.timedelta(days=3))
    entry = journal.record(event=Event.MADE, sentence="In its month.")
    assert part_of(entry) == name(JOURNAL, 24)


def test_a_month_that_rows_came_before_is_kept_in_the_default_and_stops_no_other(tenant, because, monkeypatch):
    at_that_time(monkeypatch, month(24))
    entry = journal.record(event=Event.MADE, sentence="Before its month was made.")
    assert part_of(entry) == f"{JOURNAL}_other"

    added = partitions.add_months(count=26)

    assert added.kept_back == (name(JOURNAL, 24),)
    assert set(added.made) == {name(JOURNAL, 25), name(TABLES[1], 24), name(TABLES[1], 25)}
    assert JournalEntry.objects.get(pk=entry.pk).sentence == "Before its month was made."
    assert journal.record(event=Event.MADE, sentence="And another.").pk != entry.pk
    assert partitions.months_ahead(at=month(0)) == {JOURNAL: 23, TABLES[1]: 25}


CATALOGUE = """
SELECT 'column', attname::text, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
       (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum))
  FROM pg_attribute WHERE attrelid = %(part)s::regclass AND attnum > 0
UNION ALL SELECT 'constraint', contype::text, pg_get_constraintdef(oid) FROM pg_constraint
  WHERE conrelid = %(part)s::regclass
UNION ALL SELECT 'index', (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = indexrelid),
       pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %(part)s::regclass
UNION ALL SELECT 'policy', polname::text, concat_ws(' ', polcmd, polpermissive, polroles::text,
       pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  FROM pg_policy WHERE polrelid = %(part)s::regclass
UNION ALL SELECT 'trigger', tgname::text, concat_ws(' ', pg_get_triggerdef(oid), tgenabled)
  FROM pg_trigger WHERE tgrelid = %(part)s::regclass AND NOT tgisinternal
UNION ALL SELECT 'table', relowner::regrole::text, concat_ws(' ', relrowsecurity, relforcerowsecurity, relpersistence,
       coalesce(relacl::text, 'no grant')) FROM pg_class WHERE oid = %(part)s::regclass
ORDER BY 1, 2, 3
"""


def catalogue(part: str) -> list[tuple[str, ...]]:
    """Everything that the catalogue says of a partition, without its own name."""
    with connection.cursor() as cursor:
        cursor.execute(CATALOGUE, {"part": part})
        return [tuple(str(text).replace(part[-7:], "MONTH") for text in row) for row in cursor.fetchall()]


@pytest.mark.parametrize("table", TABLES)
def test_a_month_that_was_added_is_guarded_in_everything_as_one_that_was_made_with_the_table(table):
    partitions.add_months(count=25)
    added, made = catalogue(name(table, 24)), catalogue(name(table, 1))
    assert added == made
    assert {kind for kind, *_ in added} == {"column", "constraint", "index", "policy", "trigger", "table"}
    assert ("table", "rollcall_owner", "t t p no grant") in added


@pytest.mark.parametrize("statement", ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_month_that_was_added_is_append_only_and_closed_to_the_application(statement):
    partitions.add_months(count=25)
    part = name(JOURNAL, 24)
    assert refused(statement.format(part)) == NOT_ALLOWED
    with as_owner():
        assert refused(statement.format(part)) == "RC005"


@pytest.mark.parametrize("count", [0, -1, 61, 100_000])
def test_nobody_makes_a_thousand_tables(count):
    before = partitions_of(JOURNAL)
    with pytest.raises(DatabaseError, match=f"months are made 1 to 60 ahead, not {count}"), transaction.atomic():
        partitions.add_months(count=count)
    assert partitions_of(JOURNAL) == before


def test_no_other_role_may_ask_for_months():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proowner::regrole::text, prosecdef, (SELECT array_agg(grantee::regrole::text) FROM aclexplode(proacl)"
            " WHERE grantee <> proowner AND privilege_type = 'EXECUTE')"
            " FROM pg_proc WHERE oid = 'public.audit_add_months(integer)'::regprocedure"
        )
        assert cursor.fetchone() == ("rollcall_owner", True, ["rollcall_app"])


def test_a_temporary_table_is_not_taken_for_the_journal():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE audit_journalentry (id uuid) PARTITION BY RANGE (id)")
    partitions.add_months(count=25)
    assert name("public.audit_journalentry", 24) in {
        f"public.{part}" for part in partitions_of("public.audit_journalentry")
    }
    assert partitions_of("pg_temp.audit_journalentry") == {}


@pytest.fixture
def somebody_who_makes_months() -> Iterator[psycopg.Connection]:
    """Another connection of the application, in the middle of it."""
    url = os.environ["DATABASE_URL"].rpartition("/")[0]
    with psycopg.connect(f"{url}/{connection.settings_dict['NAME']}") as other:
        other.execute("SELECT * FROM audit_add_months(24)")
        yield other


def test_of_two_at_once_the_second_gives_way_and_may_come_back(somebody_who_makes_months):
    with pytest.raises(partitions.Busy, match="months are made later"):
        partitions.add_months()
    somebody_who_makes_months.rollback()
    assert partitions.add_months() == partitions.Added()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the task logs."""
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def info(self, event: str, **facts: Any) -> None:
            lines.append((event, facts))

        warning = info

    monkeypatch.setattr(tasks, "log", Log())
    return lines


def drop(table: str, *aheads: int) -> None:
    with as_owner(), connection.cursor() as cursor:
        for ahead in aheads:
            cursor.execute(f'DROP TABLE "{name(table, ahead)}"')


def test_the_task_makes_what_is_missing_and_says_so(said):
    drop(JOURNAL, 22, 23)
    missing = (name(JOURNAL, 22), name(JOURNAL, 23))
    tasks.make_months()
    assert said == [("months_made", {"made": missing})]
    assert partitions.months_ahead(at=month(0)) == dict.fromkeys(TABLES, 23)


def test_the_task_that_finds_the_tables_in_use_comes_back_later(said, somebody_who_makes_months):
    drop(JOURNAL, 23)
    tasks.make_months()
    assert said == [("months_made_later", {"months_ahead": {JOURNAL: 22, TABLES[1]: 23}})]
    somebody_who_makes_months.rollback()
    tasks.make_months()
    assert said[1:] == [("months_made", {"made": (name(JOURNAL, 23),)})]


def test_the_task_with_nothing_to_do_takes_no_lock_and_says_nothing(said, django_assert_num_queries):
    with django_assert_num_queries(1):
        tasks.make_months()
    assert said == []


def test_the_task_says_which_month_can_not_be_made_any_more(tenant, because, said, monkeypatch):
    drop(JOURNAL, 23)
    at_that_time(monkeypatch, month(23))
    journal.record(event=Event.MADE, sentence="Before its month was made.")
    tasks.make_months()
    assert said == [
        ("months_made", {"made": ()}),
        ("months_kept_in_the_default", {"partitions": (name(JOURNAL, 23),)}),
    ]


@pytest.mark.parametrize(
    ("dropped", "sentence"),
    [
        ((3, 4), ""),
        ((2,), "audit_journalentry has 1"),
        ((2, 1), "audit_journalentry has 0"),
    ],
)
def test_a_gap_counts_as_the_end_of_what_is_ahead(dropped, sentence):
    drop(JOURNAL, *dropped)
    assert partitions.months_ahead(at=month(0))[JOURNAL] == min(dropped) - 1
    said = partitions.running_out(at=month(0))
    wanted = f"months ahead run out ({sentence}): do scheduler and worker run? audit.tasks.make_months makes them"
    assert said == (wanted if sentence else "")


def test_what_runs_out_is_said_of_every_table_when_the_last_month_but_one_begins():
    assert partitions.running_out(at=month(21)) == ""
    said = partitions.running_out(at=month(22))
    assert "(audit_journalentry has 1, provisioning_exchange has 1)" in said
