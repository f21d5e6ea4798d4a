"""A careful SCIM client: time-outs, retries as the server asks, errors that quote the answer."""

import dataclasses
import datetime as dt
import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PAGE = 100

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)  # seconds
_TRIES = 6
_LONGEST_WAIT = 10.0  # seconds
_BUSY = frozenset({429, 503})
_CONFLICT = 409
_QUOTED = 800  # characters of an answer


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One SCIM base URL with its bearer token."""

    slug: str
    base_url: str
    token: str = dataclasses.field(repr=False)


class ScimError(Exception):
    """A request that was not answered as it should be; the message quotes method, address, status and body."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_conflict(self) -> bool:
        """Whether the resource exists already (RFC 7644 section 3.3)."""
        return self.status == _CONFLICT


class Client:
    """One endpoint over connections that stay open. May be used from several threads."""

    def __init__(self, endpoint: Endpoint, *, connections: int = 4) -> None:
        self.slug = endpoint.slug
        self._http = httpx.Client(
            base_url=endpoint.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {endpoint.token}", "Accept": "application/scim+json"},
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str) -> dict[str, Any]:
        """One resource."""
        return self._call("GET", path)

    def create(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """A new resource, as answered."""
        return self._call("POST", path, document)

    def patch(self, path: str, *operations: dict[str, Any]) -> dict[str, Any]:
        """The resource after the change; read again where the answer to the PATCH was empty (204)."""
        body = {"schemas": [PATCH_OP], "Operations": list(operations)}
        return self._call("PATCH", path, body) or self.get(path)

    def count(self, path: str) -> int:
        """How many resources there are."""
        return int(self._call("GET", path, params={"count": "0"})["totalResults"])

    def find(self, path: str, attribute: str, value: str) -> dict[str, Any] | None:
        """The one resource whose attribute equals the value; None where there is none."""
        answer = self._call("GET", path, params={"filter": f"{attribute} eq {json.dumps(value)}"})
        found: list[dict[str, Any]] = answer.get("Resources") or []
        if len(found) > 1:
            raise ScimError(f"{self.slug}: {len(found)} resources at {path} have {attribute} {value!r}")
        return found[0] if found else None

    def all(self, path: str) -> Iterator[dict[str, Any]]:
        """Every resource, page by page."""
        start, total = 1, 1
        while start <= total:
            answer = self._call("GET", path, params={"startIndex": str(start), "count": str(PAGE)})
            page: list[dict[str, Any]] = answer.get("Resources") or []
            total = int(answer["totalResults"])
            if not page and start <= total:
                raise ScimError(f"{self.slug}: the page of {path} from {start} on is empty, of {total} in all")
            yield from page
            start += len(page)

    def _call(
        self,
        method: str,
        path: str,
        document: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        content = None if document is None else json.dumps(document).encode()
        headers = {} if document is None else {"Content-Type": "application/scim+json"}
        answer = self._send(self._http.build_request(method, path, params=params, content=content, headers=headers))
        if answer.is_success:
            return self._object_of(answer)
        raise ScimError(_told(answer), status=answer.status_code)

    def _send(self, request: httpx.Request) -> httpx.Response:
        """The last answer. Busy servers and broken connections are tried again; a write that was done already then
        answers 409 or changes nothing, which the callers know."""
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._http.send(request)
            except httpx.TransportError as error:
                if attempt == _TRIES:
                    raise ScimError(f"{request.method} {request.url}: {type(error).__name__}: {error}") from error
                time.sleep(_pause(attempt))
                continue
            if answer.status_code not in _BUSY or attempt == _TRIES:
                return answer
            time.sleep(_asked_wait(answer.headers.get("Retry-After"), default=_pause(attempt)))
        raise AssertionError("the loop returns or raises")

    @staticmethod
    def _object_of(answer: httpx.Response) -> dict[str, Any]:
        if not answer.content:
            return {}
        try:
            value = answer.json()
        except ValueError as error:
            raise ScimError(f"{_told(answer)}: the answer is not JSON", status=answer.status_code) from error
        if not isinstance(value, dict):
            raise ScimError(f"{_told(answer)}: the answer is not a JSON object", status=answer.status_code)
        return value


def _pause(attempt: int) -> float:
    """Seconds before the next try: 0.2, 0.4, 0.8 and so on."""
    return float(min(0.1 * 2**attempt, _LONGEST_WAIT))


def _asked_wait(text: str | None, *, default: float) -> float:
    """Seconds that a Retry-After asks for, as a number or a date (RFC 9110 section 10.2.3), within limits."""
    if text is None:
        return default
    if text.strip().isdecimal():
        return min(float(text), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return default
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return min(max((moment - dt.datetime.now(dt.UTC)).total_seconds(), 0.0), _LONGEST_WAIT)


def _told(answer: httpx.Response) -> str:
    request = answer.request
    return f"{request.method} {request.url} was answered {answer.status_code}: {answer.text[:_QUOTED]}"
