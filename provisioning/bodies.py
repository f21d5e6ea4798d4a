"""What the ledger keeps of a request and of its answer: one place that opens them, however they are kept."""

from dataclasses import dataclass
from typing import Any

from provisioning.models.exchange import Exchange


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """The kept body of a request and of its answer. None: there was none, or it is not kept."""

    request: Any
    answer: Any


def opened(exchange: Exchange) -> Bodies:
    """The bodies of one exchange, redacted as they were kept."""
    return Bodies(request=exchange.request, answer=exchange.answer)
