"""A secret never survives: by its name at any depth, by its looks, and in text that nobody could read."""

from __future__ import annotations

import json
import logging
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.redaction import MASK, WithoutPaths, is_secret_name, redact, redact_path, redact_text

pytestmark = pytest.mark.unit

SECRET = "hunter2-Kx9qLmZ"
NAMES = (
    "password", "Password", "newPassword", "PASSPHRASE", "passcode", "pwd", "secret", "client_secret", "clientSecret",
    "token", "access_token", "refreshToken", "api_key", "apikey", "X-API-Key", "privateKey", "private-key", "accessKey",
    "sessionKey", "credentials", "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "bearer", "otp", "pin",
    "urn:ietf:params:scim:schemas:core:2.0:User:password",
)  # fmt: skip
HARMLESS = ("userName", "displayName", "active", "emails", "spinner", "opinions", "keynote", "passport", "author")


@pytest.mark.parametrize("name", NAMES)
def test_a_member_called_like_a_secret_is_one(name):
    assert redact({name: SECRET}) == {name: MASK}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_member_called_otherwise_is_kept(name):
    assert not is_secret_name(name)
    assert redact({name: "value"}) == {name: "value"}


def test_a_secret_of_any_type_is_masked_and_an_absent_one_stays_absent():
    assert redact({"password": ["a", {"b": 1}], "token": 0, "secret": None}) == {
        "password": MASK,
        "token": MASK,
        "secret": None,
    }


# Around the secret: any JSON, so that the law holds at every depth and beside anything.
_scalars = st.none() | st.booleans() | st.integers() | st.text("abc xyz", max_size=6)
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(HARMLESS), inner, max_size=3)
)


@st.composite
def _planted(draw):
    """A JSON value with the secret somewhere inside, under a secret's name or in a pair that names it."""
    name = draw(st.sampled_from(NAMES))
    hidden = draw(st.sampled_from([SECRET, [SECRET], {"deep": [SECRET]}]))
    naming = draw(st.sampled_from(["path", "name", "key", "attribute"]))
    value = draw(st.sampled_from([{name: hidden}, {naming: name, "value": hidden}, {naming: name, "Value": hidden}]))
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            value = [*draw(st.lists(_json, max_size=2)), value]
        else:
            value = {**draw(st.dictionaries(st.sampled_from(HARMLESS[:4]), _json, max_size=2)), "inner": value}
    return value


@pytest.mark.law
@settings(max_examples=200, deadline=None)
@given(_planted())
def test_a_secret_named_member_never_survives_at_any_depth(value):
    assert SECRET in json.dumps(value)
    assert SECRET not in json.dumps(redact(value))


@pytest.mark.law
@settings(max_examples=100, deadline=None)
@given(_json)
def test_what_holds_no_secret_comes_back_equal_and_redacting_twice_is_redacting_once(value):
    assert redact(value) == value


@pytest.mark.law
@settings(max_examples=100, deadline=None)
@given(_planted())
def test_redacting_twice_is_redacting_once(value):
    once = redact(value)
    assert redact(once) == once


TOKENS = (
    "rc_01938f6e-2b3c-7abc-8def-0123456789ab_Zm9vYmFyYmF6cXV4cXV1eA",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "Bearer abc123def456",
    "Basic dXNlcjpwYXNz",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIEow, and cut off",
)


@pytest.mark.parametrize("token", TOKENS)
def test_a_value_that_looks_like_a_credential_is_masked_wherever_it_stands(token):
    clean = redact({"displayName": f"before {token}", "list": [token], token: "as a name"})
    text = json.dumps(clean)
    assert text.count(MASK) >= 3
    for part in (token, "MIIEow", "dXNlcjpwYXNz", "abc123def456"):
        assert part not in text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("?count=1&password=hunter2&startIndex=2", "?count=1&password=***&startIndex=2"),
        ("client_secret=a%20b; other=c", "client_secret=***; other=c"),
        ('{"userName": "ada", "password": "hun\\"ter2", "tru', '{"userName": "ada", "password": ***, "tru'),
        ('{\\"password\\": \\"hunter2\\", 3', '{\\"password\\": ***'),
        ('{"password": ["hunter2"', '{"password": [***'),
        ('{"token":12345,', '{"token":***,'),
        ("api-key: hunter2\nnext", "api-key: ***\nnext"),
        ('password eq "hunter2 and more"', "password eq ***"),
        ("https://user:hunter2@host.example/path", "https://user:***@host.example/path"),
        ("pwd='hunter 2' kept", "pwd=*** kept"),
    ],
)
def test_a_secret_in_text_that_is_no_json_is_masked(text, clean):
    assert redact_text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "the token was refused",
        "a token equals no other",
        'userName eq "token"',
        "its password has been changed: see the page",
        "ends at 12:30 on https://host.example:8443/a@b",
    ],
)
def test_a_sentence_about_secrets_is_kept(text):
    assert redact_text(text) == text


def test_a_text_of_a_mebibyte_made_to_be_slow_is_done_in_seconds():
    started = time.monotonic()
    for text in ("token" * 200_000, '"password":"' + "\\" * 500_000, "://a:" * 200_000, "password" + " " * 500_000):
        redact_text(text)
    assert time.monotonic() - started < 20


def test_numbers_and_booleans_stay_what_they_are():
    value = {"active": True, "count": 3, "ratio": 0.5, "nothing": None, "list": (1, 2)}
    assert redact(value) == {"active": True, "count": 3, "ratio": 0.5, "nothing": None, "list": [1, 2]}


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/", "/"),
        ("/t/acme-2/admin/accounts/01a20db7-b53d-7416-a328-10d3e826d5df/end/",) * 2,
        ("/t/acme/admin/plans/01a20db7-b53d-7416-a328-10d3e826d5df/changes.csv",) * 2,
        ("/t/acme/admin/records/accounts_account/12/history/",) * 2,
        (f"/t/acme/admin/accounts/{SECRET}/", "/t/acme/admin/accounts/***/"),
        (f"/{SECRET}/admin", "/***/admin"),
        ("/welcome/onlyletters/", "/welcome/***/"),
        ("/welcome/", "/welcome/"),
        ("/scim/v2/Users/01A20DB7-B53D-7416-A328-10D3E826D5DF",) * 2,
        ("/scim/v2/Users/.search",) * 2,
        ("/scim/v2/Received/01a20db7-b53d-7416-a328-10d3e826d5df",) * 2,
        ("/scim/v2/Users/onlyletters", "/scim/v2/Users/***"),
        ("/scim/v2/Schemas/urn:acme:hunter2", "/scim/v2/Schemas/***"),
        ("/static/rollcall.3f2a91.css",) * 2,
        ("/readyz",) * 2,
        (f"/t/{'x' * 61}/admin/", "/t/***/admin/"),
    ],
)
def test_an_address_keeps_what_is_ours_and_the_keys_of_rows(path, kept):
    assert redact_path(path) == kept


def test_what_django_logs_of_a_request_has_no_foreign_part_of_its_address():
    record = logging.LogRecord(
        "django.request", logging.WARNING, "", 0, "%s: %s", ("Gone", "/welcome/onlyletters/"), None
    )
    assert WithoutPaths().filter(record)
    assert record.getMessage() == "Gone: /welcome/***/"
    other = logging.LogRecord("rollcall.web", logging.WARNING, "", 0, "%s: %s", ("a", "/welcome/x/"), None)
    assert WithoutPaths().filter(other)
    assert other.getMessage() == "a: /welcome/x/"
