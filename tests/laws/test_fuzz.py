"""Whatever is sent to whichever address: a SCIM answer with a reason, never a 5xx, and nothing changed where it refuses.

The addresses are those of `provisioning.scim.urls` themselves: one that is added is tried without a word here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.urls.resolvers import RegexPattern
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Account
from accounts.models.group import Membership
from audit.scope import scope
from provisioning.models.shadow import Shadow
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, NHI_URN
from provisioning.scim.urls import urlpatterns
from tests.factories.scim import BASE, PATCH_URN, SEARCH_URN, a_group, a_user
from tests.laws.world import law

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpResponse

    from tests.factories.scim import Idp

pytestmark = [pytest.mark.law, pytest.mark.django_db]

# RFC 7644, table 9, and RFC 9865, section 2.1.
SCIM_TYPES = {
    "invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue",
    "invalidVers", "sensitive", "invalidCursor",
}  # fmt: skip
BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
NOBODY = "0193b0c4-0000-7000-8000-000000000001"


def addresses() -> Iterator[str]:
    """A path for each address, with a place for an id where it takes one."""
    for one in urlpatterns:
        assert isinstance(one.pattern, RegexPattern)
        text = one.pattern._regex.removeprefix("^").removesuffix("$").removesuffix("/?")
        plain = re.sub(r"\(\?:/\(\?P<uuid>[^)]*\)\)\?", "", text).replace("\\", "")
        yield f"/{plain}"
        if "(?P<uuid>" in text:
            yield f"/{plain}/{{id}}"
    yield "/Users/x/y"
    yield "//"
    yield "/Users/%00"


ADDRESSES = sorted(set(addresses()))


def test_every_address_of_the_receiver_is_tried() -> None:
    assert {"/Users", "/Users/{id}", "/Groups/{id}", "/Bulk", "/Me", "/.search", "/Schemas/{id}"} <= set(ADDRESSES)
    assert len(ADDRESSES) >= len(urlpatterns)
    assert not any("(" in one or "?" in one for one in ADDRESSES)


texts = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\u202e",
        "ß",
        "\U0001f600",
        "a" * 5000,
        NOBODY,
        "True",
        "urn:x:y",
        "bulkId:1",
        "2030-01-01T00:00:00Z",
    ]
)
numbers = st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**30, 1.5, 1e308, float("inf"), float("nan")])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda one: st.lists(one, max_size=3) | st.dictionaries(texts, one, max_size=3), max_leaves=6
)
names = st.sampled_from([
    "schemas", "id", "externalId", "meta", "userName", "USERNAME", "displayName", "active", "name", "emails", "members", "roles",
    "groups", "password", "addresses", "x509Certificates", "manager", "name.givenName", ENTERPRISE_URN, NHI_URN, "value", "$ref",
    "type", "primary", "kind", "owners", "expiresAt", "Operations", "op", "path", "method", "bulkId", "data", "filter", "count",
    "startIndex", "cursor", "sortBy", "attributes", "failOnErrors", f"{ENTERPRISE_URN}:department", 'emails[type eq "work"].value',
])  # fmt: skip
objects = st.dictionaries(names | texts, values | st.dictionaries(names, values, max_size=3), max_size=5)
paths = names | st.sampled_from([
    "emails[", 'emails[value eq "a"]', "members[value eq 7]", 'members[not (type eq "User")]', "a.b.c", "x" * 3000, "name[x pr]",
])  # fmt: skip
operations = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "Remove", "replace", "copy"]) | values,
        "path": paths | values,
        "value": objects | values,
    },
)
bulk_operations = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["POST", "put", "PATCH", "DELETE", "GET"]) | values,
        "path": st.sampled_from(["/Users", "/Groups", f"/Users/{NOBODY}", "/Bulk", "/Nowhere", "/Users/bulkId:1"])
        | values,
        "bulkId": st.sampled_from(["1", "2"]) | values,
        "version": values,
        "data": st.one_of(objects, st.just(a_user("zoe")), st.just(a_group("z", "bulkId:2"))),
    },
)


def mutated(body: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {**body, name: value}


bodies = st.one_of(
    objects,
    values,
    st.builds(mutated, st.just(a_user("eva", title="x", emails=[{"value": "e@x"}])), names, objects | values),
    st.builds(mutated, st.just(a_group("Team")), names, objects | values),
    st.builds(lambda ops: {"schemas": [PATCH_URN], "Operations": ops}, st.lists(operations, max_size=3) | values),
    st.builds(lambda ops: {"schemas": [BULK_URN], "Operations": ops}, st.lists(bulk_operations, max_size=3) | values),
    st.builds(lambda more: {"schemas": [SEARCH_URN], **more}, objects),
)


def as_bytes(body: Any) -> bytes:
    """JSON with all that Python's writer can be talked into: NaN, Infinity, halves of surrogate pairs as escapes."""
    return json.dumps(body).encode()


def twice(raw: bytes) -> bytes:
    """The first name of an object a second time."""
    match = re.match(rb'\{("(?:[^"\\]|\\.)*": )', raw)
    return b"{" + match[1] + b"1, " + raw[1:] if match else raw


raws = st.one_of(
    bodies.map(as_bytes),
    bodies.map(as_bytes),
    bodies.map(as_bytes).map(twice),
    st.builds(lambda raw, cut: raw[:cut], bodies.map(as_bytes), st.integers(0, 60)),
    st.binary(max_size=30),
    st.sampled_from([
        b"", b"null", b"[]", b'{"userName": "\xff"}', b'{"userName": "\\ud800"}', b'{"userName": "a\\u0000b"}',
        b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 50_000, b'{"count": 1' + b"0" * 4000 + b"}", b"\xef\xbb\xbf{}",
        b'{"userName": -Infinity}', '{"userName": "x"}'.encode("utf-16"),
    ]),
)  # fmt: skip
words = st.sampled_from([
    "userName", "emails", "emails[", "]", "(", ")", "and", "or", "not", "eq", "ne", "co", "gt", "pr", '"x"', '"', "1", "-1e5",
    "true", "null", "meta.created", '"2020-01-01T00:00:00Z"', ".value", "\\", "%", "id", "members", NHI_URN, ":", "groups.value",
    "schemas", "active", "members[value", f'"{NOBODY}"', "x509Certificates.value", "roles.primary",
])  # fmt: skip
filters = st.lists(words | st.text(max_size=4), max_size=10).map(" ".join)
parameters = st.dictionaries(
    st.sampled_from([
        "filter", "sortBy", "sortOrder", "count", "startIndex", "cursor", "attributes", "excludedAttributes", "FILTER", "x", "",
    ]),
    filters | texts | numbers.map(str) | names,
    max_size=4,
)  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(["If-Match", "If-None-Match", "Prefer", "Idempotency-Key", "Accept", "Accept-Language", "Range",
                     "X-HTTP-Method-Override", "Expect", "Content-Encoding", "Origin", "Cookie"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
    | st.sampled_from(["*", 'W/"1"', '"', "return=minimal", "respond-async", "text/html", "application/json;q=0", "gzip",
                       "DELETE", "x" * 5000]),
    max_size=3,
)  # fmt: skip
methods = st.sampled_from(
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "CONNECT"]
)
content_types = st.sampled_from(["application/scim+json"] * 6 + [
    "application/json", "text/html", "", "multipart/form-data", "application/x-www-form-urlencoded", "application/json; charset=x",
    "application/scim+json; charset=utf-8", "\x7f/;;",
])  # fmt: skip


def state(idp: Idp) -> list[Any]:
    """All that a write could have changed."""
    with scope(tenant=idp.tenant.pk):
        return [list(model.objects.order_by("pk").values()) for model in (Account, Shadow, Membership)]


def check(response: HttpResponse, method: str, about: Any) -> None:
    """What holds of every answer."""
    assert response.status_code < 500 or response.status_code == 501, (about, response.status_code, response.content)
    assert response.headers["Content-Type"] == "application/scim+json", about
    assert b"<html" not in response.content.lower()
    if response.status_code < 400 or method == "HEAD":
        return
    body = json.loads(response.content)
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"], about
    assert body["status"] == str(response.status_code)
    assert body["detail"].strip()
    if response.status_code == 400:
        assert body["scimType"] in SCIM_TYPES, (about, body)


@pytest.mark.parametrize("part", range(2))
def test_whatever_is_sent_is_answered_in_scim_and_changes_nothing_if_it_is_refused(idp: Idp, part: int) -> None:
    user = idp.user("ada", title="Boss", emails=[{"value": "ada@x.example", "type": "work"}])
    ids = {"Users": user, "Groups": idp.group("Staff", user)}
    tried = ADDRESSES[part::2]

    @law(160)
    @given(st.sampled_from(tried), methods, raws, parameters, headers, content_types)
    def holds(
        address: str, method: str, raw: bytes, query: dict[str, str], sent: dict[str, str], content_type: str
    ) -> None:
        path = address.replace("{id}", ids.get(address.split("/")[1], NOBODY))
        if query:
            path += "?" + "&".join(f"{name}={quote(value, errors='replace')}" for name, value in query.items())
        if method == "GET":
            raw = b""
        before = state(idp)
        response = idp.client.generic(
            method, f"{BASE}{path}", raw, content_type=content_type,
            headers={"Authorization": f"Bearer {idp.token}", **sent},
        )  # fmt: skip
        check(response, method, (method, path, raw, sent, content_type))
        # A bulk request answers 200, and each of its operations for itself.
        if response.status_code >= 400 or method in {"GET", "HEAD", "OPTIONS"}:
            assert state(idp) == before, (method, path, raw)

    holds()


def test_a_filter_of_any_words_is_answered_or_refused(filled: Idp) -> None:
    @law(120)
    @given(st.sampled_from(["/Users", "/Groups", "/"]), filters)
    def holds(address: str, written: str) -> None:
        answer = filled.post(f"{address.rstrip('/')}/.search", {"schemas": [SEARCH_URN], "filter": written})
        assert answer.status in {200, 400}, (written, answer)
        if answer.status == 400:
            assert answer["scimType"] in {"invalidFilter", "tooMany", "invalidSyntax"}, (written, answer)

    holds()


def test_no_operations_of_a_patch_are_a_server_error(filled: Idp) -> None:
    targets = [f"{kind}/{filled.get(kind)['Resources'][0]['id']}" for kind in ("/Users", "/Groups")]

    @law(100)
    @given(st.sampled_from(targets), st.lists(operations, min_size=1, max_size=3))
    def holds(address: str, sent: list[Any]) -> None:
        before = state(filled)
        raw = as_bytes({"schemas": [PATCH_URN], "Operations": sent})
        answer = filled.call("PATCH", address, raw=raw)
        assert answer.status < 500, (sent, answer)
        if answer.status >= 400:
            assert state(filled) == before, sent

    holds()
