"""The grammar of filters, and their meaning on documents."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.scim.errors import ScimError
from provisioning.scim.filters.evaluate import matches
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.filters.nodes import And, Compare, Node, Not, Or, Present, ValuePath, eq_terms, to_text
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, NHI_URN, USER, USER_URN
from provisioning.scim.metadata.schema import Ref

if TYPE_CHECKING:
    from provisioning.scim.parsing.notes import Notes

pytestmark = pytest.mark.unit

ALICE: dict[str, Any] = {
    "id": "1",
    "userName": "Alice@Example.com",
    "externalId": "X1",
    "active": True,
    "title": "Boss",
    "name": {"givenName": "Alice", "familyName": "Straße"},
    "emails": [
        {"type": "work", "value": "alice@work.example", "primary": True},
        {"type": "home", "value": "alice@home.example", "primary": False},
    ],
    "meta": {"lastModified": "2021-09-23T19:35:41.842Z"},
    ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "m1"}},
    NHI_URN: {"expiresAt": "2030-01-01T00:00:00Z"},
}


def text(written: str) -> str:
    return to_text(parse_filter(written, USER))


def refused(written: str) -> tuple[int, str | None]:
    with pytest.raises(ScimError) as caught:
        parse_filter(written, USER)
    return caught.value.status, caught.value.scim_type


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ('userName eq "a"', 'userName eq "a"'),
        ('USERNAME EQ "a"', 'userName eq "a"'),
        (f'{USER_URN.upper()}:username eq "a"', 'userName eq "a"'),
        (f'{ENTERPRISE_URN}:Department co "x"', f'{ENTERPRISE_URN}:department co "x"'),
        ("title pr and active eq TRUE or title ne null", "title pr and active eq true or title ne null"),
        ("title pr and (active eq true or title pr)", "title pr and (active eq true or title pr)"),
        ("((title pr))", "title pr"),
        ("NOT(title pr)", "not (title pr)"),
        ("not (title pr) and active eq true", "not (title pr) and active eq true"),
        ('emails[type eq "work" and value co "@x"]', 'emails[type eq "work" and value co "@x"]'),
        ('emails[type eq "work"].value eq "x"', 'emails[type eq "work" and value eq "x"]'),
        (
            'emails[type eq "work" or type eq "home"].value sw "x"',
            'emails[(type eq "work" or type eq "home") and value sw "x"]',
        ),
        ('emails[type eq "work"].value pr', 'emails[type eq "work" and value pr]'),
        ('emails[not (primary eq "True")]', "emails[not (primary eq true)]"),
        ('emails eq "x"', 'emails.value eq "x"'),
        ('id eq "X" and manager eq "Y"', f'id eq "X" and {ENTERPRISE_URN}:manager.value eq "Y"'),
        (r'title eq "a \"quote\" \\ \u00e9 \/"', r'title eq "a \"quote\" \\ é /"'),
        (
            '(ActiVe eq true) and meta.lastmodified ge "2021-09-23T19:35:41.8420572Z"',
            'active eq true and meta.lastModified ge "2021-09-23T19:35:41.8420572Z"',
        ),
        ('meta.created gt "0001-01-01T00:00:00Z"', 'meta.created gt "0001-01-01T00:00:00Z"'),
        ('title eq "not" and title eq "and or"', 'title eq "not" and title eq "and or"'),
        ("\ttitle  pr ", "title pr"),
    ],
)
def test_a_filter_is_read_in_any_spelling(written: str, canonical: str) -> None:
    assert text(written) == canonical
    assert parse_filter(canonical, USER) == parse_filter(written, USER)


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    a, b, c = (parse_filter(f'title eq "{name}"', USER) for name in "abc")
    assert parse_filter('title eq "a" or title eq "b" and title eq "c"', USER) == Or(terms=(a, And(terms=(b, c))))
    assert parse_filter('title eq "a" and title eq "b" or title eq "c"', USER) == Or(terms=(And(terms=(a, b)), c))
    assert parse_filter('not (title eq "a") and title eq "b"', USER) == And(terms=(Not(term=a), b))
    assert parse_filter('(title eq "a" or title eq "b") and title eq "c"', USER) == And(terms=(Or(terms=(a, b)), c))


def test_a_boolean_in_quotation_marks_is_noted() -> None:
    notes: Notes = []
    parse_filter('roles[primary eq "True"] and active eq "False"', USER, notes)
    assert [(one.rule, one.attribute, one.sent, one.read_as) for one in notes] == [
        ("boolean_in_filter", "roles.primary", "True", "true"),
        ("boolean_in_filter", "active", "False", "false"),
    ]


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "userName",
        "userName eq",
        'userName "a"',
        'eq "a"',
        'userName eq "a" and',
        'userName eq "a" or',
        'and userName eq "a"',
        'userName eq "a" userName eq "b"',
        '(userName eq "a"',
        'userName eq "a")',
        "()",
        "not title pr",
        "not",
        "not (title pr",
        'userName xx "a"',
        "userName eq a",
        "userName eq 'a'",
        'userName eq "a',
        r'userName eq "\x"',
        r'userName eq "\u12"',
        r'userName eq "\u0000"',
        r'userName eq "\ud800"',
        'userName eq "\x00"',
        'userName eq "a\nb"',
        "userName eq \ud800",
        'favouriteColour eq "red"',
        'userName eq "alice" and favouriteColour eq "red"',
        'userName eq "alice" or not (favouriteColour pr)',
        'name.foo eq "x"',
        'emails[foo eq "x"]',
        'emails[type eq "work"].foo eq "x"',
        'emails[type eq "work"',
        'emails[type eq "work"]]',
        "emails[]",
        'emails[type eq "work"].value',
        'emails[emails[type eq "x"]]',
        'userName[value eq "x"]',
        'emails.value[type eq "x"]',
        'urn:x:y:userName eq "a"',
        f'{ENTERPRISE_URN} eq "a"',
        'password eq "hunter2"',
        "password pr",
        "active gt true",
        'active co "t"',
        'active eq "maybe"',
        "active eq 1",
        "userName eq 5",
        "userName eq true",
        "userName gt null",
        'name eq "x"',
        'meta eq "x"',
        'meta.created eq "yesterday"',
        "meta.created eq 5",
        'meta.created sw "2021"',
        'x509Certificates.value gt "x"',
        "userName eq 1e999",
        "userName eq " + "9" * 50,
        "userName eq 01",
        "userName eq -",
        "userName eq {}",
        'userName eq "a"; DROP TABLE x',
    ],
)
def test_what_is_no_filter_is_refused(written: str) -> None:
    assert refused(written) == (400, "invalidFilter")


def test_an_error_never_repeats_a_value() -> None:
    for written in ('userName eq "hunter2', "userName eq hunter2", 'active eq "hunter2"', 'nope eq "hunter2"'):
        with pytest.raises(ScimError) as caught:
            parse_filter(written, USER)
        assert "hunter2" not in caught.value.detail + caught.value.record


def test_the_ledger_does_not_learn_an_unknown_name() -> None:
    with pytest.raises(ScimError) as caught:
        parse_filter('hunter2 eq "x"', USER)
    assert '"hunter2"' in caught.value.detail
    assert caught.value.record == "There is no such attribute to filter by, at character 1."


def test_the_limits_are_4_kib_and_64_comparisons_and_32_levels() -> None:
    assert parse_filter('title eq "' + "x" * 4085 + '"', USER)
    assert refused('title eq "' + "x" * 4086 + '"') == (400, "invalidFilter")
    assert refused('title eq "' + "é" * 2043 + '"') == (400, "invalidFilter")
    assert parse_filter(" or ".join(["title pr"] * 64), USER)
    assert refused(" or ".join(["title pr"] * 65)) == (400, "tooMany")
    assert parse_filter("(" * 32 + "title pr" + ")" * 32, USER)
    assert refused("(" * 33 + "title pr" + ")" * 33) == (400, "invalidFilter")
    assert refused("(" * 3000) == (400, "invalidFilter")


@pytest.mark.parametrize(
    ("written", "is_true"),
    [
        ('userName eq "alice@example.COM"', True),
        ('userName ne "ALICE@example.com"', False),
        ('externalId eq "x1"', False),
        ('externalId eq "X1"', True),
        ('userName co "EXAMPLE"', True),
        ('userName sw "alice@"', True),
        ('userName ew ".ORG"', False),
        ('name.familyName eq "STRASSE"', True),
        ("active eq true", True),
        ("active ne false", True),
        ("title pr", True),
        ("nickName pr", False),
        ('nickName eq "x"', False),
        ('nickName ne "x"', True),
        ('nickName co ""', False),
        ("nickName eq null", True),
        ("nickName ne null", False),
        ("title eq null", False),
        ('emails.value eq "ALICE@home.example"', True),
        ('emails.value ne "alice@home.example"', False),
        ('emails[type eq "work" and value co "@home"]', False),
        ('emails.type eq "work" and emails.value co "@home"', True),
        ('emails[type eq "work"].value eq "alice@work.example"', True),
        ('emails[type eq "other"]', False),
        ('emails[not (type eq "work")]', True),
        ('emails[primary eq "True" and type eq "home"]', False),
        ('emails[type ne "work" and primary eq false]', True),
        ('manager eq "m1"', True),
        (f'{ENTERPRISE_URN}:manager.value eq "M1"', False),
        ('department eq "r&d"', True),
        ('meta.lastModified eq "2021-09-23T21:35:41.842+02:00"', True),
        ('meta.lastModified gt "2021-09-23T19:35:41.8410000Z"', True),
        ('meta.lastModified lt "2021-09-23T19:35:41Z"', False),
        ('meta.lastModified ge "2021-09-23T19:35:41.842"', True),
        ('meta.created lt "2099-01-01T00:00:00Z"', False),
        ('title gt "Aaa" and title le "boss"', True),
        ("not (title pr) or name.givenName pr", True),
        ("name pr and emails pr", True),
    ],
)
def test_a_filter_decides_on_a_document(written: str, is_true: bool) -> None:
    assert matches(parse_filter(written, USER), ALICE) is is_true


def test_members_of_a_group_are_filtered_by_value() -> None:
    node = parse_filter('members[value eq "u1"]', GROUP)
    assert matches(node, {"members": [{"value": "u2"}, {"value": "u1"}]}) is True
    assert matches(node, {"members": [{"value": "U1"}]}) is False


def test_only_eq_and_and_say_what_a_new_value_is() -> None:
    def terms(written: str) -> dict[str, Any] | None:
        node = parse_filter(written, USER)
        assert isinstance(node, ValuePath)
        return eq_terms(node.inner)  # type: ignore[return-value]

    assert terms('emails[type eq "work"]') == {"type": "work"}
    assert terms('emails[type eq "work" and primary eq "True"]') == {"type": "work", "primary": True}
    assert terms('emails[type eq "work" and type eq "home"]') is None
    assert terms('emails[type eq "work" or type eq "home"]') is None
    assert terms('emails[type ne "work"]') is None
    assert terms("emails[type eq null]") is None
    assert terms("emails[type pr]") is None
    assert terms('emails[not (type eq "work")]') is None


# Laws


def ref(path: str) -> Ref:
    found = USER.resolve(path)
    assert found is not None
    return found


STRINGS = ("userName", "externalId", "title", "name.givenName", "emails.type", f"{ENTERPRISE_URN}:department")
words = st.sampled_from(["a", "A", "ab", "b", "straße", 'q"\\', "", "é"])
scalars = st.one_of(
    st.builds(
        lambda path, op, value: Compare(ref=ref(path), operator=op, value=value),
        st.sampled_from(STRINGS),
        st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]),
        words,
    ),
    st.builds(
        lambda op, value: Compare(ref=ref("active"), operator=op, value=value),
        st.sampled_from(["eq", "ne"]),
        st.booleans() | st.none(),
    ),
    st.builds(lambda path: Present(ref=ref(path)), st.sampled_from((*STRINGS, "emails", "name"))),
)
inner_scalars = st.builds(
    lambda name, op, value: Compare(ref=ref(f"emails.{name}"), operator=op, value=value),
    st.sampled_from(["type", "value", "display"]),
    st.sampled_from(["eq", "ne", "co", "sw"]),
    words,
)


def combined(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(
            st.builds(lambda term: Not(term=term), inner),
            st.builds(lambda terms: And(terms=terms), several),
            st.builds(lambda terms: Or(terms=terms), several),
        )

    return st.recursive(leaves, grow, max_leaves=8)


value_paths = st.builds(lambda inner: ValuePath(ref=ref("emails"), inner=inner), combined(inner_scalars))
filters = combined(scalars | value_paths)

optional_words = st.none() | words.filter(bool)


def without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if inner not in (None, {}, [])}


emails = st.builds(without_none, st.fixed_dictionaries(dict.fromkeys(("type", "value", "display"), optional_words)))
documents = st.fixed_dictionaries(
    {
        "userName": words.filter(bool),
        "externalId": optional_words,
        "title": optional_words,
        "active": st.none() | st.booleans(),
        "name": st.builds(without_none, st.fixed_dictionaries({"givenName": optional_words})),
        "emails": st.lists(emails.filter(bool), max_size=3),
        ENTERPRISE_URN: st.builds(without_none, st.fixed_dictionaries({"department": optional_words})),
    }
).map(without_none)


def within_limits(node: Node) -> bool:
    return len(to_text(node)) < 2000


@given(filters.filter(within_limits))
def test_a_filter_printed_and_read_again_is_equal(node: Node) -> None:
    again = parse_filter(to_text(node), USER)
    assert to_text(again) == to_text(node)
    assert parse_filter(to_text(again), USER) == again


BRUTE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda left, right: left == right,
    "co": lambda left, right: left.find(right) >= 0,
    "sw": lambda left, right: left[: len(right)] == right,
    "ew": lambda left, right: left[len(left) - len(right) :] == right if len(right) <= len(left) else False,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: not left < right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: not left > right,
}


def brute_values(document: dict[str, Any], path: str) -> list[Any]:
    """Written for the test alone: a path by string surgery, no schema."""
    urn = next((name for name in document if path.startswith(f"{name}:")), None)
    found: Any = document[urn] if urn else document
    if path.startswith("urn:") and urn is None:
        return []
    for name in (path.removeprefix(f"{urn}:") if urn else path).split("."):
        if isinstance(found, list):
            found = [one[name] for one in found if name in one]
        else:
            found = found.get(name, []) if isinstance(found, dict) else []
    return found if isinstance(found, list) else [found]


def brute_compare(node: Compare, values: list[Any]) -> bool:
    if node.value is None or isinstance(node.value, bool):
        equal = not values if node.value is None else node.value in values
        return equal if node.operator == "eq" else not equal
    exact = node.ref.path == "externalId"
    wanted = str(node.value) if exact else str(node.value).casefold()
    operator = "eq" if node.operator == "ne" else node.operator
    hit = any(BRUTE[operator](value if exact else value.casefold(), wanted) for value in values)
    return not hit if node.operator == "ne" else hit


def brute(node: Node, document: dict[str, Any]) -> bool:
    if isinstance(node, Compare):
        return brute_compare(node, brute_values(document, node.ref.path))
    if isinstance(node, Present):
        return bool(brute_values(document, node.ref.path))
    if isinstance(node, ValuePath):
        return any(brute(node.inner, {"emails": [one]}) for one in document.get("emails", []))
    if isinstance(node, Not):
        return not brute(node.term, document)
    several = [brute(term, document) for term in node.terms]
    return all(several) if isinstance(node, And) else any(several)


@given(filters, documents)
def test_the_evaluator_agrees_with_brute_truth(node: Node, document: dict[str, Any]) -> None:
    assert matches(node, document) is brute(node, document)


@given(filters.filter(within_limits), documents)
def test_a_filter_means_the_same_after_it_was_printed(node: Node, document: dict[str, Any]) -> None:
    assert matches(parse_filter(to_text(node), USER), document) is matches(node, document)


@given(st.text(max_size=80) | st.text(st.sampled_from(' ()[]"\\.:andortpqev1'), max_size=60))
def test_any_text_is_a_filter_or_a_scim_error(written: str) -> None:
    def outcome() -> str | None:
        try:
            return to_text(parse_filter(written, USER))
        except ScimError as error:
            return error.scim_type

    found = outcome()
    assert found in {"invalidFilter", "tooMany"} or parse_filter(str(found), USER)


def test_instants_compare_as_instants_not_as_text() -> None:
    node = parse_filter(f'{NHI_URN}:expiresAt lt "2030-01-01T00:30:00+01:00"', USER)
    assert matches(node, {NHI_URN: {"expiresAt": "2029-12-31T23:00:00Z"}}) is True
    assert matches(node, {NHI_URN: {"expiresAt": "2029-12-31T23:45:00Z"}}) is False
