"""Keys that sort by the time they were made."""

import os
import threading
import time
import uuid

_RANDOM_BITS = 74
_LOW_BITS = 62
_DAY = 86_400_000
_lock = threading.Lock()
_last = (-1, 0)


def _next_random(milliseconds: int) -> int:
    """74 bits: random, and within one millisecond growing, so that keys of one process sort as they were made."""
    global _last  # noqa: PLW0603  what RFC 9562 §6.2 calls monotonic random has one memory for each process
    with _lock:
        if milliseconds == _last[0]:
            value = _last[1] + 1 + int.from_bytes(os.urandom(5), "big")
        else:
            # The highest bit stays free, so that a millisecond of adding never overflows.
            value = int.from_bytes(os.urandom(10), "big") >> (80 - _RANDOM_BITS + 1)
        _last = (milliseconds, value)
    return value


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits, growing (§6.2)."""
    milliseconds = time.time_ns() // 1_000_000
    value = _next_random(milliseconds)
    high, low = value >> _LOW_BITS, value & ((1 << _LOW_BITS) - 1)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low)


def milliseconds_of(key: uuid.UUID) -> int:
    """When a version 7 key was made: milliseconds since the Unix epoch."""
    return key.int >> 80


def uuid7_floor(milliseconds: int) -> uuid.UUID:
    """The smallest identifier that can have been made at `milliseconds` since the Unix epoch: a partition's bound."""
    return uuid.UUID(int=milliseconds << 80)


def uuid7_of_tomorrow() -> uuid.UUID:
    """Above every key made until now, also by a process whose clock is ahead by less than a day.

    As an upper bound it keeps the partitions of the months ahead out of a statement, which cost more than its rows.
    """
    return uuid7_floor(time.time_ns() // 1_000_000 + _DAY)
