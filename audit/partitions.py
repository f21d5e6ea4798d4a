"""Tables that grow for ever, cut into months by their uuid7 key."""

from datetime import UTC, datetime
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from audit.keys import uuid7_floor

MONTHS_AHEAD = 24


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
