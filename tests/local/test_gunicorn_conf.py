"""gunicorn tells the product where it can be reached, whoever changed that."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from local import ports
from local.ports import LOOPBACK
from tests.local.conftest import newcomers_environment, until
from tests.local.test_up import web_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.conftest import Product

pytestmark = pytest.mark.local


@pytest.mark.parametrize("other_host", ["127.0.0.2", "[::1]"])
def test_the_product_learns_the_addresses_that_are_really_bound(product: Product, other_host: str) -> None:
    other = ports.pick()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-c", "gunicorn_conf.py"),
            *(
                "--bind",
                f"{LOOPBACK}:{product.port}",
                "--bind",
                f"{other_host}:{other}",
            ),  # instead of the configured one
            "governance.wsgi",
        ],
        cwd=product.root,
        env=newcomers_environment(ROLLCALL_BIND="127.0.0.1:1", REDIS_URL="redis://127.0.0.1:1/0"),
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: ports.answers_ok(product.port, "/", host=LOOPBACK, called="127.0.0.1"))
        bound = web_environment(product)["ROLLCALL_BOUND_TO"]
    finally:
        process.terminate()
        process.wait(timeout=10)

    assert bound == f"{LOOPBACK}:{product.port},{other_host.strip('[]')}:{other}"


TELLS = """
import json
def application(environ, start_response):
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
"""


@contextmanager
def serving(product: Product, bind: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn_conf.py", "--bind", bind, "governance.wsgi"],
        cwd=product.root,
        env=newcomers_environment(REDIS_URL="redis://127.0.0.1:1/0", FORWARDED_ALLOW_IPS="*"),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_a_broken_setting_stops_the_web_process_with_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import governance.wsgi"],
        cwd=Path(__file__).parents[2], env=newcomers_environment(ROLLCALL_LOG_LEVEL="LOUD"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Rollcall can't start: ")
    assert ended.stderr.count("\n") == 1


def takes_connections(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(path) == 0


@pytest.mark.parametrize("is_socket", [False, True], ids=["loopback", "unix socket"])
def test_gunicorn_itself_believes_nobody_and_hands_on_what_was_said(product: Product, *, is_socket: bool) -> None:
    (product.root / "governance" / "wsgi.py").write_text(TELLS, encoding="utf-8")
    path = str(product.root / "socket")
    with (
        serving(product, f"unix:{path}" if is_socket else f"{LOOPBACK}:{product.port}"),
        httpx.Client(
            transport=httpx.HTTPTransport(uds=path) if is_socket else None,
            base_url=f"http://{LOOPBACK}:{product.port}",
            trust_env=False,
        ) as client,
    ):
        assert until(lambda: takes_connections(path) if is_socket else ports.accepts(product.port))
        said = {
            "X-Forwarded-For": "6.6.6.6",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Ssl": "off",
            "SCRIPT_NAME": "/elsewhere",
            "REMOTE_USER": "root",
            "X_Forwarded_For": "6.6.6.7",
        }
        told = json.loads(client.get("/", headers=said).text)

    assert told["wsgi.url_scheme"] == "http"
    assert told["REMOTE_ADDR"] == ("" if is_socket else LOOPBACK)
    assert told["SCRIPT_NAME"] == ""
    assert {"REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_SCRIPT_NAME"}.isdisjoint(told)
    # Judged by governance.proxies.
    assert told["HTTP_X_FORWARDED_FOR"] == "6.6.6.6"
    assert told["HTTP_X_FORWARDED_PROTO"] == "https"


def said_to(port: int, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """What gunicorn answers to these bytes: status, headers, body."""
    with socket.create_connection((LOOPBACK, port), timeout=10) as client:
        client.sendall(raw)
        answer = HTTPResponse(client)
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


NOT_HTTP = {
    "an address that is too long": (
        b"GET /scim/v2/Users?filter=" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        414,
    ),
    "a header that is too long": (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"x" * 17_000 + b"\r\n\r\n", 431),
    "a length that is no number": (b"POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a method in small letters": (b"get /scim/v2/Users HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an unknown coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: secret-rc_1234\r\n\r\n", 501),
    "no HTTP": (b"rc_secret_1234\r\n\r\n", 400),
}


def test_what_is_no_http_is_refused_in_words_that_a_scim_client_reads_and_nothing_of_it_is_repeated(
    product: Product,
) -> None:
    (product.root / "governance" / "wsgi.py").write_text(TELLS, encoding="utf-8")
    with serving(product, f"{LOOPBACK}:{product.port}"):
        assert until(lambda: ports.accepts(product.port))
        for what, (raw, status) in NOT_HTTP.items():
            found, headers, body = said_to(product.port, raw)
            assert (found, headers["content-type"]) == (status, "application/scim+json"), what
            told = json.loads(body)
            assert told["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"], what
            assert told["status"] == str(status), what
            assert b"1234" not in body, what
        # The worker goes on.
        assert said_to(product.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 200
