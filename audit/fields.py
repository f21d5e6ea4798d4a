"""Fields and database functions that every floor's models use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.db.models import Func

if TYPE_CHECKING:
    _ForeignKey = models.ForeignKey[Any, Any]
else:
    _ForeignKey = models.ForeignKey


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
