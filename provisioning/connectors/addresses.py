"""Floor: provisioning. Question: to which network addresses may this product open a connection?

The tables follow the IANA special-purpose address registries (RFC 6890 and its updates). They are written out instead
of taken from `ipaddress.is_private` and its like, whose answers differ between patch releases of Python.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Sequence[str]]


class EgressError(Exception):
    """Something about reaching or reading another system went wrong; `reason` is one sentence and never holds a token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressRefusedError(EgressError):
    """The name leads to an address that this installation may not reach."""


class NotReachedError(EgressError):
    """The system could not be reached: no address, no connection, no trusted certificate, or no valid HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an outbound client may do. Sizes in bytes, times in seconds.

    `allowed_networks` opens private, shared (carrier-grade NAT) and unique local addresses, nothing else; link-local,
    metadata, multicast and reserved addresses stay closed whatever it says. `total_seconds` covers one request, from
    the connection to the last byte of the answer.
    """

    allow_loopback: bool = False
    allowed_networks: tuple[Network, ...] = ()
    max_bytes: int = 16 * 1024 * 1024
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    total_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse limits that would mean "none" or "never" to the libraries below."""
        for name in ("max_bytes", "connect_seconds", "read_seconds", "total_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                message = f"{name} must be a positive, finite number."
                raise ValueError(message)


# Always refused, with the words that an administrator reads. The order matters: the most telling reason comes first.
_METADATA = tuple(
    ip_network(text)
    for text in (
        "169.254.169.254/32",  # most clouds
        "169.254.170.0/24",  # credentials of containers at AWS
        "168.63.129.16/32",  # Azure's host agent, in the midst of public addresses
        "100.100.100.200/32",  # Alibaba, inside the shared range
        "192.0.0.192/32",  # Oracle, classic
        "fd00:ec2::/32",  # AWS over IPv6, inside the unique local range
        "fd20:ce::254/128",  # Google over IPv6
        "fd00:42::42/128",  # Scaleway over IPv6
    )
)
_REFUSED: tuple[tuple[str, tuple[Network, ...]], ...] = (
    ("an address of a cloud's metadata service", _METADATA),
    ("a link-local address", (ip_network("169.254.0.0/16"), ip_network("fe80::/10"), ip_network("fec0::/10"))),
    ("a multicast address", (ip_network("224.0.0.0/4"), ip_network("ff00::/8"))),
    (
        "a reserved address",
        tuple(
            ip_network(text)
            for text in (
                "0.0.0.0/8",
                "192.0.0.0/24",
                "192.0.2.0/24",
                "192.88.99.0/24",
                "198.18.0.0/15",
                "198.51.100.0/24",
                "203.0.113.0/24",
                "240.0.0.0/4",
                "2001::/23",  # protocol assignments, Teredo among them, which carries an IPv4 address of its own
                "2001:db8::/32",
                "2002::/16",  # 6to4: carries an IPv4 address of its own
                "3fff::/20",
            )
        ),
    ),
)
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_BY_ALLOW_LIST = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
# IPv6 hands out public addresses from here only: what is elsewhere and not named above is reserved.
_PUBLIC_IPV6 = ip_network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def effective(address: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped (RFC 4291, 2.5.5.2) or NAT64 (RFC 6052) address stands for."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_loopback(address: Address) -> bool:
    """Tell whether the address, or the IPv4 address that it stands for, never leaves this machine."""
    return _within(effective(address), _LOOPBACK)


def refusal(address: Address, *, policy: Policy) -> str | None:
    """Say in a few words why this address may not be reached, or return None where it may."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "an address bound to one network interface"
    real = effective(address)
    for words, networks in _REFUSED:
        if _within(real, networks):
            return words
    if _within(real, _LOOPBACK):
        return None if policy.allow_loopback else "an address of this machine itself"
    if _within(real, _BY_ALLOW_LIST):
        return None if _within(real, policy.allowed_networks) else "a private address outside the allowed networks"
    if isinstance(real, IPv6Address) and real not in _PUBLIC_IPV6:
        return "a reserved address"
    return None


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the operating system for all addresses of a name, best first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _resolved(host: str, port: int, *, resolver: Resolver, seconds: float) -> Sequence[str]:
    # The system's resolver takes no time limit, so it runs beside, in a thread that may be left behind.
    answer: Future[Sequence[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(resolver(host, port))
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return answer.result(timeout=seconds)


def checked_addresses(
    host: str, port: int, *, policy: Policy, resolver: Resolver, loopback_only: bool
) -> tuple[Address, ...]:
    """Resolve a name once and return its addresses, every one of them checked.

    One refused address refuses the name: a name that leads to a good and a bad place is an attack or a mistake, and
    which of the two would be reached is chance. `loopback_only` is for http, which may not leave this machine.
    Raises `AddressRefusedError`, or `NotReachedError` where the name has no address or resolving outlasts
    `policy.connect_seconds`.
    """
    texts: tuple[str, ...]
    try:
        texts = (str(ip_address(host)),)
    except ValueError:
        texts = _texts_of_name(host, port, policy=policy, resolver=resolver)
    addresses = tuple(_parsed(host, text) for text in texts)
    if not addresses:
        raise NotReachedError(f"The name {host} has no address.")
    for address in addresses:
        words = refusal(address, policy=policy)
        if words is not None:
            raise AddressRefusedError(f"{host} leads to {address}, {words}, which this installation may not reach.")
        if loopback_only and not is_loopback(address):
            raise AddressRefusedError(f"{host} leads to {address} outside this machine, where only https is allowed.")
    return tuple(effective(address) if is_loopback(address) else address for address in addresses)


def _texts_of_name(host: str, port: int, *, policy: Policy, resolver: Resolver) -> tuple[str, ...]:
    try:
        return tuple(_resolved(host, port, resolver=resolver, seconds=policy.connect_seconds))
    except TimeoutError:
        reason = f"Finding the address of {host} took longer than {policy.connect_seconds:g} seconds."
    except (OSError, UnicodeError):
        reason = f"The name {host} could not be resolved to an address."
    raise NotReachedError(reason)


def _parsed(host: str, text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        reason = f"The resolver answered for {host} with something that is no address."
    raise NotReachedError(reason)
