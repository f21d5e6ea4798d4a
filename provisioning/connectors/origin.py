"""Floor: provisioning. Question: where does a connection lead, and is another URL still the same place?"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

import idna

from provisioning.connectors.addresses import Address, EgressError, Policy, is_loopback, refusal

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Parsers drop or rewrite these, each in its own way: two readers of one URL could see two places.
_TREACHEROUS = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_MAX_HOST = 253


class BadBaseURLError(EgressError):
    """The base URL of a connection cannot be used; the reason says what to change."""


class ForeignReference(EgressError):
    """A URL that another system named leads away from the place that was configured; its token would go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Scheme, host, port and base path of one configured system, in one normal form (RFC 3986, 6.2).

    `host` is lower-case ASCII (IDNA, UTS 46) without brackets; `path` is empty or begins with a slash and ends with none.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, base_url: str, *, policy: Policy) -> Self:
        """Read and normalise the base URL of a connection. Does not resolve a name.

        Raises `BadBaseURLError`, also for an address, written as one, that may not be reached.
        """
        if _TREACHEROUS.search(base_url):
            raise BadBaseURLError("The base URL must not contain spaces, control characters or backslashes.")
        if "#" in base_url or "?" in base_url:
            raise BadBaseURLError("The base URL must have neither a query (?) nor a fragment (#).")
        parts, port = _split(base_url)
        if parts.scheme not in _DEFAULT_PORTS or (parts.scheme == "http" and not policy.allow_loopback):
            raise BadBaseURLError("The base URL must begin with https://.")
        if "@" in parts.netloc:
            raise BadBaseURLError("The base URL must not contain a user name or password.")
        host = _normal_host(parts.hostname or "")
        literal = _literal(host)
        if parts.scheme == "http" and literal is not None and not is_loopback(literal):
            raise BadBaseURLError("The base URL must begin with https://, since it leads out of this machine.")
        if literal is not None and (words := refusal(literal, policy=policy)):
            raise BadBaseURLError(f"The base URL names {words}, which this installation may not reach.")
        return cls(scheme=parts.scheme, host=host, port=port, path=_normal_path(parts.path))

    @property
    def root(self) -> str:
        """Scheme, host and port as a URL; the default port is left out (RFC 6454, 6.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def url(self) -> str:
        """The normalised base URL, without a slash at its end."""
        return self.root + self.path

    def target(self, target: str) -> str:
        """Return the full URL of a path below the base ("/Users"), or of a URL that must lie below it.

        Raises `ForeignReference` for another scheme, host or port, for a path outside the base path, and for dot
        segments, encoded or not, which a server could resolve to outside of it.
        """
        self.check_reference(target)
        parts = urlsplit(target)
        if parts.scheme:
            inside = parts.path == self.path or parts.path.startswith(f"{self.path}/")
            path = parts.path
        else:
            inside = parts.path.startswith("/")
            path = self.path + parts.path
        if not inside or parts.fragment or _has_dots(path):
            raise ForeignReference(f"A URL leads outside of {self.url}, so it was not requested.")
        query = f"?{parts.query}" if parts.query else ""
        return self.root + path + query

    def check_reference(self, reference: str) -> None:
        """Refuse a URL of a header or document (Location, next, $ref) at another scheme, host or port.

        A relative reference stays where it was found. Raises `ForeignReference`.
        """
        if _TREACHEROUS.search(reference):
            raise ForeignReference(f"{self.root} named a URL with spaces, control characters or backslashes.")
        try:
            parts, port = _split(reference)
            # What begins with two slashes keeps the scheme and changes the host.
            if parts.scheme == "" and parts.netloc == "":
                return
            host = _normal_host(parts.hostname or "")
        except BadBaseURLError:
            raise ForeignReference(f"{self.root} named a URL that cannot be read.") from None
        scheme = parts.scheme or self.scheme
        place = (scheme, host, port or _DEFAULT_PORTS[self.scheme])
        if place != (self.scheme, self.host, self.port) or "@" in parts.netloc:
            raise ForeignReference(
                f"{self.root} named a URL at {scheme}://{parts.hostname}, which is not the place that was"
                " configured: correct the public address in that system, or the base URL here."
            )


def _split(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        reason = "The base URL cannot be read: its host or its port is malformed."
    else:
        if port == 0:
            raise BadBaseURLError("The base URL must not name port 0.")
        return parts, port or _DEFAULT_PORTS.get(parts.scheme, 0)
    raise BadBaseURLError(reason)


def _normal_host(host: str) -> str:
    if ":" in host:
        return _normal_ipv6(host)
    try:
        # ASCII names are only lower-cased: IDNA refuses some that exist, such as those with two hyphens in places 3 and 4.
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise BadBaseURLError("The host of the base URL is no valid internationalised name.") from None
    labels = name.removesuffix(".").split(".")
    name = ".".join(labels)
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadBaseURLError("The host of the base URL is missing or is no valid name.")
    if _NUMBER.fullmatch(labels[-1]):
        return _normal_ipv4(name)
    return name


def _normal_ipv4(text: str) -> str:
    # "127.1", "0x7f.1" and "2130706433" are addresses to some programs and names to others.
    try:
        return str(ip_address(text))
    except ValueError:
        raise BadBaseURLError("An IPv4 address in the base URL must be written as four decimal numbers.") from None


def _normal_ipv6(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise BadBaseURLError("The host of the base URL is no valid IPv6 address.") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise BadBaseURLError("An IPv6 address in the base URL must not name a network interface.")
    return str(address)


def _normal_path(path: str) -> str:
    if _has_dots(path):
        raise BadBaseURLError("The path of the base URL must not contain the segments . and ..")
    return quote(path.rstrip("/"), safe="/%:@!$&'()*+,;=~")


def _has_dots(path: str) -> bool:
    # Decoded twice, since a proxy in between may do it once more than the server; "..;" is ".." to some Java servers.
    segments = re.split(r"[/\\]", unquote(unquote(path)))
    return any(segment.partition(";")[0] in {".", ".."} for segment in segments)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
