"""Rows that name no cause that there is: no verb can have written them.

Whoever exports asks the database for all of them. Whoever verifies has looked at nearly every row by then, and asks only
about what it has not recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from audit.leaves import cause_column
from audit.models import Cause, JournalEntry, JournalSubject

if TYPE_CHECKING:
    from django.db import models

    from audit.leaves import Reach

_MOST = 1_000


@dataclass
class Looked:
    """What was looked at of one table: everything that belongs to something from the first to the last of a span.

    Of that, `unknown` is what belongs to something that was not sealed there: little, as long as transactions end nearly in
    the order in which they began.
    """

    span: tuple[Any, Any] | None = None
    unknown: set[Any] = field(default_factory=set)

    def add(self, model: type[models.Model], reach: Reach) -> None:
        """One more batch, which goes on where the last one ended (`audit.leaves.reach_of`)."""
        _, places = reach.owners(model)
        if places:
            first, last = reach.span(model)
            self.span = (first, last) if self.span is None else (min(self.span[0], first), max(self.span[1], last))


def strays(model: type[models.Model], looked: Looked | None = None) -> list[str]:
    """Their keys in a table, 1,000 at most."""
    key = connection.ops.quote_name(str(model._meta.pk.column))
    table = connection.ops.quote_name(model._meta.db_table)
    target, column = (JournalEntry, "entry_id") if model is JournalSubject else (Cause, cause_column(model))
    where, values = "", []  # type: tuple[str, list[Any]]
    if looked is not None and looked.span is not None:
        where = f" AND (r.{column} NOT BETWEEN %s AND %s OR r.{column} IS NULL OR r.{column} = ANY(%s))"
        values = [_value(looked.span[0]), _value(looked.span[1]), [_value(one) for one in looked.unknown]]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.{key} FROM {table} r WHERE NOT EXISTS"  # noqa: S608  names of our models
            f" (SELECT FROM {target._meta.db_table} t WHERE t.id = r.{column}){where} ORDER BY 1 LIMIT {_MOST}",
            values or None,
        )
        return [str(found) for (found,) in cursor.fetchall()]


def _value(owner: int | bytes) -> int | UUID:
    return UUID(bytes=owner) if isinstance(owner, bytes) else owner
