"""Failed sign-ins are counted for each name and address together, so that nobody can lock somebody else out.

The counters are in the cache, under keyed digests, and end by themselves. Without the cache nothing is counted, and a
log line says so: people must get in while Redis is down, and each guess still costs an Argon2 hash.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from redis.exceptions import RedisError

log = structlog.get_logger("rollcall.sign_in")


@dataclass(frozen=True)
class Limit:
    """How often something may fail within how long."""

    name: str
    times: int
    within: timedelta


PAIR = Limit("pair", 5, timedelta(minutes=15))
ADDRESS = Limit("address", 60, timedelta(minutes=15))
RESET_PAIR = Limit("reset-pair", 3, timedelta(hours=1))
RESET_ADDRESS = Limit("reset-address", 20, timedelta(hours=1))


def address_of(request: HttpRequest) -> str:
    """Who asks; behind a proxy of ours, whom it names (`governance.proxies`)."""
    return str(request.META.get("REMOTE_ADDR", ""))


def _key(limit: Limit, parts: tuple[str, ...]) -> str:
    mixed = salted_hmac(f"rollcall.throttle.{limit.name}", "\x00".join(parts), algorithm="sha256").hexdigest()
    return f"throttle:{limit.name}:{mixed}"


def _count(limit: Limit, parts: tuple[str, ...], at: datetime) -> datetime | None:
    key = _key(limit, parts)
    seconds = int(limit.within.total_seconds())
    cache.add(f"{key}:until", (at + limit.within).timestamp(), seconds)
    cache.add(key, 0, seconds)
    try:
        times = cache.incr(key)
    except ValueError:  # it ended between the two calls
        return None
    if times <= limit.times:
        return None
    until = cache.get(f"{key}:until")
    return datetime.fromtimestamp(until, UTC) if until is not None else None


def count(*limits: tuple[Limit, tuple[str, ...]], at: datetime) -> datetime | None:
    """Count one try against each limit, before it is made. Returns until when it is refused, or nothing."""
    try:
        refused = [_count(limit, parts, at) for limit, parts in limits]
    except RedisError as error:
        log.error("throttle_unreachable", error=type(error).__name__)  # noqa: TRY400 - its text names the host
        return None
    return max((until for until in refused if until is not None), default=None)


def forget(*limits: tuple[Limit, tuple[str, ...]]) -> None:
    """It went well: what was counted against these is over."""
    try:
        cache.delete_many(
            [name for limit, parts in limits for name in (_key(limit, parts), f"{_key(limit, parts)}:until")]
        )
    except RedisError as error:
        log.error("throttle_unreachable", error=type(error).__name__)  # noqa: TRY400 - its text names the host
