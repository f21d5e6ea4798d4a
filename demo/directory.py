"""The identity providers of the demo: one process, one unmodified scim2-server application for each directory.

    python -m demo.directory --port P --data DIR [--host 127.0.0.1]

serves http://HOST:P/<slug>/v2 for each slug in DIR/tokens.json, each under its own bearer token and with its contents
in DIR/<slug>.ndjson, and /healthz. DIR/outages.json may say that a directory fails after its first page:
{"crm": {"after_start_index": 1, "status": 503}}. Both JSON files are read again when they change.
"""

import argparse
import fcntl
import hmac
import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import IO, Any
from urllib.parse import parse_qs

from scim2_models import ResourceType, Schema, ScimProvider, UnauthorizedException
from scim2_server.applications.wsgi import TenantDispatcher, WSGIApplication
from scim2_server.requests import ScimRequest
from scim2_server.service import ScimService
from scim2_server.testserver.application import BEARER_TOKEN_SCHEME
from scim2_server.utils import load_default_resource_types, load_default_schemas, load_default_service_provider_config

from demo.company import PAGE_LIMITS
from demo.files import BadFileError, WatchedObject, read_object, write_json
from demo.server import Application, bind, problem
from demo.storage import FileStorage

NHI = "urn:rollcall:scim:schemas:extension:nhi:1.0:User"
_DEFAULT_PAGE_LIMIT = 200
_TOKEN_BYTES = 32
_SLUG_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def write_tokens(*, data: Path, slugs: Iterable[str]) -> dict[str, str]:
    """A random bearer token for each slug, in DIR/tokens.json (mode 0600). Tokens already there are kept."""
    path = data / "tokens.json"
    tokens: dict[str, str] = dict(read_object(path) or {})
    missing = [slug for slug in slugs if slug not in tokens]
    if missing:
        tokens.update({slug: secrets.token_urlsafe(_TOKEN_BYTES) for slug in missing})
        write_json(path, tokens)
    return tokens


def provider(*, page_limit: int) -> ScimProvider:
    """What such a directory announces: RFC 7643 with the enterprise extension, and the NHI extension."""
    nhi = json.loads(Path(__file__).with_name("nhi_schema.json").read_text(encoding="utf-8"))
    types = [one.model_dump() for one in load_default_resource_types().values()]
    for one in types:
        if one["id"] == "User":
            one["schemaExtensions"].append({"schema": NHI, "required": False})
    config = load_default_service_provider_config().model_dump()
    config["filter"]["maxResults"] = page_limit
    config["authenticationSchemes"] = [BEARER_TOKEN_SCHEME.model_dump()]
    return ScimProvider.from_discovery(
        [*load_default_schemas().values(), Schema.model_validate(nhi)],
        [ResourceType.model_validate(one) for one in types],
        config=type(load_default_service_provider_config()).model_validate(config),
    )


class Directory(WSGIApplication):
    """scim2-server's application for one directory, asking for that directory's token."""

    def __init__(self, *, slug: str, storage: FileStorage, described: ScimProvider, tokens: WatchedObject) -> None:
        super().__init__(storage, described, ScimService(described))
        self._slug = slug
        self._tokens = tokens

    def check_auth(self, request: ScimRequest) -> None:
        """Refuse (401) whatever does not carry this directory's token; a directory without one refuses all."""
        expected = self._tokens.read().get(self._slug)
        scheme, _, given = (request.header("Authorization") or "").partition(" ")
        known = isinstance(expected, str) and hmac.compare_digest(expected.encode(), given.strip().encode())
        if scheme.lower() != "bearer" or not known:
            raise UnauthorizedException


class Outage:
    """A wrapper that makes a directory fail in the middle of a reading, as its entry in DIR/outages.json says.

    `after_start_index`: listings from a larger startIndex on get `status` (503 by default) and a Retry-After.
    """

    def __init__(self, *, slug: str, application: Application, outages: WatchedObject) -> None:
        self._slug = slug
        self._application = application
        self._outages = outages

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        outage = self._outages.read().get(self._slug)
        if isinstance(outage, dict) and self._start_index(environ) > int(outage.get("after_start_index", 0)):
            status = HTTPStatus(int(outage.get("status", HTTPStatus.SERVICE_UNAVAILABLE)))
            headers = [("Content-Type", "application/scim+json"), ("Retry-After", "1")]
            start_response(f"{status.value} {status.phrase}", headers)
            return [problem(status, "This directory is overloaded")]
        return self._application(environ, start_response)

    @staticmethod
    def _start_index(environ: dict[str, Any]) -> int:
        query = {name.lower(): values for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        text = query.get("startindex", ["1"])[-1]
        return int(text) if text.isascii() and text.isdecimal() else 1


class Directories:
    """All directories of one data folder, as one WSGI application. Every known one is loaded before it serves."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._tokens = WatchedObject(data / "tokens.json")
        self._outages = WatchedObject(data / "outages.json")
        self._storages: dict[str, FileStorage] = {}
        self._dispatcher = TenantDispatcher(self._application)
        for slug in read_object(data / "tokens.json") or {}:
            if self._dispatcher.get_application(slug) is None:
                raise BadFileError(
                    f"{data / 'tokens.json'}: {slug!r} is no slug: lower-case letters, digits and hyphens"
                )

    def counts(self) -> dict[str, int]:
        """How many resources each directory holds."""
        return {slug: len(storage.resources) for slug, storage in sorted(self._storages.items())}

    def close(self) -> None:
        """Let go of all files."""
        for storage in self._storages.values():
            storage.close()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"status": "ok", "directories": self.counts()}).encode()]
        return self._dispatcher(environ, start_response)

    def _application(self, slug: str) -> Any:
        if slug not in self._tokens.read() or not _SLUG_LETTERS.issuperset(slug):
            return None
        described = provider(page_limit=PAGE_LIMITS.get(slug, _DEFAULT_PAGE_LIMIT))
        storage = self._storages[slug] = FileStorage(self._data / f"{slug}.ndjson", described)
        directory = Directory(slug=slug, storage=storage, described=described, tokens=self._tokens)
        return Outage(slug=slug, application=directory, outages=self._outages)


class _StartError(Exception):
    """The start ends here; the message is the one line to print."""


def _wait_for_tokens(data: Path, *, seconds: float) -> None:
    path = data / "tokens.json"
    if path.exists():
        return
    print(f"demo directory: waiting up to {seconds:.0f} s for {path}, which the demo command writes", flush=True)
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise _StartError(f"{path} is missing; run `manage.py demo`, which writes it, then start again")
        time.sleep(0.2)


def _claim(data: Path) -> IO[str]:
    """A lock on the data folder, held as long as the file is open: two processes would write over each other."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (data / "directory.lock").open("a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise _StartError(f"{data} is in use by another demo directory; stop that one first") from error
    return lock


def _serve(*, host: str, port: int, data: Path, wait: float) -> None:
    with _claim(data):
        _wait_for_tokens(data, seconds=wait)
        directories = Directories(data)
        try:
            server = bind(host, port, directories)
        except OSError as error:
            raise _StartError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --port") from error

        def stop(_signal: int, _frame: FrameType | None) -> None:
            # shutdown() waits for the loop that this very thread runs, so another thread has to call it.
            threading.Thread(target=server.shutdown).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        held = ", ".join(f"{slug} {count}" for slug, count in directories.counts().items())
        print(f"demo directory: serving http://{host}:{server.server_address[1]} ({held})", flush=True)
        with server:
            server.serve_forever(poll_interval=0.2)
        directories.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 2 and one readable line where the start fails."""
    parser = argparse.ArgumentParser(prog="python -m demo.directory", description="The demo's identity providers.")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes any free one")
    parser.add_argument("--data", type=Path, required=True, help="folder with tokens.json and the contents")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for tokens.json (60)")
    given = parser.parse_args(arguments)
    try:
        _serve(host=given.host, port=given.port, data=given.data, wait=given.wait)
    except (_StartError, BadFileError) as error:
        print(f"demo directory: {error}", file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
