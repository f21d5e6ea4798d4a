"""The one outbound client against servers that mislead, stall, flood and lie."""

import gzip
import logging
import socket
import threading
import time
import traceback
from ipaddress import ip_address

import httpcore
import httpx
import pytest

from provisioning.connectors.egress import (
    AddressRefusedError,
    BadBaseURLError,
    BadTokenError,
    Client,
    EgressError,
    EncodedAnswerError,
    ForeignReference,
    NotReachedError,
    Policy,
    RedirectedError,
    TooLargeError,
    TooSlowError,
)
from provisioning.connectors.transport import Deadline, PinnedBackend

pytestmark = pytest.mark.unit


def policy(**limits) -> Policy:
    return Policy(**{"allow_loopback": True, "connect_seconds": 2, "read_seconds": 2, "total_seconds": 5} | limits)


def test_a_request_reaches_the_origin_with_its_token_and_asks_for_a_plain_answer(peer, connect, token):
    peer.answer = lambda exchange: exchange.reply(b'{"a": 1}', headers={"X-Seen": "yes"})
    answer = connect(f"{peer.url}/scim/v2/").get("/Users", params={"filter": 'userName eq "a&b"'})
    assert (answer.status, answer.body, answer.headers["x-seen"]) == (200, b'{"a": 1}', "yes")
    (call,) = peer.calls
    assert (call.method, call.path, call.query) == ("GET", "/scim/v2/Users", {"filter": 'userName eq "a&b"'})
    assert call.headers == {
        "host": f"127.0.0.1:{peer.port}",
        "accept": "application/scim+json, application/json;q=0.9",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "user-agent": "Rollcall",
        "authorization": f"Bearer {token}",
    }


def test_a_body_is_sent_as_scim_and_an_error_status_is_an_answer(peer, connect):
    peer.answer = lambda exchange: exchange.reply(b"no", status=409)
    answer = connect(peer.url).request("POST", "/Users", content=b'{"userName": "a"}')
    assert (answer.status, answer.body) == (409, b"no")
    assert peer.calls[0].body == b'{"userName": "a"}'
    assert peer.calls[0].headers["content-type"] == "application/scim+json"


def test_without_a_token_no_authorization_is_sent(peer, connect):
    connect(peer.url, token="").get("/")
    assert "authorization" not in peer.calls[0].headers


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_an_error_and_the_token_goes_nowhere(peer, other_peer, connect, status):
    peer.answer = lambda exchange: exchange.reply(b"", status=status, headers={"Location": f"{other_peer.url}/x"})
    with pytest.raises(RedirectedError, match=f"answered {status} and would send us elsewhere") as caught:
        connect(peer.url).get("/Users")
    assert caught.value.status == status
    assert (len(peer.calls), other_peer.calls) == (1, [])


def test_a_redirect_within_the_origin_is_an_error_too(peer, connect):
    peer.answer = lambda exchange: exchange.reply(b"", status=302, headers={"Location": "/Users2"})
    with pytest.raises(RedirectedError):
        connect(peer.url).get("/Users")
    assert len(peer.calls) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Location", "{}/Users/1"),
        ("Content-Location", "{}/Users/1"),
        ("Link", '<{}/Users?page=2>; rel="next"'),
        ("Link", '</help>; rel=help, <{}/Users?page=2>; rel="prev NEXT"'),
    ],
)
def test_a_header_that_names_another_origin_is_an_error(peer, other_peer, connect, name, value):
    peer.answer = lambda exchange: exchange.reply(headers={name: value.format(other_peer.url)})
    with pytest.raises(ForeignReference, match="which is not the place that was configured"):
        connect(peer.url).get("/Users")
    assert other_peer.calls == []


def test_headers_that_name_the_same_origin_or_something_else_are_accepted(peer, connect):
    headers = {"Location": f"{peer.url}/Users/1", "Link": '<https://docs.example/>; rel="help", </Users?p=2>; rel=next'}
    peer.answer = lambda exchange: exchange.reply(headers=headers)
    assert connect(peer.url).get("/Users").status == 200


def test_a_url_at_another_origin_is_refused_before_anything_is_sent(peer, other_peer, connect):
    client = connect(f"{peer.url}/v2")
    for target in (f"{other_peer.url}/v2/Users", f"{peer.url}/v3/Users", f"//127.0.0.1:{other_peer.port}/v2/Users"):
        with pytest.raises(ForeignReference):
            client.get(target)
    assert (peer.calls, other_peer.calls) == ([], [])
    assert client.get(f"{peer.url}/v2/Users").status == 200


def test_a_url_that_is_too_long_is_an_error_of_the_family(peer, connect):
    with pytest.raises(EgressError, match="malformed or too long"):
        connect(peer.url).get("/" + "a" * 70_000)
    assert peer.calls == []


def test_an_answer_announced_too_large_is_refused_unread(peer, connect):
    peer.answer = lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    with pytest.raises(TooLargeError, match="more than 1000 bytes"):
        connect(peer.url, policy=policy(max_bytes=1000)).get("/")


def test_an_answer_that_grows_too_large_is_cut_off_while_it_streams(peer, connect):
    sent = 0

    def flood(exchange):
        nonlocal sent
        exchange.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100_000):
            exchange.raw(b"400\r\n" + b"x" * 1024 + b"\r\n")
            sent += 1024

    peer.answer = flood
    with pytest.raises(TooLargeError, match="more than 100000 bytes"):
        connect(peer.url, policy=policy(max_bytes=100_000)).get("/")
    time.sleep(0.1)
    assert sent < 50_000_000


def test_an_answer_of_exactly_the_limit_is_read(peer, connect):
    peer.answer = lambda exchange: exchange.reply(b"x" * 1000)
    assert len(connect(peer.url, policy=policy(max_bytes=1000)).get("/").body) == 1000


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
def test_a_compressed_answer_is_refused(peer, connect, encoding):
    bomb = gzip.compress(b"0" * 1_000_000)
    peer.answer = lambda exchange: exchange.reply(bomb, headers={"Content-Encoding": encoding})
    with pytest.raises(EncodedAnswerError, match="compressed answer though it was asked for a plain one"):
        connect(peer.url).get("/")


def test_an_answer_that_says_it_is_plain_is_read(peer, connect):
    peer.answer = lambda exchange: exchange.reply(b"plain", headers={"Content-Encoding": "identity"})
    assert connect(peer.url).get("/").body == b"plain"


def drip(prefix: bytes, piece: bytes):
    def answer(exchange):
        exchange.raw(prefix)
        for _ in range(200):
            exchange.raw(piece)
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize(
    ("prefix", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "header", "endless 100"],
)
def test_a_slow_drip_ends_with_the_total_time_though_no_single_wait_is_long(peer, connect, prefix, piece):
    peer.answer = drip(prefix, piece)
    client = connect(peer.url, policy=policy(total_seconds=0.4))
    began = time.monotonic()
    with pytest.raises(TooSlowError, match=r"did not finish its answer within 0\.4 seconds"):
        client.get("/")
    assert 0.35 < time.monotonic() - began < 1.5


def test_a_silent_server_is_given_up_after_the_read_timeout(peer, connect):
    peer.answer = lambda exchange: time.sleep(1)
    with pytest.raises(TooSlowError, match=r"was silent for 0\.2 seconds"):
        connect(peer.url, policy=policy(read_seconds=0.2)).get("/")


def test_a_wait_is_cut_short_where_the_total_time_ends_before_it(peer, connect):
    peer.answer = lambda exchange: time.sleep(1)
    began = time.monotonic()
    with pytest.raises(TooSlowError, match=r"did not finish its answer within 0\.3 seconds"):
        connect(peer.url, policy=policy(total_seconds=0.3)).get("/")
    assert time.monotonic() - began < 0.8


def test_the_time_of_one_thread_is_not_prolonged_by_the_requests_of_another(peer, connect):
    dripping = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x")
    peer.answer = lambda exchange: dripping(exchange) if exchange.call.path == "/drip" else exchange.reply()
    client = connect(peer.url, policy=policy(total_seconds=0.4))
    lasted = []

    def ask():
        began = time.monotonic()
        with pytest.raises(TooSlowError):
            client.get("/drip")
        lasted.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(60):
        client.get("/")
        time.sleep(0.02)
    thread.join()
    assert lasted[0] < 1


def test_a_timeout_of_one_request_does_not_shorten_the_next(peer, connect):
    client = connect(peer.url, policy=policy(total_seconds=0.3))
    peer.answer = lambda exchange: time.sleep(0.6)
    with pytest.raises(TooSlowError):
        client.get("/")
    peer.answer = lambda exchange: exchange.reply(b"again")
    assert client.get("/").body == b"again"


def test_a_tls_handshake_that_never_comes_ends_in_time(connect):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"https://127.0.0.1:{silent.getsockname()[1]}", policy=policy(connect_seconds=0.2))
        with pytest.raises(TooSlowError, match=r"could not be connected to within 0\.2 seconds"):
            client.get("/")


def test_a_closed_port_and_a_broken_answer_are_said_in_a_sentence(peer, connect):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NotReachedError) as caught:
        connect(closed).get("/")
    assert caught.value.reason == f"{closed} could not be spoken to: the connection was refused."
    for nonsense in (b"SSH-2.0-Banner\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"):
        peer.answer = lambda exchange, nonsense=nonsense: exchange.raw(nonsense)
        with pytest.raises(NotReachedError, match="its answer is broken off or is no valid HTTP"):
            connect(peer.url).get("/")


def test_a_connection_that_the_server_closes_unannounced_costs_a_read_nothing(peer, connect):
    peer.answer = lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    client = connect(peer.url)
    assert [client.get("/").body for _ in range(30)] == [b"ok"] * 30


def test_what_may_have_had_an_effect_is_never_sent_twice(peer, connect):
    peer.answer = lambda exchange: exchange.raw(b"")
    with pytest.raises(NotReachedError):
        connect(peer.url).request("POST", "/Users", content=b"{}")
    assert len(peer.calls) == 1
    with pytest.raises(NotReachedError):
        connect(peer.url).get("/Users")
    assert len(peer.calls) == 3


class MovingName:
    """A resolver whose every answer is another one: the attack that pinning is for."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return [self.answers[min(self.asked, len(self.answers)) - 1]]


def test_a_name_that_moves_after_the_check_is_not_followed(peer, connect, monkeypatch):
    resolver = MovingName("127.0.0.1", "169.254.169.254")
    # The system's own resolver may see numbers only: asking it for the name would be the hole.
    looked_up = []
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: (looked_up.append(host), real(host, *rest, **more))[1]
    )
    client = connect(f"http://directory.example:{peer.port}", resolver=resolver)
    for _ in range(3):
        # Each connection is closed by the server, so each request needs a new one.
        peer.answer = lambda exchange: exchange.raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        )
        assert client.get("/").body == b"ok"
    assert resolver.asked == 1
    assert set(looked_up) == {"127.0.0.1"}
    assert [call.headers["host"] for call in peer.calls] == [f"directory.example:{peer.port}"] * 3


def test_a_name_that_leads_to_a_refused_address_makes_no_client(peer):
    for address in ("169.254.169.254", "10.0.0.1", "::ffff:169.254.169.254", "fe80::1"):
        with pytest.raises(AddressRefusedError):
            Client("https://directory.example", policy=policy(), resolver=MovingName(address))
    with pytest.raises(
        BadBaseURLError, match="an address of this machine itself, which this installation may not reach"
    ):
        Client(f"https://127.0.0.1:{peer.port}", policy=Policy())
    assert peer.calls == []


def test_the_next_checked_address_is_tried_where_the_first_does_not_answer(peer, connect):
    client = connect(f"http://directory.example:{peer.port}", resolver=lambda _host, _port: ["127.0.0.9", "127.0.0.1"])
    assert client.get("/").status == 200


def test_the_backend_connects_to_its_own_origin_only(peer):
    backend = PinnedBackend("directory.example", 443, addresses=(ip_address("127.0.0.1"),), deadline=Deadline())
    for host, port in (("127.0.0.1", 443), ("directory.example", peer.port)):
        with pytest.raises(httpcore.ConnectError, match="its own origin only"):
            backend.connect_tcp(host, port)


def test_over_tls_name_and_certificate_are_those_of_the_url_though_the_address_is_pinned(tls_peer, authority, connect):
    resolver = MovingName("127.0.0.1", "169.254.169.254")
    url = f"https://directory.example:{tls_peer.port}"
    client = connect(url, resolver=resolver, ssl_context=authority.client)
    assert client.get("/Users").status == 200
    assert tls_peer.server_names == ["directory.example"]
    assert tls_peer.calls[0].headers["host"] == f"directory.example:{tls_peer.port}"


def test_a_certificate_for_another_name_is_refused_and_no_token_sent(tls_peer, authority, connect):
    client = connect(
        f"https://other.example:{tls_peer.port}", resolver=MovingName("127.0.0.1"), ssl_context=authority.client
    )
    with pytest.raises(NotReachedError, match=r"its certificate is not trusted .*other\.example"):
        client.get("/")
    assert tls_peer.calls == []


def test_a_certificate_of_an_unknown_authority_is_refused(tls_peer, connect, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    with pytest.raises(NotReachedError, match="its certificate is not trusted"):
        connect(f"https://directory.example:{tls_peer.port}", resolver=MovingName("127.0.0.1")).get("/")
    assert tls_peer.calls == []


def test_a_tls_context_that_checks_nothing_is_refused(authority):
    for verify, names in ((False, False), (True, False)):
        context = httpx.create_ssl_context(verify=verify)
        context.check_hostname = names
        with pytest.raises(ValueError, match="must check certificates and host names"):
            Client("https://directory.example", policy=Policy(), ssl_context=context)


def test_proxies_and_netrc_of_the_environment_are_ignored(peer, other_peer, connect, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, other_peer.url)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(peer.url, token="").get("/").status == 200
    assert (len(peer.calls), other_peer.calls) == (1, [])
    assert "authorization" not in peer.calls[0].headers


def test_cookies_are_not_kept(peer, connect):
    peer.answer = lambda exchange: exchange.reply(headers={"Set-Cookie": "session=1; Path=/"})
    client = connect(peer.url)
    client.get("/")
    client.get("/")
    assert [call.headers.get("cookie") for call in peer.calls] == [None, None]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ümlaut", "nul\x00"])
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_shown(token):
    with pytest.raises(BadTokenError) as caught:
        Client("https://directory.example", policy=Policy(), token=token, resolver=MovingName("8.8.8.8"))
    assert token not in caught.value.reason


def echo_token_in(header: str, value: str):
    return lambda exchange: exchange.reply(headers={header: value})


@pytest.mark.parametrize(
    "answer",
    [
        echo_token_in("Location", "https://secret-token/x"),
        echo_token_in("Location", "https://SECRET-TOKEN.evil.example/x"),
        echo_token_in("Link", "<https://secret-token/x>; rel=next"),
        lambda exchange: exchange.reply(status=302, headers={"Location": "https://secret-token/"}),
        lambda exchange: exchange.reply(headers={"Content-Encoding": "secret-token"}),
        lambda exchange: exchange.raw(b"HTTP/1.1 secret-token\r\n\r\n"),
        lambda exchange: exchange.raw(b"HTTP/1.1 200 OK\r\nsecret-token\r\n\r\n"),
        lambda exchange: time.sleep(0.4),
    ],
)
def test_no_error_no_traceback_and_no_log_line_holds_the_token(peer, connect, caplog, answer):
    caplog.set_level(logging.DEBUG)
    peer.answer = answer
    planted = "Secret-Token"
    with pytest.raises(EgressError) as caught:
        connect(peer.url, token=planted, policy=policy(read_seconds=0.2)).get("/")
    # The server really was given what must not come back.
    assert peer.calls[0].headers["authorization"] == f"Bearer {planted}"
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    assert "secret-token" not in shown.replace(f'planted = "{planted}"', "").lower()
    # Below INFO the library shows the headers of answers, and so what a server repeats, but never those of requests.
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert "secret-token" not in "".join(loud).lower()
    assert f"Bearer {planted}" not in caplog.text


def test_several_threads_share_one_client_and_keep_their_own_time(peer, connect):
    def answer(exchange):
        if exchange.call.path == "/slow":
            time.sleep(6)
        else:
            exchange.reply(exchange.call.path.encode())

    peer.answer = answer
    client = connect(peer.url, policy=policy(total_seconds=3))
    outcomes = {}

    def ask(path):
        try:
            outcomes[path] = client.get(path).body.decode()
        except TooSlowError as error:
            outcomes[path] = type(error).__name__

    threads = [threading.Thread(target=ask, args=(path,)) for path in ["/slow", *(f"/{n}" for n in range(8))]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"/slow": "TooSlowError"} | {f"/{n}": f"/{n}" for n in range(8)}
