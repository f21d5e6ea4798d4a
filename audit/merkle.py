"""The root of a list of leaves, as RFC 6962 §2.1 makes it."""

from collections.abc import Iterable
from hashlib import sha256


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over digests of leaves, in their order. Of none it is the digest of nothing.

    The prefix of a leaf is in its digest already (`audit.leaves`); that of an inner node is set here. The RFC divides at
    the largest power of two; pair by pair, with the last one going up alone, comes to the same.
    """
    level = list(leaves)
    if not level:
        return sha256().digest()
    while len(level) > 1:
        alone = [level.pop()] if len(level) % 2 else []
        twice = iter(level)
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(twice, twice, strict=True)] + alone
    return level[0]
