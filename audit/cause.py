"""Who acts, by what and why: set once, where a request, a task or a command begins.

    with acting(Cause(kind=CauseKind.PAGE, actor="l.chen", reason="restore drill", tenant_id=tenant.id)):
        lifecycle.suspend(...)

The row is made in the transaction of the writes it explains, and the database looks it up there: a write to a
tracked table without one fails with SQLSTATE RC001, whoever tries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audit.models import Cause

_current: ContextVar[Cause | None] = ContextVar("rollcall_cause", default=None)
_tenant: ContextVar[UUID | None] = ContextVar("rollcall_tenant", default=None)

_OPEN = """
WITH scope AS MATERIALIZED (SELECT set_config('rollcall.tenant', %s, true)),
made AS (
  INSERT INTO audit_cause (tenant_id, kind, actor, user_id, identity_id, subject, reason, parent_id)
  SELECT %s::uuid, %s, %s, %s::uuid, %s::uuid, %s, %s, %s::bigint FROM scope
  RETURNING id, at)
SELECT id, at, set_config('rollcall.cause', id::text, true) FROM made
"""


class NoCause(RuntimeError):
    """Code that must know who acts ran outside `acting`."""


def current() -> Cause:
    """The cause in force. Raises `NoCause` where nobody said who acts."""
    cause = _current.get()
    if cause is None:
        raise NoCause("open audit.cause.acting(Cause(...)) first: every write has a cause")
    return cause


def current_or_none() -> Cause | None:
    """The cause in force, for logs and pages that also run where nobody writes."""
    return _current.get()


def current_tenant() -> UUID | None:
    """The tenant in force, or none in a global scope."""
    return _tenant.get()


def _setting(value: UUID | int | None) -> str:
    return "" if value is None else str(value)


def _restore(*, tenant: UUID | None, cause: Cause | None) -> None:
    """Before a savepoint is released: the outer scope's settings, or none where the outer transaction has no scope.

    A savepoint that is to be rolled back restores them by itself, and takes no more statements.
    """
    if not connection.needs_rollback:
        _set(tenant=tenant, cause=cause)


def _set(*, tenant: UUID | None, cause: Cause | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('rollcall.tenant', %s, true), set_config('rollcall.cause', %s, true)",
            [_setting(tenant), _setting(cause.pk if cause else None)],
        )


@contextmanager
def acting(cause: Cause) -> Iterator[Cause]:
    """A transaction (or savepoint) whose writes are explained by `cause`, seeing only the cause's tenant.

    Nested scopes restore the outer cause and tenant on a clean exit; on an error the savepoint's rollback does.
    """
    outer_cause, outer_tenant = _current.get(), _tenant.get()
    is_nested = connection.in_atomic_block
    if outer_cause is not None and cause.parent_id is None:
        cause.parent_id = outer_cause.pk
    with transaction.atomic():
        values: list[Any] = [
            _setting(cause.tenant_id), cause.tenant_id, cause.kind, cause.actor, cause.user_id,
            cause.identity_id, cause.subject, cause.reason, cause.parent_id,
        ]  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(_OPEN, values)
            cause.pk, cause.at, _ = cursor.fetchone()
        tokens = _current.set(cause), _tenant.set(cause.tenant_id)
        try:
            yield cause
        finally:
            _current.reset(tokens[0])
            _tenant.reset(tokens[1])
        if is_nested:
            _restore(tenant=outer_tenant, cause=outer_cause)


@contextmanager
def reading(tenant: UUID | None, *, steady: bool = False) -> Iterator[None]:
    """A transaction that sees one tenant (or only global tables) and can't write: it has no cause.

    `steady`: all of its statements see the same moment, however long it takes. Inside another transaction they see
    what that one sees.
    """
    outer_cause, outer_tenant = _current.get(), _tenant.get()
    is_nested = connection.in_atomic_block
    with transaction.atomic():
        if steady and not is_nested:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        _set(tenant=tenant, cause=None)
        tokens = _current.set(None), _tenant.set(tenant)
        try:
            yield
        finally:
            _current.reset(tokens[0])
            _tenant.reset(tokens[1])
        if is_nested:
            _restore(tenant=outer_tenant, cause=outer_cause)
