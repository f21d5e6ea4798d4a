"""Probes: does the process live, and can it serve? They need no sign-in, and tell no more than names and reasons."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from audit import partitions, sealing
from audit.guards import WrongRole, refuse_wrong_role
from audit.scope import scope
from provisioning.received import LATE_AFTER


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """The process lives. Asks nothing else, so that a lost database does not restart the web."""
    return HttpResponse("alive\n", content_type="text/plain; charset=utf-8")


def _database() -> str:
    try:
        refuse_wrong_role()
    except WrongRole as error:
        return str(error)
    except Error as error:
        return f"the database does not answer ({type(error).__name__})"
    return ""


def _migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error as error:
        return f"can't be read ({type(error).__name__})"
    return f"{len(missing)} not applied: run manage.py migrate" if missing else ""


def _redis() -> str:
    try:
        cache.get("rollcall:ready")
    except (RedisError, OSError) as error:
        return f"Redis does not answer ({type(error).__name__})"
    return ""


def _months() -> str:
    try:
        return partitions.running_out(at=datetime.now(UTC))
    except Error as error:
        return f"can't be read ({type(error).__name__})"


def _received() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT provisioning_oldest_received()")
            (oldest,) = cursor.fetchone()
    except Error as error:
        return f"can't be read ({type(error).__name__})"
    waits = datetime.now(UTC) - oldest if oldest is not None else timedelta(0)
    if waits <= LATE_AFTER:
        return ""
    minutes = int(waits.total_seconds() // 60)
    return f"what was acknowledged waits since {minutes} minutes to be applied: do scheduler and worker run?"


def _seals() -> str:
    try:
        with scope():
            return sealing.falling_behind(at=datetime.now(UTC))
    except Error as error:
        return f"can't be read ({type(error).__name__})"


CHECKS: dict[str, Callable[[], str]] = {"migrations": _migrations, "redis": _redis}
_ASK_IT = frozenset({"migrations"})
NOT_ASKED = "not asked: the database comes first"

# Worth a look before it hurts; no reason to take the process out of service.
WARNINGS: dict[str, Callable[[], str]] = {"months": _months, "received": _received, "seals": _seals}


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """The process can serve: the database answers to an ordinary role, nothing is left to migrate, Redis answers.

    200, or 503 with a reason for each check that failed. `warnings` are told beside either, and change nothing.
    """
    found = {"database": _database()}
    # Each of them would wait for a database that is away as long as the first did, and hold a thread meanwhile.
    is_there = not found["database"]
    found |= {name: check() if is_there or name not in _ASK_IT else NOT_ASKED for name, check in CHECKS.items()}
    ready = not any(found.values())
    warnings = {name: said for name, look in WARNINGS.items() if (said := look())} if is_there else {}
    body = {"ready": ready, "checks": {name: reason or "ok" for name, reason in found.items()}, "warnings": warnings}
    return JsonResponse(body | {"at": datetime.now(UTC).isoformat(timespec="seconds")}, status=200 if ready else 503)
