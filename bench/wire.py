"""The client: one connection that stays open, and the time from the first byte sent to the last byte received."""

from __future__ import annotations

import http.client
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from local.ports import LOOPBACK

_IDLE = 50.0  # seconds; gunicorn is told to keep a connection for longer
_TIMEOUT = 900.0  # seconds: the slowest contestants answer large groups in minutes
_QUOTED = 300


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request."""

    method: str
    path: str
    body: bytes = b""

    @classmethod
    def of(cls, method: str, path: str, body: Any = None) -> Ask:
        """A request with a JSON body, which is made ready before the clock starts."""
        return cls(method=method, path=path, body=b"" if body is None else json.dumps(body).encode())


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer, and how long it took."""

    status: int
    content: bytes
    seconds: float

    @property
    def body(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.content) if self.content else {}
        return found

    def quoted(self) -> str:
        """What it says, for a message."""
        return f"{self.status} {self.content[:_QUOTED]!r}"


class Wire:
    """One client of one server."""

    def __init__(self, port: int, token: str, *, prefer: str = "") -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/scim+json"}
        self._headers |= {"Prefer": prefer} if prefer else {}
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def send(self, ask: Ask) -> Reply:
        """One request over the open connection."""
        connection = self._open()
        headers = {**self._headers, "Content-Type": "application/scim+json"} if ask.body else self._headers
        started = time.perf_counter()
        try:
            connection.request(ask.method, ask.path, ask.body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError):
            self.close()
            raise
        seconds = time.perf_counter() - started
        self._used = time.monotonic()
        return Reply(status=answer.status, content=content, seconds=seconds)

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is not None and time.monotonic() - self._used > _IDLE:
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_TIMEOUT)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._used = time.monotonic()
        return self._connection

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
