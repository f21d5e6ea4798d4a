"""The root of a list of leaves, as RFC 6962 §2.1 makes it, in one pass and with a few dozen digests of memory."""

from collections.abc import Iterable
from hashlib import sha256


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over digests of leaves, in their order. Of none it is the digest of nothing.

    The prefix of a leaf is in its digest already (`audit.leaves`); that of an inner node is set here. Trees of a power of
    two wait, the largest first, until one as large as the last comes along.
    """
    waiting: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, digest = 1, leaf
        while waiting and waiting[-1][0] == size:
            digest = _node(waiting.pop()[1], digest)
            size *= 2
        waiting.append((size, digest))
    if not waiting:
        return sha256().digest()
    _, root = waiting.pop()
    while waiting:
        root = _node(waiting.pop()[1], root)
    return root


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
