"""The normal form of a base URL, and which URLs are still the same place."""

import pytest

from provisioning.connectors.addresses import Policy
from provisioning.connectors.origin import BadBaseURLError, ForeignReference, Origin

pytestmark = pytest.mark.unit

LOCAL = Policy(allow_loopback=True)


def parse(url: str, policy: Policy = LOCAL) -> Origin:
    return Origin.parse(url, policy=policy)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://Directory.Example/scim/v2/", "https://directory.example/scim/v2"),
        ("HTTPS://directory.example:443", "https://directory.example"),
        ("https://directory.example.", "https://directory.example"),
        ("https://directory.example:/", "https://directory.example"),
        ("https://directory.example:8443/a", "https://directory.example:8443/a"),
        ("https://Bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://\uff44irectory\u3002example/", "https://directory.example"),
        ("https://a---b.example", "https://a---b.example"),
        ("https://[2600:0:0::1]/x", "https://[2600::1]/x"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("http://LOCALHOST:80/v2", "http://localhost/v2"),
        ("http://127.0.0.1:8000/v2", "http://127.0.0.1:8000/v2"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_base_url_has_one_normal_form(written, normal):
    assert parse(written).url == normal
    assert parse(normal).url == normal


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "must begin with https://"),
        ("directory.example/scim", "must begin with https://"),
        ("ftp://directory.example", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("//directory.example", "must begin with https://"),
        ("http://8.8.8.8", "since it leads out of this machine"),
        ("http://[2600::1]", "since it leads out of this machine"),
        ("https://", "host of the base URL is missing"),
        ("https:///scim", "host of the base URL is missing"),
        ("https://user:word@directory.example", "user name or password"),
        ("https://@directory.example", "user name or password"),
        ("https://directory.example/#", "fragment"),
        ("https://directory.example/?", "query"),
        ("https://directory.example?x=1", "query"),
        (" https://directory.example", "spaces"),
        ("https://directory.example\n", "control characters"),
        ("https://dir\tectory.example", "control characters"),
        ("https://good.example\\@evil.example", "backslashes"),
        ("https://directory.example:0", "port 0"),
        ("https://directory.example:99999", "malformed"),
        ("https://directory.example:x", "malformed"),
        ("https://[::1", "malformed"),
        ("https://[fe80::1%25eth0]/", "network interface|no valid IPv6"),
        ("https://127.1", "four decimal numbers"),
        ("https://2130706433", "four decimal numbers"),
        ("https://0x7f000001", "four decimal numbers"),
        ("https://0177.0.0.1", "four decimal numbers"),
        ("https://1.2.3.4.5", "four decimal numbers"),
        ("https://-a.example", "no valid name"),
        ("https://a..example", "no valid name"),
        ("https://a_b.example", "no valid name"),
        (f"https://{'a' * 64}.example", "no valid name"),
        (f"https://{'a.' * 130}example", "no valid name"),
        ("https://\u2488.example", "internationalised|malformed|no valid"),
        ("https://xn--\u00e4.example", "internationalised"),
        ("https://directory.example/a/../b", "segments"),
        ("https://directory.example/%2e%2e/b", "segments"),
        ("https://directory.example/..;/b", "segments"),
    ],
)
def test_a_base_url_that_can_mislead_is_refused_with_what_to_change(written, words):
    with pytest.raises(BadBaseURLError, match=words):
        parse(written)


def test_http_is_refused_where_loopback_is_not_allowed():
    with pytest.raises(BadBaseURLError, match="must begin with https://"):
        parse("http://127.0.0.1:8000", Policy())


BASE = parse("https://directory.example/scim/v2")


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/Users", "https://directory.example/scim/v2/Users"),
        ("/Users?startIndex=1", "https://directory.example/scim/v2/Users?startIndex=1"),
        ("/Users/a%2Fb", "https://directory.example/scim/v2/Users/a%2Fb"),
        ("https://directory.example/scim/v2/Users?x=1", "https://directory.example/scim/v2/Users?x=1"),
        ("HTTPS://DIRECTORY.example:443/scim/v2", "https://directory.example/scim/v2"),
    ],
)
def test_a_url_below_the_base_is_requested(target, url):
    assert BASE.target(target) == url


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/scim/v2/Users",
        "http://directory.example/scim/v2/Users",
        "https://directory.example:8443/scim/v2/Users",
        "https://directory.example/scim/v2x/Users",
        "https://directory.example/other",
        "https://directory.example.evil.example/scim/v2/Users",
        "https://directory.example@evil.example/scim/v2/Users",
        "https://user@directory.example/scim/v2/Users",
        "//evil.example/scim/v2/Users",
        "/../admin",
        "/Users/..",
        "/Users/%2E%2e/x",
        "/Users/%252e%252e",
        "/Users/..;/x",
        "/Users#x",
        "Users",
        "",
        "/Users\\..",
        "/Users\r\nX: y",
        "file:///etc/passwd",
        "https://[broken/scim/v2",
    ],
)
def test_a_url_outside_of_the_base_is_never_requested(target):
    with pytest.raises(ForeignReference):
        BASE.target(target)


@pytest.mark.parametrize(
    "reference",
    ["https://directory.example/elsewhere", "https://DIRECTORY.example:443/x", "/Users/1", "../Users/1", "Users/1", "",
     "//directory.example/x"],
)  # fmt: skip
def test_a_reference_at_the_same_place_is_accepted(reference):
    assert BASE.check_reference(reference) is None


@pytest.mark.parametrize(
    "reference",
    ["https://evil.example/Users/1", "http://directory.example/Users/1", "https://directory.example:444/x",
     "//evil.example/x", "https://user@directory.example/x", "urn:uuid:1", "https://dir ectory.example", "//[x"],
)  # fmt: skip
def test_a_reference_elsewhere_is_an_error(reference):
    with pytest.raises(ForeignReference):
        BASE.check_reference(reference)


def test_a_reference_without_a_port_means_the_default_port_and_not_ours():
    with pytest.raises(ForeignReference):
        parse("https://directory.example:8443").check_reference("//directory.example/x")
