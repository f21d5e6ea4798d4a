"""Which addresses may be reached: hypothesis walks the refused networks, examples stand for those that are allowed."""

import threading
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.connectors.addresses import (
    AddressRefusedError,
    NotReachedError,
    Policy,
    checked_addresses,
    refusal,
)

pytestmark = pytest.mark.unit

STRICT = Policy()
# As open as a policy can be: everything on the allow-list, and loopback.
OPEN = Policy(allow_loopback=True, allowed_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))

NEVER = [
    "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "100.100.100.200/32",
    "::/128", "fe80::/10", "fec0::/10", "ff00::/8", "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20",
    "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", "100::/64", "64:ff9b:1::/48", "4000::/3", "5f00::/16",
]  # fmt: skip
ON_REQUEST = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/11", "fc00::/8", "fd80::/9"]
LOOPBACK = ["127.0.0.0/8", "::1/128"]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "198.20.0.1",
    "2600::1",
    "2a00:1450:4001::1",
    "2001:4860::8888",
]


def addresses_in(networks: list[str]) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    return st.sampled_from([ip_network(text) for text in networks]).flatmap(
        lambda network: st.ip_addresses(network=network)
    )


@given(addresses_in(NEVER))
def test_what_is_never_allowed_is_refused_by_the_most_open_policy(address):
    assert refusal(address, policy=OPEN) is not None


@given(addresses_in([text for text in NEVER + ON_REQUEST + LOOPBACK if ":" not in text]))
def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_the_ipv4_address_that_it_is(address):
    for clothes in (f"::ffff:{address}", f"64:ff9b::{address}"):
        for policy in (STRICT, OPEN):
            assert refusal(IPv6Address(clothes), policy=policy) == refusal(address, policy=policy)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_a_form_that_is_no_longer_used_is_refused(address):
    compatible = IPv6Address(int(address))
    six_to_four = IPv6Address((0x2002 << 112) | (int(address) << 80) | 1)
    assert refusal(six_to_four, policy=OPEN) == "a reserved address"
    if int(compatible) != 1:
        assert refusal(compatible, policy=OPEN) == "a reserved address"


@given(addresses_in(ON_REQUEST))
def test_a_private_address_is_refused_unless_a_network_on_the_list_holds_it(address):
    own = ip_network(f"{address}/{address.max_prefixlen}")
    other = ip_network("8.0.0.0/8") if address.version == 6 else ip_network("2600::/16")
    words = "a private address outside the allowed networks"
    if address == IPv4Address("100.100.100.200"):
        words = "an address of a cloud's metadata service"
    assert refusal(address, policy=STRICT) == words
    assert refusal(address, policy=Policy(allow_loopback=True, allowed_networks=(other,))) == words
    assert (refusal(address, policy=Policy(allowed_networks=(own,))) is None) == ("metadata" not in words)


@given(addresses_in(LOOPBACK))
def test_loopback_is_opened_by_its_own_switch_and_never_by_the_list(address):
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert refusal(address, policy=Policy(allowed_networks=everything)) == "an address of this machine itself"
    assert refusal(address, policy=Policy(allow_loopback=True)) is None


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text):
    assert refusal(ip_address(text), policy=STRICT) is None


def test_an_address_bound_to_an_interface_is_refused():
    assert refusal(ip_address("2600::1%2"), policy=OPEN) == "an address bound to one network interface"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("169.254.169.254", "an address of a cloud's metadata service"),
        ("168.63.129.16", "an address of a cloud's metadata service"),
        ("fd00:ec2::254", "an address of a cloud's metadata service"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("239.1.1.1", "a multicast address"),
        ("0.1.2.3", "a reserved address"),
    ],
)
def test_the_refusal_says_what_kind_of_address_it_is(text, words):
    assert refusal(ip_address(text), policy=OPEN) == words


def check(*answers: str, policy: Policy = STRICT, loopback_only: bool = False):
    return checked_addresses(
        "directory.example", 443, policy=policy, resolver=lambda _host, _port: answers, loopback_only=loopback_only
    )


def test_one_refused_address_among_good_ones_refuses_the_name():
    with pytest.raises(AddressRefusedError) as caught:
        check("8.8.8.8", "10.0.0.7")
    assert caught.value.reason == (
        "directory.example leads to 10.0.0.7, a private address outside the allowed networks,"
        " which this installation may not reach."
    )


def test_all_good_addresses_are_returned_in_their_order():
    assert check("2600::1", "8.8.8.8") == (ip_address("2600::1"), ip_address("8.8.8.8"))


def test_http_is_for_addresses_of_this_machine_only():
    assert check("::1", "127.0.0.1", policy=OPEN, loopback_only=True) == (ip_address("::1"), ip_address("127.0.0.1"))
    with pytest.raises(AddressRefusedError, match="outside this machine, where only https is allowed"):
        check("127.0.0.1", "8.8.8.8", policy=OPEN, loopback_only=True)


def test_a_literal_address_is_checked_without_asking_the_resolver():
    def resolver(host, port):
        pytest.fail("asked")

    with pytest.raises(AddressRefusedError):
        checked_addresses("169.254.169.254", 443, policy=OPEN, resolver=resolver, loopback_only=False)


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_that_cannot_be_resolved_is_said_so(error):
    def resolver(host, port):
        raise error

    with pytest.raises(NotReachedError, match=r"^The name nowhere\.example could not be resolved to an address\.$"):
        checked_addresses("nowhere.example", 443, policy=STRICT, resolver=resolver, loopback_only=False)


def test_a_name_without_an_address_and_an_answer_that_is_none_are_refused():
    with pytest.raises(NotReachedError, match="has no address"):
        check()
    with pytest.raises(NotReachedError, match="something that is no address"):
        check("8.8.8.8", "elsewhere")


def test_a_resolver_that_does_not_answer_is_given_up_in_time():
    release = threading.Event()

    def resolver(host, port):
        release.wait(10)
        return ("8.8.8.8",)

    with pytest.raises(NotReachedError, match=r"took longer than 0\.05 seconds"):
        checked_addresses(
            "slow.example", 443, policy=Policy(connect_seconds=0.05), resolver=resolver, loopback_only=False
        )
    release.set()


@pytest.mark.parametrize("name", ["max_bytes", "connect_seconds", "read_seconds", "total_seconds"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_limits_nothing_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive, finite number"):
        Policy(**{name: value})
