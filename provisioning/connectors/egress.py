"""Floor: provisioning. Question: how does this product speak to another system without being led astray?

The only outbound HTTP client. One `Client` speaks to one configured origin: https (http on this machine alone, where
that is allowed), its addresses resolved once, checked and pinned, no redirects, no proxies from the environment, no
cookies, limits of size and time, and a token that goes nowhere else.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpcore
import httpx

from provisioning.connectors.addresses import (
    AddressRefusedError,
    EgressError,
    NotReachedError,
    Policy,
    Resolver,
    checked_addresses,
    system_resolver,
)
from provisioning.connectors.origin import BadBaseURLError, ForeignReference, Origin
from provisioning.connectors.transport import Deadline, PinnedBackend, PinnedTransport

__all__ = [
    "AddressRefusedError",
    "Answer",
    "BadBaseURLError",
    "BadTokenError",
    "Client",
    "EgressError",
    "EncodedAnswerError",
    "ForeignReference",
    "NotReachedError",
    "Origin",
    "Policy",
    "RedirectedError",
    "TooLargeError",
    "TooSlowError",
]

# What RFC 6750 allows and a little more: visible ASCII, so that a token can never end a header line.
_TOKEN = re.compile(r"[\x21-\x7e]*")
_PAGING = frozenset({"first", "last", "next", "prev", "previous"})


class BadTokenError(EgressError):
    """The bearer token has characters that cannot stand in a header."""


class TooSlowError(EgressError):
    """A limit of time was reached."""


class TooLargeError(EgressError):
    """The answer is larger than the policy allows."""


class EncodedAnswerError(EgressError):
    """The answer is compressed though none was asked for; its real size can't be known before it is unpacked."""


class RedirectedError(EgressError):
    """The answer sends us elsewhere, which is never followed; `status` is its HTTP status."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole HTTP answer of any status but a redirect. Header names are in lower case, repeated ones joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Speaks HTTP with one origin; may be used by several threads at once, and is closed by `with` or `close()`.

    Making one resolves and checks the addresses of the origin, once for its life: a run that lasts longer than a
    move of the other system makes a new client. `ssl_context` is for private certificate authorities and must check
    certificates and names.

    Raises, when made and for each request, some `EgressError`, whose sentence never holds the token.
    """

    def __init__(
        self,
        base_url: str,
        *,
        policy: Policy,
        token: str = "",
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not _TOKEN.fullmatch(token):
            raise BadTokenError(
                "The token has characters other than visible ASCII: copy it again, without line breaks."
            )
        context = httpx.create_ssl_context(trust_env=False) if ssl_context is None else ssl_context
        if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
            message = "The TLS context must check certificates and host names."
            raise ValueError(message)
        self.origin = Origin.parse(base_url, policy=policy)
        self._policy = policy
        self._token = token
        self._deadline = Deadline()
        self._http = self._opened(resolver, context)

    def _opened(self, resolver: Resolver, context: ssl.SSLContext) -> httpx.Client:
        origin, policy = self.origin, self._policy
        addresses = checked_addresses(
            origin.host, origin.port, policy=policy, resolver=resolver, loopback_only=origin.scheme == "http"
        )
        backend = PinnedBackend(origin.host, origin.port, addresses=addresses, deadline=self._deadline)
        return httpx.Client(
            transport=PinnedTransport(backend=backend, ssl_context=context),
            timeout=httpx.Timeout(policy.read_seconds, connect=policy.connect_seconds, pool=policy.connect_seconds),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the client is of no use afterwards."""
        self._http.close()

    def get(self, target: str, *, params: Mapping[str, str] | None = None) -> Answer:
        """Send a GET; see `request`."""
        return self.request("GET", target, params=params)

    def request(
        self,
        method: str,
        target: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Send one request and return its whole answer, whatever its status, redirects excepted.

        `target` is a path below the base URL ("/Users"), already percent-encoded, or an absolute URL below it; any
        other raises `ForeignReference` before anything is sent. `content` is a SCIM body (RFC 7644, 8.1).
        """
        request = self._http.build_request(
            method, self._url(target, params), content=content, headers=self._headers(has_content=content is not None)
        )
        self._deadline.start(self._policy.total_seconds)
        try:
            return self._exchange(request)
        except httpcore.TimeoutException as error:
            failure: EgressError = TooSlowError(self._slowness(error))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            failure = NotReachedError(self._scrubbed(f"{self.origin.root} could not be spoken to: {_cause(error)}."))
        # Raised out here, so that no exception that holds the request and its headers hangs on it as its context.
        raise failure

    def check_reference(self, reference: str) -> None:
        """Refuse a URL in a document of this origin that leads elsewhere; see `Origin.check_reference`."""
        try:
            self.origin.check_reference(reference)
        except ForeignReference as error:
            # A URL can hold the token, where the other system put it there.
            foreign = self._scrubbed(error.reason)
        else:
            return
        raise ForeignReference(foreign)

    def _url(self, target: str, params: Mapping[str, str] | None) -> httpx.URL:
        try:
            url = httpx.URL(self.origin.target(target))
            return url.copy_merge_params(params) if params else url
        except ForeignReference as error:
            foreign = self._scrubbed(error.reason)
        except httpx.InvalidURL:
            raise EgressError(f"A URL below {self.origin.root} is malformed or too long to be requested.") from None
        raise ForeignReference(foreign)

    def _headers(self, *, has_content: bool) -> dict[str, str]:
        headers = {
            "Accept": "application/scim+json, application/json;q=0.9",
            "Accept-Encoding": "identity",
            "User-Agent": "Rollcall",
        }
        if has_content:
            headers["Content-Type"] = "application/scim+json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _sent(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._http.send(request, stream=True)
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
            # A server may close a kept connection at the moment of its reuse; what is safe to repeat is repeated once,
            # within the same deadline (RFC 9110, 9.2.2).
            if request.method != "GET":
                raise
        return self._http.send(request, stream=True)

    def _exchange(self, request: httpx.Request) -> Answer:
        response = self._sent(request)
        try:
            self._check_head(response)
            body = self._body(response)
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status_code, headers=headers, body=body)

    def _check_head(self, response: httpx.Response) -> None:
        status = response.status_code
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise RedirectedError(
                f"{self.origin.root} answered {status} and would send us elsewhere, which is never followed:"
                " correct the base URL.",
                status=status,
            )
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity"}:
            raise EncodedAnswerError(
                f"{self.origin.root} sent a compressed answer though it was asked for a plain one."
            )
        for name in ("location", "content-location"):
            for reference in response.headers.get_list(name):
                self.check_reference(reference)
        for link in response.links.values():
            if _PAGING & set(link.get("rel", "").lower().split()):
                self.check_reference(link.get("url", ""))

    def _body(self, response: httpx.Response) -> bytes:
        most = self._policy.max_bytes
        announced = response.headers.get("content-length", "")
        body = bytearray()
        if not (announced.isascii() and announced.isdigit() and int(announced) > most):
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > most:
                    break
            else:
                return bytes(body)
        raise TooLargeError(f"{self.origin.root} sent an answer of more than {most} bytes.")

    def _slowness(self, error: httpcore.TimeoutException) -> str:
        policy = self._policy
        if self._deadline.passed:
            return f"{self.origin.root} did not finish its answer within {policy.total_seconds:g} seconds."
        if isinstance(error, httpcore.ConnectTimeout):
            return f"{self.origin.root} could not be connected to within {policy.connect_seconds:g} seconds."
        if isinstance(error, httpcore.PoolTimeout):
            return f"No connection to {self.origin.root} was free within {policy.connect_seconds:g} seconds."
        return f"{self.origin.root} was silent for {policy.read_seconds:g} seconds."

    def _scrubbed(self, text: str) -> str:
        # Host names come back in lower case, hence without regard to case.
        return re.sub(re.escape(self._token), "[token]", text, flags=re.IGNORECASE) if self._token else text


def _cause(error: Exception) -> str:
    """Put the few causes that an administrator can act on into words of our own."""
    root: BaseException | None = error
    while root is not None:
        if isinstance(root, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({root.verify_message})"
        if isinstance(root, ssl.SSLError):
            return "the TLS handshake failed"
        if isinstance(root, ConnectionRefusedError):
            return "the connection was refused"
        root = root.__cause__ or root.__context__
    if isinstance(error, httpcore.ConnectError):
        return "no connection could be made"
    if isinstance(error, httpcore.ProtocolError):
        return "its answer is broken off or is no valid HTTP"
    return "the connection broke"
