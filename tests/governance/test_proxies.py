"""Whose word about the client is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse

from governance.portal import throttle
from governance.proxies import ProxyMiddleware, Trust, address
from provisioning.models.connection import RefusedToken
from provisioning.scim import authentication

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.test import RequestFactory

pytestmark = pytest.mark.face

PROXY, INNER, CLIENT, LIE = "10.0.0.9", "10.0.0.10", "198.51.100.7", "6.6.6.6"


@pytest.fixture
def passed(rf: RequestFactory, settings: Any) -> Any:
    """Sends a request through the middleware and returns it as the views see it."""

    def send(*, trusted: list[str], remote: str, **headers: str) -> HttpRequest:
        settings.ROLLCALL_TRUSTED_PROXIES = trusted
        seen: list[HttpRequest] = []

        def view(request: HttpRequest) -> HttpResponse:
            seen.append(request)
            return HttpResponse()

        ProxyMiddleware(view)(
            rf.get("/", headers={k.replace("_", "-"): v for k, v in headers.items()}, REMOTE_ADDR=remote)
        )
        return seen[0]

    return send


def where(request: HttpRequest) -> tuple[str, str]:
    return request.META["REMOTE_ADDR"], str(request.scheme)


def test_without_the_setting_nothing_is_believed_and_the_headers_are_gone(passed):
    request = passed(trusted=[], remote="127.0.0.1", X_Forwarded_For=LIE, X_Forwarded_Proto="https")
    assert where(request) == ("127.0.0.1", "http")
    assert {"X-Forwarded-For", "X-Forwarded-Proto"}.isdisjoint(request.headers)


def test_a_proxy_of_ours_is_believed(passed):
    request = passed(trusted=[PROXY], remote=PROXY, X_Forwarded_For=CLIENT, X_Forwarded_Proto="https")
    assert where(request) == (CLIENT, "https")
    assert throttle.address_of(request) == authentication.remote(request) == CLIENT


def test_a_peer_that_is_none_is_not_believed_though_others_are(passed):
    request = passed(trusted=[PROXY], remote=CLIENT, X_Forwarded_For=LIE, X_Forwarded_Proto="https")
    assert where(request) == (CLIENT, "http")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "found"),
    [
        ([PROXY], f"{LIE}, {CLIENT}", CLIENT),  # what the client wrote itself stands left of it
        ([PROXY], f"{LIE}, {CLIENT}, {INNER}", INNER),  # one proxy alone is ours
        ([PROXY, INNER], f"{LIE}, {CLIENT}, {INNER}", CLIENT),
        (["10.0.0.0/24"], f"{LIE},{CLIENT},{INNER},{INNER}", CLIENT),
        (["10.0.0.0/24"], INNER, INNER),  # somebody beside the proxies
        ([PROXY], "", PROXY),
        ([PROXY], "unknown", PROXY),
        (["10.0.0.0/24"], f"{CLIENT}, unknown, {INNER}", INNER),
        ([PROXY], f"{CLIENT}:4711", CLIENT),
        ([PROXY], "[2001:db8::7]:4711", "2001:db8::7"),
        ([PROXY], "2001:DB8:0::7", "2001:db8::7"),
        ([PROXY, INNER], f"{CLIENT}, ::ffff:{INNER}", CLIENT),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours(trusted, forwarded, found):
    assert Trust(trusted).client(remote=PROXY, forwarded=forwarded) == found


@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("https, http", "http"), ("wss", "http"), ("", "http")],
)
def test_only_the_one_word_https_makes_a_request_secure(passed, said, scheme):
    assert where(passed(trusted=[PROXY], remote=PROXY, X_Forwarded_Proto=said)) == (PROXY, scheme)


def test_a_proxy_that_says_nothing_leaves_the_scheme_as_it_is(rf, settings):
    settings.ROLLCALL_TRUSTED_PROXIES = [PROXY]
    request = rf.get("/", REMOTE_ADDR=PROXY, secure=True)
    ProxyMiddleware(lambda _: HttpResponse())(request)
    assert where(request) == (PROXY, "https")


@pytest.mark.parametrize(("trusted", "found"), [([PROXY], ("", "http")), (["unix"], (CLIENT, "https"))])
def test_a_unix_socket_has_no_address_and_is_trusted_by_its_name(passed, trusted, found):
    assert where(passed(trusted=trusted, remote="", X_Forwarded_For=CLIENT, X_Forwarded_Proto="https")) == found


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.9", "10.0.0.9"])
def test_a_server_that_listens_on_ipv6_sees_the_same_proxy(peer):
    assert Trust(["10.0.0.0/24"]).peer(peer)
    assert not Trust(["10.1.0.0/24", "2001:db8::/32"]).peer(peer)


def test_what_is_no_address_is_none():
    assert [address(text) for text in ("", "localhost", "1.2.3", "[::1", "10.0.0.300")] == [
        None, None, None, address("::1"), None,
    ]  # fmt: skip


def test_the_product_asks_before_anything_else_looks(settings):
    assert settings.MIDDLEWARE[0] == "governance.proxies.ProxyMiddleware"


@pytest.mark.django_db
def test_a_refused_token_is_recorded_with_the_clients_address(client, settings):
    settings.ROLLCALL_TRUSTED_PROXIES = [PROXY]
    answer = client.get(
        "/scim/v2/Users",
        headers={"Authorization": "Bearer nobody", "X-Forwarded-For": f"{LIE}, {CLIENT}"},
        REMOTE_ADDR=PROXY,
    )
    assert answer.status_code == 401
    assert [row.remote for row in RefusedToken.objects.all()] == [CLIENT]
