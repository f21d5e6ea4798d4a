"""Any filter of the grammar means in the database what another implementation says that it means on the same resources.

The other is scim2-models: its own parser, its own evaluator, on models that it makes from our /Schemas.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import ScimFilter

from provisioning.scim.metadata.catalogue import NHI_URN
from tests.factories.scim import SEARCH_URN
from tests.laws.world import POLICY, WORDS, as_model, everything, law, models

if TYPE_CHECKING:
    from tests.factories.scim import Idp

pytestmark = [pytest.mark.law, pytest.mark.django_db]

# What the server refuses to be asked: no row and no index knows it. Each must be a 400, and never an answer.
UNDECIDED = {
    "meta.location": "made from the address of the request",
    "meta.version": "made from rows of several tables",
    "groups.$ref": "made from the address of the request",
    "members.$ref": "made from the address of the request",
    f"{NHI_URN}:pending": "the state of a plan of ours",
}
# Where both are right.
DIFFERENT = {
    "password": "we never answer by a secret; the other one has it as an attribute like any other",
    f"{NHI_URN}:kind": "we say that whoever names no kind is a person; to the other one it is absent",
}
PLAIN = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
OPERATORS = {
    "string": PLAIN, "reference": PLAIN, "boolean": ("eq", "ne"), "binary": ("eq", "ne"),
    "dateTime": ("eq", "ne", "gt", "ge", "lt", "le"), "integer": ("eq", "ne", "gt", "ge", "lt", "le"),
    "decimal": ("eq", "ne", "gt", "ge", "lt", "le"),
}  # fmt: skip
INSTANTS = [
    "2028-01-01T00:00:00.5Z", "2028-01-01T01:00:00Z", "2028-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
    "2028-01-01T03:00:00.0000000+02:00", "2027-12-31T23:59:59.9999999Z", "9999-12-31T00:00:00Z",
]  # fmt: skip
REFERENCES = ["https://a.example/a", "https://a.example/A", "urn:x:y"]
# Of every resource type, beside what its schema says.
COMMON = [
    {"name": "id", "type": "string", "caseExact": True, "multiValued": False},
    {"name": "externalId", "type": "string", "caseExact": True, "multiValued": False},
    {"name": "meta", "type": "complex", "multiValued": False, "subAttributes": [
        {"name": "resourceType", "type": "string", "multiValued": False},
        {"name": "created", "type": "dateTime", "multiValued": False},
        {"name": "lastModified", "type": "dateTime", "multiValued": False},
    ]},
]  # fmt: skip


class Grammar:
    """Filters of one resource type, drawn from its schemas and from the values that its resources have."""

    def __init__(self, idp: Idp, kind: dict[str, Any]) -> None:
        schemas = {one["id"]: one for one in idp.get("/Schemas")["Resources"]}
        self.attributes = [("", one) for one in [*COMMON, *schemas[kind["schema"]]["attributes"]]]
        for extension in kind.get("schemaExtensions", []):
            urn = extension["schema"]
            self.attributes += [(f"{urn}:", one) for one in schemas[urn]["attributes"]]
        self.core = kind["schema"]
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', str(everything(idp, kind["endpoint"])).replace("'", '"'))
        self.words = [
            *WORDS,
            "https://a.example/a",
            *sorted({text for text in texts if re.fullmatch(r"[0-9a-f-]{36}", text)})[:6],
            "User",
        ]

    def _is_left_out(self, path: str) -> bool:
        return any(path.lower().startswith(one.lower()) for one in (*UNDECIDED, *DIFFERENT))

    def spelled(self, draw: Any, path: str) -> str:
        """A path in some case, with or without the URN of the core schema."""
        text = path if ":" in path else draw(st.sampled_from([path, path, f"{self.core}:{path}"]))
        return str(draw(st.sampled_from([text, text.upper(), text.lower()])))

    def operation(self, draw: Any, path: str, attribute: dict[str, Any], *, several: bool) -> str:
        kind = attribute["type"]
        if kind == "complex" or draw(st.integers(0, 7)) == 0:
            return f"{path} {draw(st.sampled_from(['pr', 'PR']))}"
        operator = draw(st.sampled_from(OPERATORS[kind]))
        if kind == "boolean":
            value = draw(st.sampled_from(["true", "false"]))
        elif kind == "dateTime":
            value = f'"{draw(st.sampled_from(INSTANTS))}"'
        elif kind in {"integer", "decimal"}:
            value = str(draw(st.integers(-3, 5)))
        elif kind == "binary":
            value = draw(st.sampled_from(['"YQ=="', '"YWI="', '"Yg=="']))
        else:
            # A reference is compared with references.
            word = draw(st.sampled_from(REFERENCES if kind == "reference" else self.words))
            value = '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
            if draw(st.integers(0, 5)) == 0:
                value = value.replace("a", "\\u0061")
        # To the other one `emails.type eq null` means that any address has no type, to us that none has one.
        if operator in {"eq", "ne"} and not several and draw(st.integers(0, 9)) == 0:
            value = "null"
        return f"{path} {draw(st.sampled_from([operator, operator.upper()]))} {value}"

    def one(self, draw: Any) -> str:
        urn, attribute = draw(
            st.sampled_from(
                [pair for pair in self.attributes if not self._is_left_out("".join((pair[0], pair[1]["name"])))]
            )
        )
        path = f"{urn}{attribute['name']}"
        subs = [one for one in attribute.get("subAttributes", []) if not self._is_left_out(f"{path}.{one['name']}")]
        if not subs:
            return self.operation(draw, self.spelled(draw, path), attribute, several=attribute["multiValued"])
        if attribute["multiValued"] and draw(st.booleans()):
            return f"{self.spelled(draw, path)}[{self.within(draw, subs, 2)}]"
        if draw(st.integers(0, 5)) == 0:
            return f"{self.spelled(draw, path)} pr"
        sub = draw(st.sampled_from(subs))
        return self.operation(draw, self.spelled(draw, f"{path}.{sub['name']}"), sub, several=attribute["multiValued"])

    def within(self, draw: Any, subs: list[dict[str, Any]], depth: int) -> str:
        if depth == 0 or draw(st.integers(0, 2)) == 0:
            sub = draw(st.sampled_from(subs))
            return self.operation(draw, sub["name"], sub, several=False)
        return self._joined(draw, lambda: self.within(draw, subs, depth - 1))

    def whole(self, draw: Any, depth: int) -> str:
        if depth == 0 or draw(st.integers(0, 3)) == 0:
            return self.one(draw)
        return self._joined(draw, lambda: self.whole(draw, depth - 1))

    def _joined(self, draw: Any, term: Any) -> str:
        match draw(st.sampled_from(["and", "or", "not", "brackets", "both"])):
            case "not":
                return f"not ({term()})"
            case "brackets":
                return f"({term()}) and ({term()})"
            case "both":
                return f"{term()} or {term()} AND {term()}"
            case word:
                return f"{term()} {word} {term()}"


@pytest.mark.parametrize("name", ["User", "Group"])
def test_a_filter_finds_whom_another_implementation_finds(filled: Idp, name: str) -> None:
    kind = next(one for one in filled.get("/ResourceTypes")["Resources"] if one["name"] == name)
    grammar, model = Grammar(filled, kind), models(filled)[name]
    resources = [(one["id"], as_model(model, one)) for one in everything(filled, kind["endpoint"])]

    @law(200 if name == "User" else 100)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        written = grammar.whole(data.draw, 3)
        if len(written.encode()) > 4000:
            return
        with POLICY:
            wanted = ScimFilter[model](written)  # type: ignore[valid-type]  # the model is made at run time
            expected = [one for one, resource in resources if wanted.match(resource)]
        answer = filled.post(f"{kind['endpoint']}/.search", {"schemas": [SEARCH_URN], "filter": written, "count": 100})
        assert answer.status == 200, (written, answer)
        assert [one["id"] for one in answer["Resources"]] == expected, written
        assert answer["totalResults"] == len(expected)

    holds()


def test_what_is_not_decided_is_refused_and_never_answered(filled: Idp) -> None:
    for path in UNDECIDED:
        endpoint = "/Groups" if path.startswith("members") else "/Users"
        sub = ".state" if path.endswith("pending") else ""
        written = f'{path}{sub} eq "x" or id pr'
        answer = filled.get(f"{endpoint}?filter={quote(written)}")
        assert (answer.status, answer["scimType"]) == (400, "invalidFilter"), path
