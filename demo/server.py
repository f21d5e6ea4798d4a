"""A small threaded HTTP/1.1 server for WSGI applications: connections stay open, one line per request on stderr."""

import datetime as dt
import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_BODY = 16 * 1024 * 1024  # bytes


class _RefusedError(Exception):
    """A request that never reaches the application; the connection is closed, since its body was not read."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Serves the requests of one connection in turn."""

    protocol_version = "HTTP/1.1"
    server_version = "HalyardDirectory"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # the answer leaves in one piece
    timeout = 60  # seconds that a connection may be idle
    application: ClassVar[Application]

    def serve(self) -> None:
        """Run the application for one request, and answer it."""
        started = time.monotonic()
        try:
            status, headers, body = self._run(self._read_body())
        except _RefusedError as refusal:
            self.close_connection = True
            status, headers, body = refusal.status, [], problem(refusal.status, str(refusal))
        except Exception as error:  # noqa: BLE001 - one bad request must not end the connection's thread unsaid
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            headers, body = [], problem(status, "Internal server error")
            self._log(event="failed", error=f"{type(error).__name__}: {error}")
        self._log(
            event="request",
            method=self.command,
            path=self.path.partition("?")[0],
            status=int(status),
            ms=round((time.monotonic() - started) * 1000, 1),
        )
        self._answer(status, headers, body)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding"):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length, not a Transfer-Encoding")
        length = self.headers.get("Content-Length", "0").strip()
        if not (length.isascii() and length.isdecimal()):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
        if int(length) > MAX_BODY:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body has at most {MAX_BODY} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The body ended early")
        return body

    def _run(self, body: bytes) -> tuple[HTTPStatus, list[tuple[str, str]], bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
            started.append((status, headers))

        answer = b"".join(type(self).application(self._environ(body), start_response))
        status, headers = started[-1]
        return HTTPStatus(int(status[:3])), headers, answer

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        host, port = str(self.headers.get("Host", "")).partition(":")[::2]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("iso-8859-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            if name.lower() not in {"content-type", "content-length"}:
                environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        return environ

    def _answer(self, status: HTTPStatus, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if body and "content-type" not in names:
            self.send_header("Content-Type", "application/scim+json")
        if status != HTTPStatus.NO_CONTENT and "content-length" not in names:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _log(self, **facts: object) -> None:
        line = {"at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), **facts}
        # One write, so that lines of several threads do not run into each other.
        sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """What the base class says by itself: a malformed request line, an idle connection that was closed."""
        self._log(event="connection", detail=format % args)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silent: `serve` writes the one line of a request, with its time."""


# The base class looks these up by the method's name.
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(Handler, f"do_{_method}", Handler.serve)


class Server(ThreadingHTTPServer):
    """One thread per connection; a client that goes away is no error."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """A connection that broke is told in one line, without a traceback."""
        _, error, _ = sys.exc_info()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"demo directory: {client_address}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def problem(status: int, detail: str) -> bytes:
    """A SCIM error body (RFC 7644 section 3.12)."""
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(int(status)), "detail": detail}
    return json.dumps(body).encode()


def bind(host: str, port: int, application: Application) -> Server:
    """A server that listens already; an OSError where the port is taken. Port 0 takes any."""
    handler = type("BoundHandler", (Handler,), {"application": staticmethod(application)})
    return Server((host, port), handler)
