"""Fields and database functions that every floor's models use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.contrib.postgres.functions import RandomUUID
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models import Func

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _ForeignKey = models.ForeignKey[Any, Any]
else:
    _ForeignKey = models.ForeignKey

Row = TypeVar("Row", bound=models.Model)


def columns_of(model: type[models.Model], alias: str) -> str:
    """The columns of a model as a SELECT lists them, for the few statements that every request begins with."""
    return ", ".join(f'{alias}."{field.column}"' for field in model._meta.concrete_fields)


def from_row(model: type[Row], values: Sequence[Any]) -> Row:
    """The instance whose columns `columns_of` read."""
    names, converted = _layout(model)
    read = list(values)
    for at, convert in converted:
        read[at] = convert(read[at], None, connection)
    return model.from_db(DEFAULT_DB_ALIAS, names, read)


@cache
def _layout(model: type[models.Model]) -> tuple[list[str], list[tuple[int, Callable[..., Any]]]]:
    fields = model._meta.concrete_fields
    converters = [(at, getattr(field, "from_db_value", None)) for at, field in enumerate(fields)]
    return [field.attname for field in fields], [(at, found) for at, found in converters if found is not None]


class ClockTimestamp(Func):
    """The database's clock at the moment of the statement, not of the transaction's begin."""

    template = "clock_timestamp()"
    arity = 0
    output_field: ClassVar[models.Field[Any, Any]] = models.DateTimeField()


class CurrentTransaction(Func):
    """The number of the running transaction, so that a row can prove in which one it was made."""

    template = "pg_current_xact_id()::text::bigint"
    arity = 0
    output_field: ClassVar[models.Field[Any, Any]] = models.BigIntegerField()


def salt() -> models.UUIDField[Any, Any]:
    """What makes the digest of a row's personal columns tell nothing of them. Drawn by the database, row by row.

    It is blanked together with them when they are erased: who has the digest alone can't try values then.
    """
    return models.UUIDField(null=True, db_default=RandomUUID(), editable=False)


class TenantForeignKey(_ForeignKey):
    """A reference that can't leave its tenant.

    The constraint is `(tenant_id, x_id) → (tenant_id, id)`, made by `audit.guards`: a plain foreign key is checked
    by the database without row-level security, and would accept another tenant's row.
    """

    def __init__(self, to: Any, on_delete: Any = models.PROTECT, **kwargs: Any) -> None:
        kwargs["db_constraint"] = False
        super().__init__(to, on_delete, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_constraint", None)
        return name, path, list(args), kwargs
