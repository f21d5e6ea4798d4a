"""Whatever is sent, by whatever method, to whatever address: a SCIM answer, never a 5xx, never HTML, nothing changed."""

from __future__ import annotations

import io
import json
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import UnreadablePostError
from django.test import RequestFactory
from django.urls import include, path
from gunicorn.http.errors import InvalidChunkSize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account
from audit.scope import scope
from provisioning.models.shadow import Shadow
from provisioning.scim import views
from provisioning.scim.incoming import body_of
from provisioning.scim.metadata.catalogue import NHI_URN, USER_URN
from provisioning.scim.metadata.discovery import MAX_BODY_BYTES
from tests.factories.scim import PATCH_URN, SEARCH_URN, a_group, a_user

if TYPE_CHECKING:
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.face

SCIM_TYPES = {
    "invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue",
}  # fmt: skip
ADDRESSES = [
    "/", "/.search", "/Users", "/Users/{user}", "/Users/nobody", "/Users/.search", "/Groups", "/Groups/{group}",
    "/Groups/.search", "/Me", "/Bulk", "/Schemas", "/Schemas/x", "/ResourceTypes", "/ServiceProviderConfig", "/else",
]  # fmt: skip

BROKEN: dict[str, bytes] = {
    "empty": b"",
    "blank": b"   ",
    "half": b'{"userName": "x"',
    "list": b"[]",
    "text": b'"x"',
    "number": b"7",
    "null": b"null",
    "bad utf-8": b'{"userName": "\xff\xfe"}',
    "utf-16": '{"userName": "x"}'.encode("utf-16"),
    "overlong": b'{"userName": "\xc0\xaf"}',
    "raw nul": b'{"userName": "a\x00b"}',
    "escaped nul": b'{"userName": "a\\u0000b"}',
    "nul in a name": b'{"a\\u0000b": 1}',
    "half a pair": b'{"userName": "\\ud800"}',
    "twice": b'{"userName": "a", "userName": "b"}',
    "twice in other case": b'{"userName": "a", "USERNAME": "b"}',
    "nan": b'{"userName": NaN}',
    "huge number": b'{"userName": 1' + b"0" * 5000 + b"}",
    "huge exponent": b'{"userName": 1e999}',
    "deep": b'{"a":' * 33 + b"1" + b"}" * 33,
    "very deep": b"[" * 100_000,
    "xml": b"<user><name>x</name></user>",
    "form": b"userName=x&active=true",
}

TEXTS = {
    "nul": "a\x00b",
    "bell": "a\x07b",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "c1": "a\x85b",
    "newline": "a\nb",
    "bidi override": "a\u202eb",
    "bidi isolate": "a\u2066b",
    "right-to-left mark": "a\u200fb",
    "line separator": "a\u2028b",
    "too long": "a" * 5000,
    "blank": "  ",
    "number": 7,
    "list": ["x", "y"],
    "object": {"x": "y"},
    "boolean": True,
}

RESOURCES: list[Any] = [
    {}, {"schemas": []}, {"schemas": "x"}, {"schemas": [7]}, {"schemas": [USER_URN]}, {"userName": None},
    a_user(id=7, meta=[], groups="x"), a_user(emails="x"), a_user(emails=[["x"]]), a_user(emails=[{"value": {}}]),
    a_user(emails=[{"value": "a", "primary": True}, {"value": "b", "primary": True}]), a_user(name=[]),
    a_user(name=[{"givenName": "a"}, {"givenName": "b"}]), a_user(active=7), a_user(active=[]), a_user(active="nope"),
    a_user(x509Certificates=[{"value": "!"}]), a_user(profileUrl="a b"), a_user(phoneNumbers=[None]),
    a_user(**{NHI_URN: "x"}), a_user(**{NHI_URN: {"kind": "robot"}}), a_user(**{NHI_URN: {"expiresAt": "soon"}}),
    a_user(**{NHI_URN: {"kind": "service", "owners": [{"value": "x"}]}}),
    a_user(**{NHI_URN: {"kind": "service", "owners": [{}]}}),
    a_user(**{NHI_URN: {"kind": "service", "owners": [{"value": "0193b0c4-0000-7000-8000-000000000001"}]}}),
    a_user(**{NHI_URN: {"environment": "moon"}}), a_user(**{NHI_URN: {"expiresAt": "9999-12-31T23:59:59-23:59"}}),
    a_group(members="x"), a_group(members=[7]), a_group(members=[{}]), a_group(members=[{"value": None}]),
    a_group("x" * 401), a_group(""), a_group(displayName={"x": 1}), {"Operations": "x"}, {"Operations": [None]},
    {"Operations": [{}]}, {"Operations": [{"op": "add"}]}, {"Operations": [{"op": 7, "path": []}]},
    {"Operations": [{"op": "replace", "path": "members", "value": "x"}]},
    {"Operations": [{"op": "add", "path": "members", "value": [{"value": {"x": 1}}]}]},
    {"Operations": [{"op": "remove", "path": "members[value eq 7]"}]},
    {"Operations": [{"op": "remove", "path": "members[type eq \"x\"]"}]},
    {"Operations": [{"op": "replace", "path": "emails[" * 50, "value": 1}]},
    {"Operations": [{"op": "replace", "path": "x" * 100_000, "value": 1}]},
    {"Operations": [{"op": "replace", "value": []}]}, {"Operations": [{"op": "replace", "value": {"active": None}}]},
    {"Operations": [{"op": "replace", "value": {"a.b.c": 1, "": 2, ":": 3, ".": 4}}]},
    {"Operations": [{"op": "add", "path": "title", "value": "x"}] * 1001},
    {"schemas": [SEARCH_URN], "filter": 7}, {"schemas": [SEARCH_URN], "filter": "("},
    {"schemas": [SEARCH_URN], "count": "x", "startIndex": []}, {"schemas": [SEARCH_URN], "attributes": 7},
    {"schemas": [SEARCH_URN], "sortBy": {}, "sortOrder": 1},
]  # fmt: skip

QUERIES = [
    "filter=", "filter=(", "filter=%FF", "filter=%00", "filter=%ED%A0%80", "filter=userName%20eq%20%22%00%22", "count=x",
    "startIndex=1e9", "count=99999999999999999999999", "attributes=%00", "sortBy=%00", "attributes=a&excludedAttributes=b",
    "filter=a&filter=b", "&".join(f"x{n}=1" for n in range(6000)), "%", "%zz=%zz", "filter[]=x", "=" * 50,
]  # fmt: skip


@pytest.fixture
def ids(idp: Idp) -> dict[str, str]:
    """One user in one group."""
    user = idp.user("ada")
    return {"user": user, "group": idp.group("Staff", user)}


def state(idp: Idp) -> list[Any]:
    with scope(tenant=idp.tenant.pk):
        return [
            list(Account.objects.order_by("pk").values()),
            list(Shadow.objects.order_by("pk").values()),
        ]


def assert_refused(answer: Reply) -> None:
    assert 400 <= answer.status < 500 or answer.status == 501, answer
    assert answer["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert answer["detail"]
    if answer.status == 400:
        assert answer["scimType"] in SCIM_TYPES


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_broken_body_is_refused_by_every_method(idp: Idp, ids: dict[str, str], address: str) -> None:
    before = state(idp)
    for raw in BROKEN.values():
        for method in ("POST", "PUT", "PATCH"):
            assert_refused(idp.call(method, address.format(**ids), raw=raw))
    assert state(idp) == before


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_body_of_a_wrong_shape_is_never_a_server_error(idp: Idp, ids: dict[str, str], address: str) -> None:
    for body in RESOURCES if address.startswith(("/Users", "/Groups")) else RESOURCES[:6]:
        for method in ("POST", "PUT", "PATCH"):
            answer = idp.call(method, address.format(**ids), body)
            assert answer.status < 500 or answer.status == 501, (method, body, answer)


@pytest.mark.parametrize("value", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("resource", ["user", "group"])
def test_a_name_that_no_page_can_show_is_refused(idp: Idp, ids: dict[str, str], resource: str, value: Any) -> None:
    before = state(idp)
    kind, name = ("Users", "userName") if resource == "user" else ("Groups", "displayName")
    body = {**(a_user() if resource == "user" else a_group()), name: value}
    path = f"/{kind}/{ids[resource]}"
    assert_refused(idp.post(f"/{kind}", body))
    assert_refused(idp.put(path, body))
    assert_refused(idp.patch(path, {"op": "replace", "path": name, "value": value}))
    assert_refused(idp.patch(path, {"op": "replace", "value": {name: value}}))
    assert state(idp) == before


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_strange_query_is_never_a_server_error(idp: Idp, ids: dict[str, str], address: str) -> None:
    for query in QUERIES:
        for method in ("GET", "HEAD") if "{" in address else ("GET", "HEAD", "DELETE"):
            answer = idp.call(method, f"{address.format(**ids)}?{query}")
            assert answer.status < 500 or answer.status == 501, (method, query, answer)


@pytest.mark.parametrize(
    "content_type",
    ["text/html", "application/xml", "application/json; charset=latin-1", "multipart/form-data; boundary=x"],
)
def test_another_media_type_is_refused(idp: Idp, content_type: str) -> None:
    answer = idp.call("POST", "/Users", a_user(), Content_Type=content_type)
    assert answer.status == 415
    assert_refused(answer)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/scim+json; charset=UTF-8", "Application/JSON"]
)
def test_json_is_read_under_both_its_names(idp: Idp, content_type: str) -> None:
    assert idp.call("POST", "/Users", a_user(), Content_Type=content_type).status == 201


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 18 * 1024 * 1024])
def test_a_body_over_the_limit_is_too_large_and_recorded(idp: Idp, size: int) -> None:
    answer = idp.call("POST", "/Users", raw=b" " * size)
    assert answer.status == 413
    assert_refused(answer)
    exchange = idp.last()
    assert (exchange.status, exchange.request, exchange.request_bytes) == (413, None, size)


def test_a_large_group_within_the_limit_is_taken(idp: Idp, ids: dict[str, str]) -> None:
    body = a_group("Large", *[ids["user"]] * 60_000)
    assert len(json.dumps(body)) > 2_621_440
    assert len(idp.post("/Groups", body)["members"]) == 1


@pytest.mark.parametrize("operations", [1000, 1001])
def test_a_patch_has_at_most_a_thousand_operations(idp: Idp, ids: dict[str, str], operations: int) -> None:
    one = {"op": "replace", "path": "title", "value": "x"}
    assert idp.patch(f"/Users/{ids['user']}", *[one] * operations).status == (200 if operations == 1000 else 413)


def test_a_forwarded_host_is_not_believed(idp: Idp) -> None:
    answer = idp.post("/Users", a_user(), X_Forwarded_Host="evil.example", Forwarded="host=evil.example")
    assert answer["meta"]["location"].startswith("http://testserver/scim/v2/Users/")


@pytest.fixture
def handlers(settings: Any) -> None:
    """The error handlers of all addresses are those of the receiver."""
    module = ModuleType("addresses")
    module.__dict__.update(
        urlpatterns=[path("scim/v2/", include("provisioning.scim.urls")), path("else/", views.NowhereView.as_view())],
        handler400=views.bad_request,
        handler500=views.server_error,
    )
    settings.ROOT_URLCONF = module
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]


@pytest.mark.usefixtures("handlers")
def test_what_django_refuses_before_a_view_runs_is_scim_too(idp: Idp) -> None:
    answer = idp.get("/Users", Host="evil.example")
    assert_refused(answer)
    assert answer["scimType"] == "invalidValue"
    assert idp.client.get("/else/", headers={"Host": "evil.example"}).headers["Content-Type"].startswith("text/html")


@pytest.mark.usefixtures("handlers")
def test_what_breaks_before_a_view_runs_is_scim_too(idp: Idp) -> None:
    # Without `TenantMiddleware` a request has no clock, and so breaks outside of the view.
    idp.client.raise_request_exception = False
    answer = idp.get("/Users")
    assert answer.status == 500
    assert answer["detail"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "userName", "active", "emails", "name", "members", "displayName", "externalId", "id", "meta", "schemas", "password",
    "groups", "roles", NHI_URN, "Operations", "op", "path", "value", "name.givenName", 'emails[type eq "work"].value',
])  # fmt: skip
BODIES = st.dictionaries(NAMES | st.text(max_size=8), JSON, max_size=5)
OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "Remove", "replace", "x"]) | JSON,
        "path": NAMES | JSON,
        "value": BODIES | JSON,
    },
)
WORDS = st.sampled_from([
    "userName", "active", "emails", "emails[", "]", "(", ")", "and", "or", "not", "eq", "co", "gt", "pr", '"x"', '"', "1",
    "true", "null", "meta.created", '"2020-01-01T00:00:00Z"', ".value", "\\", "%", "id", "members", NHI_URN, ":", "$", "name",
])  # fmt: skip
modest = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@modest
@given(
    body=BODIES | JSON, method=st.sampled_from(["POST", "PUT", "PATCH"]), resource=st.sampled_from(["user", "group"])
)
def test_no_body_is_a_server_error(idp: Idp, body: Any, method: str, resource: str) -> None:
    raw = json.dumps(body).encode()
    kind = "Users" if resource == "user" else "Groups"
    path = f"/{kind}"
    if method != "POST":
        made = idp.get(path)["Resources"]
        path += f"/{made[0]['id'] if made else idp.user('ada') if resource == 'user' else idp.group()}"
    assert idp.call(method, path, raw=raw).status < 500


@modest
@given(operations=st.lists(OPERATIONS | JSON, max_size=3), resource=st.sampled_from(["user", "group"]))
def test_no_operation_is_a_server_error(idp: Idp, operations: list[Any], resource: str) -> None:
    kind = "Users" if resource == "user" else "Groups"
    made = idp.get(f"/{kind}")["Resources"]
    one = made[0]["id"] if made else idp.user("ada") if resource == "user" else idp.group()
    raw = json.dumps({"schemas": [PATCH_URN], "Operations": operations}).encode()
    assert idp.call("PATCH", f"/{kind}/{one}", raw=raw).status < 500


@modest
@given(words=st.lists(WORDS | st.text(max_size=4), max_size=12), kind=st.sampled_from(["Users", "Groups"]))
def test_no_filter_is_a_server_error(idp: Idp, words: list[str], kind: str) -> None:
    text = " ".join(words)
    answer = idp.get(f"/{kind}?filter={quote(text, errors='replace')}")
    assert answer.status in {200, 400}
    assert idp.call("POST", f"/{kind}/.search", {"schemas": [SEARCH_URN], "filter": text}).status in {200, 400}


# -- a body whose length is said chunk by chunk


class Chunks:
    """What gunicorn hands on of a chunked body: no length, and an end."""

    def __init__(self, raw: bytes, *, breaks: bool = False) -> None:
        self.left, self.breaks = io.BytesIO(raw), breaks

    def read(self, size: int) -> bytes:
        if self.breaks:
            raise InvalidChunkSize(b"zz")
        return self.left.read(size)

    def readline(self, size: int = -1) -> bytes:
        return self.left.readline(size)


def chunked(raw: bytes, **values: Any) -> WSGIRequest:
    environ = RequestFactory()._base_environ(REQUEST_METHOD="POST")
    environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Chunks(raw, **values), "wsgi.input_terminated": True}
    environ.pop("CONTENT_LENGTH", None)
    return WSGIRequest(environ)


def test_a_body_in_chunks_is_read_whole_and_not_past_the_limit() -> None:
    assert body_of(chunked(b'{"userName": "ada"}')) == b'{"userName": "ada"}'
    assert len(body_of(chunked(b"x" * (MAX_BODY_BYTES + 9)))) == MAX_BODY_BYTES + 1


def test_a_chunk_that_is_none_is_an_error_of_reading() -> None:
    with pytest.raises(UnreadablePostError):
        body_of(chunked(b"", breaks=True))
