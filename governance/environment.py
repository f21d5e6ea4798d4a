"""How settings are read from the environment. What is missing or wrong stops the start with one readable line.

No line repeats a whole value: most of these addresses hold a password.
"""

import ipaddress
import os
import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Seconds of waiting for the server, and for a lock; a parameter in the address says otherwise.
_CONNECT_TIMEOUT = 10
_LOCK_TIMEOUT = "-c lock_timeout=30s"
_PORTS = re.compile(r"\d{1,5}(,\d{1,5})*")
_TOKEN = re.compile(r"[\x21-\x7e]{24,500}")
_HOSTS = re.compile(r"[^@?#]*")
# libpq's own words about a parameter, which name it and nothing else of the address.
_PARAMETER = re.compile(
    r'^(?:invalid URI query parameter|missing key/value separator "=" in URI query parameter): "\w+"$'
)


def need(name: str, *, why: str) -> str:
    """The value of a variable without which nothing works. Raises `ImproperlyConfigured`, which says why."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: {why}. `make run` sets it by itself.")
    return value


def number(name: str, *, default: int, least: int, most: int) -> int:
    """A whole number within limits."""
    text = os.environ.get(name, "").strip() or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ImproperlyConfigured(f"{name} is {text!r}: it must be a whole number from {least} to {most}")
    return int(text)


def token(name: str) -> str:
    """A secret that somebody sends us, or nothing. One that could be guessed is refused."""
    text = os.environ.get(name, "").strip()
    if text and not _TOKEN.fullmatch(text):
        raise ImproperlyConfigured(
            f"{name} must be 24 to 500 visible ASCII characters, such as `openssl rand -hex 32` writes"
        )
    return text


def parts(name: str) -> list[str]:
    """What stands between commas, without blanks and empty parts."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def networks(name: str, *, besides: frozenset[str] = frozenset()) -> list[str]:
    """Networks or single addresses, and the words in `besides`, as they were written."""
    found = parts(name)
    for part in found:
        if part in besides:
            continue
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {error}; write networks such as 10.1.0.0/16") from error
    return found


def database(name: str) -> dict[str, Any]:
    """Django's entry for the database whose address is in this variable, read as libpq reads it.

    `postgres://user:password@host:port/database?sslmode=verify-full&…`: several hosts, a socket's directory as
    `?host=/run/postgresql`, and every parameter that libpq knows. Raises `ImproperlyConfigured` for one that it doesn't.
    """
    text = need(name, why="it says where PostgreSQL is, as postgres://user:password@host:port/database")
    found = _read(name, text)
    given = {key: found.pop(key, "") for key in ("dbname", "user", "password", "host", "port", "options")}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": given["dbname"],
        "USER": given["user"],
        "PASSWORD": given["password"],
        "HOST": given["host"],
        "PORT": given["port"] or "5432",
        "CONN_MAX_AGE": 0,
        # Of a pooled connection: a server that was restarted has closed it, and no request is to find that out.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": _CONNECT_TIMEOUT,
            "application_name": "rollcall",
            **found,
            # The later of two wins, so that the address may say otherwise here too.
            "options": f"{_LOCK_TIMEOUT} {given['options']}".strip(),
        },
    }


def _read(name: str, text: str) -> dict[str, str]:
    shape = f"{name} must look like postgres://user:password@host:port/database"
    escaped = f"{shape}, with what is special in a password as %40 and the like"
    if not text.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured(shape)
    try:
        # What a password holds unescaped ends up in other parts: a port in letters, a host with another @. Looked at
        # first without the parameters, whose names may be repeated.
        before = conninfo_to_dict(text.partition("?")[0])
        is_clean = _PORTS.fullmatch(str(before.get("port", "5432"))) and _HOSTS.fullmatch(str(before.get("host", "")))
    except ProgrammingError:
        is_clean = None
    if not is_clean:
        raise ImproperlyConfigured(escaped)
    try:
        found = {key: str(value) for key, value in conninfo_to_dict(text).items()}
    except ProgrammingError as error:
        said = str(error).strip()
        raise ImproperlyConfigured(f"{name}: {said}" if _PARAMETER.match(said) else escaped) from None
    if not (found.get("dbname") and found.get("user") and _PORTS.fullmatch(found.get("port", "5432"))):
        raise ImproperlyConfigured(shape)
    return found


def public_address(name: str, *, default: str) -> str:
    """The address that people and directories use, without a slash at its end."""
    text = os.environ.get(name, "").strip().rstrip("/") or default
    if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname:
        raise ImproperlyConfigured(f"{name} is {text!r}: it must be like https://rollcall.example")
    return text
