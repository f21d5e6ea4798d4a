"""Who asks, and over what: what a proxy of ours says is believed, what anybody else says of themselves is not.

The one place that reads `X-Forwarded-For` and `X-Forwarded-Proto`. Behind it `REMOTE_ADDR` is the client's address and
the request's scheme the client's, so that nobody else needs to know of proxies. `Forwarded` (RFC 7239) and
`X-Forwarded-Host` are never read.
"""

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# In ROLLCALL_TRUSTED_PROXIES: a peer on a Unix socket, which has no address. Whoever can open the socket is trusted.
UNIX = "unix"


def address(text: str) -> Address | None:
    """The address in one part of `X-Forwarded-For`, which some proxies write with a port; None where there is none.

    An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
    """
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


class Trust:
    """Which peers are proxies of ours."""

    def __init__(self, written: list[str]) -> None:
        self.unix = UNIX in written
        self.networks = [ipaddress.ip_network(part) for part in written if part != UNIX]

    def peer(self, remote: str) -> bool:
        """Whether the other end of the connection is one. `remote` is empty on a Unix socket."""
        if not remote:
            return self.unix
        found = address(remote)
        return found is not None and self.holds(found)

    def holds(self, found: Address) -> bool:
        """Whether the address is one."""
        return any(found in network for network in self.networks)

    def client(self, *, remote: str, forwarded: str) -> str:
        """The address of whoever asks: from the right, the first that is no proxy of ours.

        Each proxy appends the address that it saw, so what stands left of that was written by the client itself. Where
        something other than an address stands, the last proxy before it is all that is known.
        """
        known = remote
        for part in reversed(forwarded.split(",")):
            found = address(part)
            if found is None:
                return known
            known = str(found)
            if not self.holds(found):
                return known
        return known


class ProxyMiddleware:
    """Puts the client's address and scheme in place of the proxy's, before anybody looks at them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.trust = Trust(settings.ROLLCALL_TRUSTED_PROXIES)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Rewrite, then answer."""
        facts = request.META
        # Taken out in any case, so that nobody behind us believes them by mistake.
        forwarded = str(facts.pop("HTTP_X_FORWARDED_FOR", ""))
        scheme = str(facts.pop("HTTP_X_FORWARDED_PROTO", "")).strip().lower()
        remote = str(facts.get("REMOTE_ADDR", ""))
        if self.trust.peer(remote):
            facts["REMOTE_ADDR"] = self.trust.client(remote=remote, forwarded=forwarded)
            if scheme:
                # One word, set by the proxy: a list is not believed, since a client may have begun it.
                facts["wsgi.url_scheme"] = "https" if scheme == "https" else "http"
        return self.get_response(request)
