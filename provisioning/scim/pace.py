"""How fast one connection may ask, so that a directory in a loop never starves the others.

Counted in Redis over ten seconds for each system, whatever its token. Without it nothing is counted, and a
log line says so: a deactivation must arrive while Redis is down.
"""

from datetime import datetime
from functools import cache
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
    """Count one request; how many this one is past ROLLCALL_SCIM_PACE a second on average, 0 if it is not."""
    key = f"rollcall:scim:pace:{system}:{int(at.timestamp()) // WINDOW}"
    try:
        together = _redis().pipeline(transaction=False)
        together.incr(key)
        together.expire(key, 2 * WINDOW)
        times = int(together.execute()[0])
    except RedisError as error:
        log.warning("pace is not counted", error=type(error).__name__)
        return 0
    return max(0, times - settings.ROLLCALL_SCIM_PACE * WINDOW)


@cache
def _redis() -> Redis:
    """Redis itself: Django's cache needs three round trips for what every request waits for."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def too_fast(*, at: datetime) -> ScimError:
    """429, with the seconds until counting begins anew."""
    return too_many_requests(retry_after=WINDOW - int(at.timestamp()) % WINDOW)
