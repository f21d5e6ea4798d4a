"""How fast one connection may ask, so that a directory in a loop never starves the others.

Counted in Redis over ten seconds for each system, whatever its token. Without it nothing is counted, and a
log line says so: a deactivation must arrive while Redis is down.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from threading import Lock
from uuid import UUID

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from provisioning.scim.errors import ScimError, too_many_requests

log = structlog.get_logger("rollcall.scim")

WINDOW = 10
"""Seconds over which requests are counted together."""


def requests_over(system: UUID, *, at: datetime) -> int:
    """Count one request; how many this one is past ROLLCALL_SCIM_PACE a second on average, 0 if it is not.

    A process tells Redis of several requests at once, one in 64 of what a connection may ask: no request waits for
    Redis that need not, and the count is behind by as many for each process at most.
    """
    most, untold = settings.ROLLCALL_SCIM_PACE * WINDOW, 0
    with _lock:
        mine = _count(system, at=at)
        mine.untold += 1
        if mine.untold >= max(1, most // 64) or mine.told + mine.untold > most:
            untold, mine.untold = mine.untold, 0
    if untold:
        _tell(system, mine, untold)
    return max(0, mine.told + mine.untold - most)


def is_first_refusal(system: UUID, *, at: datetime) -> bool:
    """Whether this process refuses the first request of this window, so that a flood is said once and not each time."""
    with _lock:
        mine = _count(system, at=at)
        first, mine.has_refused = not mine.has_refused, True
    return first


def _count(system: UUID, *, at: datetime) -> "_Count":
    window = int(at.timestamp()) // WINDOW
    mine = _counts.get(system)
    if mine is None or mine.window != window:
        # What was counted before is dropped: there is a count for each system that asks, and no more.
        for known in [known for known, count in _counts.items() if count.window != window]:
            del _counts[known]
        mine = _counts[system] = _Count(window=window)
    return mine


def _tell(system: UUID, mine: "_Count", untold: int) -> None:
    key = f"rollcall:scim:pace:{system}:{mine.window}"
    try:
        together = _redis().pipeline(transaction=False)
        together.incr(key, untold)
        together.expire(key, 2 * WINDOW)
        mine.told = int(together.execute()[0])
    except RedisError as error:
        mine.told = 0
        log.warning("pace is not counted", error=type(error).__name__)


@dataclass
class _Count:
    """What one system asked of this process in one window: what Redis knows of all processes, and what it does not."""

    window: int
    told: int = 0
    untold: int = 0
    has_refused: bool = False


_counts: dict[UUID, _Count] = {}
_lock = Lock()


@cache
def _redis() -> Redis:
    """Redis itself: Django's cache needs three round trips for what a request waits for."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def too_fast(*, at: datetime) -> ScimError:
    """429, with the seconds until counting begins anew."""
    return too_many_requests(retry_after=WINDOW - int(at.timestamp()) % WINDOW)
