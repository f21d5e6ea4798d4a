"""Real servers on loopback: one that answers whatever a test says, over http or TLS, and a real SCIM server."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider

from provisioning.connectors.egress import Client, Policy

TOKEN = "s3cret-Token.of~this+run="


@dataclass
class Call:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Exchange:
    """What a test's answering function gets: the call, and ways to answer it."""

    def __init__(self, call: Call, handler: BaseHTTPRequestHandler) -> None:
        self.call = call
        self._handler = handler

    def raw(self, data: bytes) -> None:
        self._handler.close_connection = True
        self._handler.wfile.write(data)

    def reply(self, body: bytes = b"{}", *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._handler.send_response(status)
        for name, value in (headers or {}).items():
            self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(len(body)))
        self._handler.end_headers()
        self._handler.wfile.write(body)

    def json(self, document: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.reply(json.dumps(document).encode(), status=status, headers=headers)


@dataclass
class Peer:
    """A server under a test's control; `answer` may be set anew at any time."""

    url: str = ""
    port: int = 0
    calls: list[Call] = field(default_factory=list)
    server_names: list[str] = field(default_factory=list)
    answer: Callable[[Exchange], None] = lambda exchange: exchange.reply()


def _handler_class(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            call = Call(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
            )
            peer.calls.append(call)
            try:
                peer.answer(Exchange(call, self))
            except OSError:
                # The client hung up, which is what many of these tests want.
                self.close_connection = True

        do_GET = do_POST = handle_any  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A refused TLS handshake ends here; the client's side of it is what a test looks at."""


@contextmanager
def running(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    peer = Peer()
    with QuietServer(("127.0.0.1", 0), _handler_class(peer)) as server:
        peer.port = server.server_address[1]
        peer.url = f"http://127.0.0.1:{peer.port}"
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: peer.server_names.append(name)
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with running(server):
            yield peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


@pytest.fixture
def other_peer() -> Iterator[Peer]:
    with serving() as peer:
        yield peer


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def local() -> Policy:
    return Policy(allow_loopback=True, connect_seconds=2, read_seconds=2, total_seconds=5)


@pytest.fixture
def connect(local: Policy) -> Iterator[Callable[..., Client]]:
    """Make clients that are closed at the end; the policy allows loopback unless another is given."""
    with ExitStack() as stack:

        def make(url: str, *, policy: Policy = local, token: str = TOKEN, **options: Any) -> Client:
            return stack.enter_context(Client(url, policy=policy, token=token, **options))

        yield make


@dataclass
class Authority:
    """A private certificate authority with one server certificate, for `directory.example`."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    certificate = _certificate(subject=name, issuer=name, key=key, signer=key, names=None)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "directory.example")])
    leaf = _certificate(subject=leaf_name, issuer=name, key=leaf_key, signer=key, names=["directory.example"])
    pem = _pem(folder / "server.pem", leaf_key, leaf)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    return Authority(server=server, client=client)


def _certificate(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: list[str] | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
    )
    if names is not None:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def scim_server() -> Iterator[str]:
    """The base URL of an empty scim2-server, which accepts only TOKEN."""
    application = BearerTokenApplication(InMemoryStorage(), load_default_provider(), bearer_tokens=[TOKEN])
    with make_server("127.0.0.1", 0, application, handler_class=QuietHandler) as server, running(server):
        yield f"http://127.0.0.1:{server.server_port}/v2"


@pytest.fixture
def tls_peer(authority: Authority) -> Iterator[Peer]:
    with serving(authority.server) as peer:
        yield peer
