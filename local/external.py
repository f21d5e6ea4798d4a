"""Servers that somebody else runs: when they are to be used, whether they can be reached, what they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from local.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Say whether the environment names servers to be used instead of our own.

    Raises `CannotRun` when it names some of them only: guessing the rest would mix two installations.
    """
    missing = [name for name in NEEDED if not environment.get(name)]
    if not missing:
        return True
    if len(missing) == len(NEEDED):
        return False
    given = ", ".join(name for name in NEEDED if name not in missing)
    raise CannotRun(f"{' and '.join(missing)} not set, but {given}: set all three, or none to use servers of our own.")


def check(environment: Mapping[str, str]) -> None:
    """Connect once to each server. Raises `CannotRun` with the reason, and what PostgreSQL needs, when one refuses."""
    for name in ("DATABASE_OWNER_URL", "DATABASE_URL", "DATABASE_ERASER_URL"):
        if environment.get(name):
            _check_database(name, environment)
    try:
        with redis.Redis.from_url(environment["REDIS_URL"], socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise CannotRun(f"REDIS_URL cannot be used: {error}") from error


def _check_database(name: str, environment: Mapping[str, str]) -> None:
    _refuse_unescaped(name, environment[name])
    try:
        with psycopg.connect(environment[name], connect_timeout=5):
            pass
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise CannotRun(
            f"{name} cannot be used: {reason}\n"
            "PostgreSQL 15 or newer needs these roles and this database, made once by its administrator:\n"
            f"{statements(environment)}",
        ) from error


def _refuse_unescaped(name: str, url: str) -> None:
    """A password with a slash or an @ in it falls apart into a port and a host, which libpq's message would repeat."""
    try:
        parts = conninfo_to_dict(url.partition("?")[0])
    except psycopg.ProgrammingError:
        parts = {"port": "unreadable"}
    is_clean = str(parts.get("port", 0)).replace(",", "").isdecimal() and "@" not in str(parts.get("host", ""))
    if not is_clean or not url.startswith(("postgres://", "postgresql://")):
        raise CannotRun(
            f"{name} must look like postgres://user:password@host:port/database,"
            " with what is special in a password as %40 and the like.",
        )


def statements(environment: Mapping[str, str]) -> str:
    """Return the statements for psql that make the three roles and the database which the environment names.

    Passwords are left to be filled in: what is printed here ends up in logs.
    """
    owner = _part(environment, "DATABASE_OWNER_URL", "user", "rollcall_owner")
    app = _part(environment, "DATABASE_URL", "user", "rollcall_app")
    eraser = _part(environment, "DATABASE_ERASER_URL", "user", "rollcall_eraser")
    database = _part(environment, "DATABASE_URL", "dbname", "rollcall")
    lines = [
        f"  CREATE ROLE {_quoted(role)} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...';" for role in (owner, app, eraser)
    ]
    return "\n".join([*lines, f"  CREATE DATABASE {_quoted(database)} OWNER {_quoted(owner)};"])


def _part(environment: Mapping[str, str], name: str, part: str, otherwise: str) -> str:
    try:
        return str(conninfo_to_dict(environment.get(name, "")).get(part) or otherwise)
    except psycopg.ProgrammingError:  # not an address at all: the refusal says so, the statements show the usual names
        return otherwise


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name.islower() else '"' + name.replace('"', '""') + '"'
