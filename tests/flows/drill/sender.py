"""One request, sent until it is answered, as identity providers do: a broken connection or a 5xx is no answer."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

PATIENCE = 60.0  # seconds after which a sender gives up, and the drill has failed
PAUSE = 0.05  # seconds before a request is sent again
BASE = "/scim/v2"


class Unanswered(AssertionError):
    """Nobody answered in time."""


@dataclass(frozen=True)
class Answered:
    """The answer, and how often the request was sent before it came."""

    status: int
    body: Any
    times: int

    @property
    def is_repeat(self) -> bool:
        """Whether an earlier try may have taken effect without our knowing."""
        return self.times > 1

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


@dataclass
class Sender:
    """One client of one system. Each thread has its own."""

    address: str
    token: str
    statuses: Counter[str] = field(default_factory=Counter)
    between: Callable[[], None] = lambda: time.sleep(PAUSE)
    patience: float = PATIENCE
    _http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._http = httpx.Client(
            base_url=self.address + BASE, headers={"Authorization": f"Bearer {self.token}"}, timeout=20.0
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def send(self, method: str, path: str, body: Any = None, *, key: str = "", prefer: str = "") -> Answered:
        """Send until there is an answer. Raises `Unanswered`."""
        content = raw(body)
        headers = {"Content-Type": "application/scim+json"} | ({"Idempotency-Key": key} if key else {})
        headers |= {"Prefer": prefer} if prefer else {}
        began, times = time.monotonic(), 0
        while time.monotonic() < began + self.patience:
            times += 1
            try:
                answer = self._http.request(method, path, content=content, headers=headers)
            except httpx.TransportError as error:
                self.statuses[type(error).__name__] += 1
            else:
                self.statuses[str(answer.status_code)] += 1
                if answer.status_code < 500 and answer.status_code != 429:
                    return Answered(answer.status_code, answer.json() if answer.content else None, times)
            self.between()
        raise Unanswered(f"{method} {path} was sent {times} times: {dict(self.statuses)}")


def raw(body: Any) -> bytes:
    """The bytes that are sent for a document."""
    return b"" if body is None else json.dumps(body).encode()
