"""What both Django peers get: the database behind the same pool as Rollcall, and one bearer token."""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from django.http import HttpRequest

SECRET_KEY = os.environ.get("SECRET_KEY", "of a bench whose data nobody will miss")
TOKEN = os.environ.get("BENCH_TOKEN", "")
NETLOC = os.environ.get("ROLLCALL_BIND", "127.0.0.1:8000")
ALLOWED_HOSTS = ["127.0.0.1"]


def databases() -> dict[str, dict[str, Any]]:
    """Django's DATABASES, from BENCH_DATABASE_URL."""
    found = conninfo_to_dict(os.environ["BENCH_DATABASE_URL"])
    pool = {"min_size": 1, "max_size": 4, "timeout": 30} if os.environ.get("ROLLCALL_POOL") == "1" else False
    return {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": found["dbname"],
            "USER": found["user"],
            "PASSWORD": found["password"],
            "HOST": found["host"],
            "PORT": found["port"],
            "CONN_MAX_AGE": 0,
            "OPTIONS": {"pool": pool} if pool else {},
        }
    }


def has_token(request: HttpRequest) -> bool:
    """Whether a request carries the bench's token."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), TOKEN.encode())
