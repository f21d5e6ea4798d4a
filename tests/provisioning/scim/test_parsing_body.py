"""Bytes become one JSON object, or a SCIM error: there is no third way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.scim.errors import ScimError
from provisioning.scim.parsing import body
from provisioning.scim.parsing.body import load

pytestmark = pytest.mark.unit
SCIM = "application/scim+json"


def refused(raw: bytes, content_type: str | None = SCIM) -> tuple[int, str | None]:
    with pytest.raises(ScimError) as caught:
        load(raw, content_type=content_type)
    return caught.value.status, caught.value.scim_type


@pytest.mark.parametrize(
    "content_type",
    [SCIM, "application/json", "Application/SCIM+JSON; charset=UTF-8", 'application/json;charset="utf8"', "", None],
)
def test_both_media_types_are_read(content_type: str | None) -> None:
    assert load(b'{"a": 1}', content_type=content_type) == {"a": 1}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=iso-8859-1", "json"]
)
def test_another_media_type_is_415(content_type: str) -> None:
    assert refused(b"{}", content_type) == (415, None)


def test_a_byte_order_mark_is_tolerated() -> None:
    assert load(b"\xef\xbb\xbf{}", content_type=SCIM) == {}


def test_a_body_over_the_limit_is_413(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_BODY_BYTES", 10)
    assert load(b'{"a": "b"}', content_type=SCIM) == {"a": "b"}
    assert refused(b'{"a": "bc"}') == (413, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"1",
        b"null",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\x00"}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": ["x", {"b": "\\ud800"}]}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 9223372036854775808}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 1} {"b": 2}',
        b'{"a": "line\nbreak"}',
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_what_is_wrong_with_the_bytes_is_invalid_syntax(raw: bytes) -> None:
    assert refused(raw) == (400, "invalidSyntax")


def test_thirty_two_levels_are_read_and_thirty_three_are_not() -> None:
    def levels(count: int) -> bytes:
        return b'{"a":' * count + b"1" + b"}" * count

    assert load(levels(32), content_type=SCIM)["a"]
    assert refused(levels(33)) == (400, "invalidSyntax")
    assert refused(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}") == (400, "invalidSyntax")


def test_a_million_brackets_are_refused_like_any_other_depth() -> None:
    assert refused(b'{"a":' + b"[" * 1_000_000) == (400, "invalidSyntax")


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert load(b'{"a": "\\ud83d\\ude00"}', content_type=SCIM) == {"a": "\U0001f600"}


def test_the_largest_integers_are_read() -> None:
    assert load(b'{"a": 9223372036854775807, "b": -9223372036854775808}', content_type=SCIM) == {
        "a": 2**63 - 1,
        "b": -(2**63),
    }


def test_the_error_says_where_and_never_repeats_the_body() -> None:
    with pytest.raises(ScimError) as caught:
        load(b'{"password": "hunter2", oops', content_type=SCIM)
    assert caught.value.detail == "The body is not JSON: line 1, column 25 is wrong."


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_a_scim_error(raw: bytes) -> None:
    def outcome() -> object:
        try:
            return load(raw, content_type=SCIM)
        except ScimError as error:
            return error.status

    found = outcome()
    assert found == 400 or isinstance(found, dict)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Neither NUL nor half a surrogate pair.
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\x00")), json_values, max_size=4))
def test_what_json_wrote_is_read_back(value: dict[str, object]) -> None:
    assert load(json.dumps(value).encode(), content_type=SCIM) == value
