"""The database is away, or something else is wrong: told apart by what the server or the driver really says."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

from audit.outages import is_outage
from tests.conftest import drop_connection


def wrapped(cause: Exception, *, by: type[Exception] = OperationalError) -> Exception:
    """As Django raises what the driver raises."""
    error = by(*cause.args)
    error.__cause__ = cause
    return error


@pytest.mark.unit
@pytest.mark.parametrize(
    ("cause", "is_away"),
    [
        (psycopg.errors.AdminShutdown("terminating connection"), True),
        (psycopg.errors.CrashShutdown("terminating connection"), True),
        (psycopg.errors.CannotConnectNow("starting up"), True),
        (psycopg.errors.TooManyConnections("sorry, too many clients already"), True),
        (psycopg.errors.ConnectionFailure("lost"), True),
        (psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly"), True),
        (PoolTimeout("couldn't get a connection after 5.00 sec"), True),
        (psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"), False),
        (psycopg.errors.DeadlockDetected("deadlock detected"), False),
        (psycopg.errors.QueryCanceled("canceling statement due to user request"), False),
        (psycopg.errors.DiskFull("could not extend file"), False),
    ],
)
def test_what_the_driver_says_of_a_server_that_is_away_is_told_from_the_rest(cause: Exception, is_away: bool) -> None:
    assert is_outage(wrapped(cause)) is is_away


@pytest.mark.unit
@pytest.mark.parametrize("error", [ValueError("x"), IntegrityError("x"), DatabaseError("x"), OSError("x"), None])
def test_other_errors_are_no_outage(error: Exception | None) -> None:
    assert not is_outage(error)


@pytest.mark.unit
def test_what_follows_from_an_outage_is_one() -> None:
    away = wrapped(psycopg.errors.AdminShutdown("terminating connection"))
    after = RuntimeError("the transaction can't go on")
    after.__context__ = away
    assert is_outage(after)
    of = ValueError("bad")
    of.__cause__ = of.__context__ = after
    assert is_outage(of)


@pytest.mark.unit
def test_a_circle_of_errors_ends() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__context__, other.__context__ = other, one
    assert not is_outage(one)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_ends_is_an_outage_and_the_next_transaction_has_another() -> None:
    with pytest.raises(OperationalError) as first, transaction.atomic():
        drop_connection()
    assert is_outage(first.value)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_something_closed_is_an_outage_only_where_it_is_the_connection() -> None:
    closed = wrapped(psycopg.InterfaceError("the cursor is closed"), by=InterfaceError)
    connection.ensure_connection()
    assert not is_outage(closed)
    connection.close()
    assert is_outage(closed)
