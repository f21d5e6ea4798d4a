"""Tables that grow for ever, cut into months by their uuid7 key.

The first 24 months are made with the table, by its owner; those after them by `audit_add_months` in `functions.sql`,
which the application's role may call, and which `audit.tasks` does. A row whose month is missing is kept in the default
partition: nothing is lost, but the month can't be made any more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from audit.keys import uuid7_floor

# With the present one.
MONTHS_AHEAD = 24
# With fewer whole months than that before it, somebody should look why nobody makes them.
LEAST_AHEAD = 2
# Whoever reads the default partition holds it. Shorter than PostgreSQL's deadlock_timeout of a second: of two that wait
# for each other it is we who give way, and come back later.
_LOCK_TIMEOUT = "500ms"
_LOCK_NOT_AVAILABLE = "55P03"


def month_start(*, year: int, month: int, ahead: int) -> datetime:
    """The first instant (UTC) of the month that lies `ahead` months after the given one."""
    index = year * 12 + (month - 1) + ahead
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def _bound(instant: datetime) -> str:
    return str(uuid7_floor(int(instant.timestamp() * 1000)))


def months(table: str, *, first: datetime, count: int) -> list[str]:
    """The statements that make `count` monthly partitions from `first` on."""
    statements = []
    for ahead in range(count):
        start = month_start(year=first.year, month=first.month, ahead=ahead)
        end = month_start(year=first.year, month=first.month, ahead=ahead + 1)
        statements.append(
            f'CREATE TABLE IF NOT EXISTS "{table}_{start:%Y_%m}" PARTITION OF "{table}"'
            f" FOR VALUES FROM ('{_bound(start)}') TO ('{_bound(end)}')"
        )
    return statements


class PartitionByMonth(Operation):
    """Turns the new, empty table of a model into one that is partitioned by range of its uuid7 key."""

    reduces_to_sql = False
    reversible = True

    def __init__(self, name: str) -> None:
        self.name = name

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """For Django's writer of migrations."""
        return self.__class__.__name__, [self.name], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The model stays as it is: partitions are the database's matter."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,  # noqa: ARG002  Django's signature
        to_state: Any,
    ) -> None:
        """Copy the definition, drop the plain table, make the months and a default for everything else."""
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        schema_editor.execute(f'ALTER TABLE "{table}" RENAME TO "{table}_plain"')
        schema_editor.execute(f'CREATE TABLE "{table}" (LIKE "{table}_plain" INCLUDING ALL) PARTITION BY RANGE (id)')
        schema_editor.execute(f'DROP TABLE "{table}_plain"')
        schema_editor.execute(f'CREATE TABLE "{table}_other" PARTITION OF "{table}" DEFAULT')
        for statement in months(table, first=datetime.now(UTC), count=MONTHS_AHEAD):
            schema_editor.execute(statement)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Dropped with the table."""

    def describe(self) -> str:
        """One line for `migrate`'s output."""
        return f"Partition {self.name} by month"


@dataclass(frozen=True)
class Added:
    """Partitions that were made, and those that can't be any more: rows of these months lie in the default."""

    made: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()


class Busy(RuntimeError):
    """Somebody holds a table that a month is to be added to."""


def add_months(*, count: int = MONTHS_AHEAD) -> Added:
    """Make what is missing of the present month and those after it, `count` (1 to 60) in all, for every such table.

    Raises `Busy` where the tables are in use just now; nothing is made then.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
            cursor.execute("SELECT partition, is_made FROM audit_add_months(%s)", [count])
            found = cursor.fetchall()
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise Busy("the tables are in use: months are made later") from error
    return Added(
        made=tuple(name for name, is_made in found if is_made),
        kept_back=tuple(name for name, is_made in found if not is_made),
    )


def months_ahead(*, at: datetime) -> dict[str, int]:
    """How many months after the present one each partitioned table has without a gap."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.relname, array_agg(c.relname) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent"
            " JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE p.relkind = 'p' AND p.relnamespace = 'public'::regnamespace GROUP BY p.relname"
        )
        found = dict(cursor.fetchall())
    return {table: _without_gap(table, set(names), at=at.astimezone(UTC)) for table, names in sorted(found.items())}


def _without_gap(table: str, names: set[str], *, at: datetime) -> int:
    ahead = 0
    while f"{table}_{month_start(year=at.year, month=at.month, ahead=ahead + 1):%Y_%m}" in names:
        ahead += 1
    return ahead


def running_out(*, at: datetime) -> str:
    """One sentence where a table has hardly any month left, else nothing. Rows without a month are kept all the same."""
    short = [f"{table} has {ahead}" for table, ahead in months_ahead(at=at).items() if ahead < LEAST_AHEAD]
    if not short:
        return ""
    return f"months ahead run out ({', '.join(short)}): do scheduler and worker run? audit.tasks.make_months makes them"
