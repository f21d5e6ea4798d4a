"""The one frame that every face and every slice of a task runs in: one transaction, one tenant, one cause."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from django.db import connection

from audit.cause import acting, reading
from audit.models import Cause


def scope(
    *, tenant: UUID | None = None, cause: Cause | None = None, steady: bool = False
) -> AbstractContextManager[Any]:
    """A transaction that sees `tenant` and writes because of `cause`.

    No cause means reading, `steady` where it goes on for long and must see one moment; no tenant means the global
    tables only. With a cause, its tenant is `tenant`.
    """
    if cause is None:
        return reading(tenant, steady=steady)
    cause.tenant_id = tenant
    return acting(cause)


def look(statement: str, values: Sequence[Any], *, tenant: UUID) -> list[tuple[Any, ...]]:
    """The rows of one SELECT that sees `tenant`, in one round trip.

    For the one look-up that stands before a scope can be opened: two statements sent together are one transaction of
    the database (PostgreSQL, "Multiple Statements in a Simple Query"), and the setting ends with it.
    """
    if connection.in_atomic_block:
        with scope(tenant=tenant), connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT set_config('rollcall.tenant', %s, true); {statement}", [str(tenant), *values])
        cursor.nextset()
        return list(cursor.fetchall())
