"""Ports on loopback."""

from __future__ import annotations

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import create_server

import pytest

from local import ports

pytestmark = pytest.mark.local


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with closing(create_server((ports.LOOPBACK, 0))) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.accepts(port)
    assert ports.is_free(port)
    assert not ports.accepts(port)


def test_a_port_taken_on_all_addresses_is_not_free() -> None:
    with closing(create_server(("", 0))) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_picked_port_is_free_and_none_of_those_to_avoid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "KEPT_PORTS", range(20_000, 20_003))
    monkeypatch.setattr(ports, "is_free", lambda port: port != 20_001)

    assert {ports.pick(taken=frozenset({20_000})) for _ in range(20)} == {20_002}


def test_no_free_port_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)

    with pytest.raises(OSError, match=r"no free port was found on 127\.0\.0\.1"):
        ports.pick()


class Answers(BaseHTTPRequestHandler):
    """Answers 200 at /readyz to who calls it by its name, 503 to all others."""

    def do_GET(self) -> None:
        is_well = self.path == "/readyz" and self.headers["Host"] == "rollcall.example.org"
        self.send_response(200 if is_well else 503)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as in the base class
        """Stay quiet."""


def test_only_200_is_an_answer_and_the_host_is_called_by_its_name() -> None:
    with HTTPServer((ports.LOOPBACK, 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_port
        try:
            well = ports.answers_ok(port, "/readyz", host=ports.LOOPBACK, called="rollcall.example.org")
            unwell = ports.answers_ok(port, "/", host=ports.LOOPBACK, called="rollcall.example.org")
            foreign = ports.answers_ok(port, "/readyz", host=ports.LOOPBACK, called="127.0.0.1")
        finally:
            server.shutdown()
            thread.join()
    gone = ports.answers_ok(port, "/readyz", host=ports.LOOPBACK, called="rollcall.example.org")

    assert (well, unwell, foreign, gone) == (True, False, False, False)
