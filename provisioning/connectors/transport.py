"""Floor: provisioning. Question: how does a request reach exactly the addresses that were checked, and in time?

httpx resolves a name anew for each connection, so a name could lead to one address while it is checked and to another
while it is used (DNS rebinding). Here only the checked addresses are ever connected to. The name stays in the Host
header, in SNI and in the certificate's check, because httpcore takes those from the URL and not from its backend.
"""

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import httpcore
import httpx

_KEEPALIVE_SECONDS = 5.0
_CONNECTIONS = 10


class Deadline(threading.local):
    """When the request of this thread must be over, on the monotonic clock; a request lives in one thread."""

    _ends_at: float = float("inf")

    def start(self, seconds: float) -> None:
        """Give the request that begins now so many seconds."""
        self._ends_at = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._ends_at

    def limit(self, timeout: float | None) -> float:
        """Return what is left for one wait, in seconds, at most `timeout`; always positive."""
        left = max(self._ends_at - time.monotonic(), 0.001)
        return left if timeout is None else min(timeout, left)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline, so that a slow drip of bytes cannot go on for ever."""

    def __init__(self, stream: httpcore.NetworkStream, *, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._deadline.passed:
            raise httpcore.ReadTimeout("The request's time is over.")
        return self._stream.read(max_bytes, timeout=self._deadline.limit(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._deadline.passed:
            raise httpcore.WriteTimeout("The request's time is over.")
        self._stream.write(buffer, timeout=self._deadline.limit(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout=self._deadline.limit(timeout))
        return _TimedStream(stream, deadline=self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class PinnedBackend(httpcore.NetworkBackend):
    """Connects one host and port to the addresses that were checked for it, and anything else to nothing."""

    def __init__(
        self, host: str, port: int, *, addresses: tuple[IPv4Address | IPv6Address, ...], deadline: Deadline
    ) -> None:
        self._place = (host, port)
        self._addresses = addresses
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        if (host, port) != self._place:
            message = "This client connects to its own origin only."
            raise httpcore.ConnectError(message)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError("There is no address.")
        for address in self._addresses:
            if self._deadline.passed:
                break
            try:
                stream = self._plain.connect_tcp(
                    str(address), port, self._deadline.limit(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, deadline=self._deadline)
        raise failure


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()


class PinnedTransport(httpx.BaseTransport):
    """httpx's way out for one origin, over a pool of connections that know only the checked addresses.

    It uses httpcore's public classes alone (httpx's own transport takes no network backend), so httpcore's exceptions
    leave it untranslated.
    """

    def __init__(self, *, backend: PinnedBackend, ssl_context: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            network_backend=backend,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            retries=0,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return its answer with the body still to be read."""
        stream = request.stream
        if not isinstance(stream, httpx.SyncByteStream):
            message = "Only synchronous requests are sent."
            raise TypeError(message)
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=stream,
                extensions=request.extensions,
            )
        )
        if not isinstance(answer.stream, Iterable):
            message = "The pool answered with an asynchronous body."
            raise TypeError(message)
        return httpx.Response(status_code=answer.status, headers=answer.headers, stream=_Body(answer.stream))

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
