"""Who may ask: a token in one header, and nothing of it anywhere else."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.urls import get_resolver

from audit.scope import scope
from provisioning import tokens
from provisioning.models.connection import ReadRecord, RefusedToken
from provisioning.scim.metadata.catalogue import RESOURCE_TYPES
from tests.conftest import a_cause
from tests.factories.scim import a_user, connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face

ADDRESSES = ["", "/", "/Users/x", "/Users/.search", "/.search", "/Me", "/Bulk", "/Schemas"]
ADDRESSES += ["/ResourceTypes", "/ServiceProviderConfig", "/Received/x", "/nowhere", *[kind.endpoint for kind in RESOURCE_TYPES]]


def refused() -> list[RefusedToken]:
    return list(RefusedToken.objects.order_by("id"))


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_address_asks_for_a_token(idp: Idp, method: str, path: str) -> None:
    answer = idp.call(method, path, Authorization="")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert answer["detail"]
    assert [one.because for one in refused()] == ["not a token of ours"]
    assert idp.exchanges() == []


def test_the_list_of_addresses_above_is_whole() -> None:
    names = {name for name in get_resolver("provisioning.scim.urls").reverse_dict if isinstance(name, str)}
    kinds = {kind.endpoint.strip("/").lower() for kind in RESOURCE_TYPES}
    assert kinds == {"users", "groups", "agents", "agenticapplications", "roles", "entitlements"}
    assert names == kinds | {f"{kind}-search" for kind in kinds} | {
        "root", "search", "me", "bulk", "schemas", "resource-types", "service-provider-config", "received", "nowhere",
    }  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        "non-token", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Bearer x", "Bearer rc_x_y", "Bearer r\u00e9",
        f"Bearer rc_{'0' * 32}_{'a' * 43}", "Token rc_a_b",
    ],
)  # fmt: skip
def test_an_unknown_token_is_refused_with_a_challenge_and_counted(idp: Idp, header: str) -> None:
    answer = idp.get("/Users", Authorization=header)
    assert answer.status == 401
    (row,) = refused()
    assert (row.method, row.path, row.remote) == ("GET", "/Users", "127.0.0.1")
    assert idp.exchanges() == []
    with scope(tenant=idp.tenant.pk):
        assert not ReadRecord.objects.exists()


def test_the_scheme_is_read_in_any_case(idp: Idp) -> None:
    assert idp.get("/Users", Authorization=f"bearer  {idp.token} ").status == 200


def test_a_wrong_secret_is_refused_and_named_by_its_id(idp: Idp) -> None:
    head, _, _ = idp.token.rpartition("_")
    assert idp.get("/Users", Authorization=f"Bearer {head}_{'x' * 43}").status == 401
    assert refused()[0].token_id is not None


def test_an_ended_or_expired_token_is_refused(idp: Idp, tenant: Tenant) -> None:
    now = dt.datetime.now(dt.UTC)
    with scope(tenant=tenant.pk, cause=a_cause()):
        token = tokens.find_token(idp.token, at=now)
        assert not isinstance(token, tokens.Refused)
        tokens.end_token(token=token, reason="leaked", at=now)
    answer = idp.post("/Users", a_user())
    assert answer.status == 401
    assert [one.because for one in refused()] == ["ended"]
    assert idp.exchanges() == []


def test_a_token_that_may_only_read_writes_nothing(tenant: Tenant) -> None:
    reader = connect(tenant, may=["read"])
    answer = reader.post("/Users", a_user())
    assert answer.status == 403
    assert reader.get("/Users")["totalResults"] == 0
    exchange = reader.last()
    assert (exchange.outcome, exchange.status, exchange.request) == ("rejected", 403, None)


def test_a_token_that_may_only_write_reads_nothing(tenant: Tenant) -> None:
    writer = connect(tenant, may=["write"])
    assert writer.post("/Users", a_user()).status == 201
    assert writer.get("/Users").status == 403
    search = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}
    assert writer.post("/Users/.search", search).status == 403


def test_a_read_leaves_a_row_without_its_query(idp: Idp) -> None:
    idp.get('/Users?filter=userName eq "ada@example.com"')
    user = idp.user()
    idp.get(f"/Users/{user}")
    idp.get("/Users/ada@example.com")
    idp.post("/Users/.search", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]})
    with scope(tenant=idp.tenant.pk):
        rows = list(ReadRecord.objects.order_by("id").values_list("method", "path", "status", "note"))
    assert rows == [
        ("GET", "/Users", 200, "filter"),
        ("GET", f"/Users/{user}", 200, ""),
        ("GET", "/Users/…", 404, "There is no such resource."),
        ("POST", "/Users/.search", 200, ""),
    ]


PLACES = {
    "path": lambda secret: {"path": f"/Users/{secret}"},
    "query": lambda secret: {"path": f"/Users?x={secret}"},
    "filter": lambda secret: {"path": f'/Users?filter=userName eq "{secret}"'},
    "quoted query": lambda secret: {"path": "/Users?x=" + "".join(f"%{ord(c):02x}" for c in secret)},
    "header": lambda secret: {"X-Anything": secret},
    "cookie": lambda secret: {"Cookie": f"a={secret}"},
    "user agent": lambda secret: {"User-Agent": f"client/{secret}"},
    "idempotency key": lambda secret: {"Idempotency-Key": secret},
    "userName": lambda secret: {"body": a_user(secret)},
    "a name": lambda secret: {"body": a_user(**{secret: "x"})},
    "inside": lambda secret: {"body": a_user(name={"givenName": f"x {secret} y"})},
    "password": lambda secret: {"body": a_user(password=secret)},
    "escaped": lambda secret: {"raw": ('{"userName": "' + "".join(f"\\u{ord(c):04x}" for c in secret) + '"}').encode()},
    "broken": lambda secret: {"raw": b'{"userName": "' + secret.encode()},
    "bad bytes": lambda secret: {"raw": b"\xff\xfe" + secret.encode()},
}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("which", ["token", "secret", "another token"])
@pytest.mark.parametrize("place", PLACES)
def test_a_credential_outside_of_its_header_is_refused_and_kept_nowhere(
    idp: Idp, place: str, which: str, method: str, caplog: Any
) -> None:
    secret = {
        "token": idp.token,
        "secret": idp.token.split("_", 2)[2],
        "another token": f"rc_{'0a' * 16}_{'Zq3' * 14}",
    }[which]
    sent = PLACES[place](secret)
    raw = sent.pop("raw", None)
    path, body = sent.pop("path", "/Users"), sent.pop("body", None)
    answer = idp.call(method, quote(path, safe="/?=&%_") if place != "filter" else path, body, raw=raw, **sent)
    assert (answer.status, answer["scimType"]) == (400, "invalidValue")
    assert secret not in str(answer.body)
    if method == "POST":
        (exchange,) = idp.exchanges()
        assert (exchange.outcome, exchange.error, exchange.request) == ("rejected", "holds a credential", None)
        assert secret not in str(vars(exchange))
    else:
        with scope(tenant=idp.tenant.pk):
            (row,) = ReadRecord.objects.all()
        assert row.note == "holds a credential"
        assert secret not in str(vars(row))
