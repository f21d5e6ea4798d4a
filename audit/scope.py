"""The one frame that every face and every slice of a task runs in: one transaction, one tenant, one cause."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.transaction import Atomic

from audit.cause import acting, current_tenant, reading
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


def together() -> Atomic:
    """All of it or nothing, together with the transaction around it; in one of its own where there is none.

    It makes no savepoint, which two more round trips would pay for: what goes wrong in it takes back all that is
    around it, up to the next savepoint. For verbs whose errors nobody handles halfway.
    """
    return transaction.atomic(savepoint=False)


def at_once(*statements: tuple[str, Sequence[Any]], tenant: UUID) -> list[list[tuple[Any, ...]]]:
    """The rows of several statements that see `tenant`, in one round trip; none for one that has no rows.

    For the few look-ups that every request begins with, where a transaction around them would cost more than they do:
    statements sent together are one transaction of the database (PostgreSQL, "Multiple Statements in a Simple Query"),
    and the setting ends with it.
    """
    if connection.in_atomic_block:
        if current_tenant() == tenant:
            return [_rows(text, values) for text, values in statements]
        with scope(tenant=tenant):
            return [_rows(text, values) for text, values in statements]
    texts = ["SELECT set_config('rollcall.tenant', %s, true)", *[text for text, _values in statements]]
    found: list[list[tuple[Any, ...]]] = []
    with connection.cursor() as cursor:
        cursor.execute("; ".join(texts), [str(tenant), *[value for _text, values in statements for value in values]])
        while cursor.nextset():
            found.append(list(cursor.fetchall()) if cursor.description else [])
    return found


def _rows(text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return list(cursor.fetchall()) if cursor.description else []
