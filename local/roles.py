"""The roles and the database that Rollcall's own cluster holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from local.ports import LOOPBACK
from local.postgres import SUPERUSER

if TYPE_CHECKING:
    from local.state import Secrets

DATABASE = "rollcall"
OWNER, APP, ERASER = "rollcall_owner", "rollcall_app", "rollcall_eraser"


def url(*, role: str, password: str, port: int, database: str = DATABASE) -> str:
    """Return the address of a database on our own cluster, as `role`. Our passwords are hex: nothing to escape."""
    return f"postgresql://{role}:{password}@{LOOPBACK}:{port}/{database}"


def is_ready(*, secrets: Secrets, port: int) -> bool:
    """Say whether the cluster takes connections (it does not while it recovers)."""
    try:
        with _superuser(secrets=secrets, port=port):
            return True
    except psycopg.OperationalError:
        return False


def establish(*, secrets: Secrets, port: int, for_tests: bool = False) -> None:
    """Make the three roles and the database, or put them right; safe to repeat.

    None of them is a superuser, passes row-level security or may make roles. Only `for_tests` may the owner make
    databases and act as the other two (SET ROLE), which is how tests run under the role that production has.
    """
    passwords = {OWNER: secrets.owner_password, APP: secrets.app_password, ERASER: secrets.eraser_password}
    with _superuser(secrets=secrets, port=port) as connection:
        for role, password in passwords.items():
            _establish_role(connection, role, password, may_make_databases=for_tests and role == OWNER)
        for role in (APP, ERASER):
            _establish_membership(connection, role, wanted=for_tests)
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if known is None:
            statement = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))


def _establish_role(
    connection: psycopg.Connection[tuple[object, ...]],
    role: str,
    password: str,
    *,
    may_make_databases: bool,
) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    # Hashed here, so that the password itself is in no statement that the server might log.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = "ALTER ROLE {}" if known else "CREATE ROLE {}"
    attributes = " LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION "
    attributes += "CREATEDB" if may_make_databases else "NOCREATEDB"
    connection.execute(
        sql.SQL(statement).format(sql.Identifier(role)) + sql.SQL(attributes + " PASSWORD ") + sql.Literal(hashed),
    )


def _establish_membership(connection: psycopg.Connection[tuple[object, ...]], role: str, *, wanted: bool) -> None:
    query = "SELECT 1 FROM pg_auth_members WHERE roleid = %s::regrole AND member = %s::regrole"
    found = connection.execute(query, [role, OWNER]).fetchone() is not None
    if found != wanted:
        verb = "GRANT {} TO {}" if wanted else "REVOKE {} FROM {}"
        connection.execute(sql.SQL(verb).format(sql.Identifier(role), sql.Identifier(OWNER)))


def _superuser(*, secrets: Secrets, port: int) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=LOOPBACK,
        port=port,
        user=SUPERUSER,
        password=secrets.cluster_password,
        dbname="postgres",
        sslmode="disable",  # the server of the wheel has no TLS, and this is loopback
        connect_timeout=3,
        autocommit=True,
    )
