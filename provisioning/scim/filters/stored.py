"""Filters over what stands only in the stored JSON document, as SQL; never NULL, so that `not` is the complement.

Values are compared one by one, in the form in which `evaluate` compares them: texts folded as Python's `casefold` does
it and in the order of their code points, whatever the database's own locale says, and instants as such. A value path is
an `EXISTS` over the values of its attribute. Everything that a client said is a bound parameter.
"""

import json
from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from typing import Any, ClassVar, assert_never

from django.db.models import BooleanField, CharField, F, Field, Func, Q
from django.db.models.sql.compiler import SQLCompiler

from provisioning.scim.filters.evaluate import comparable
from provisioning.scim.filters.nodes import And, Compare, Constant, Node, Not, Or, Present, ValuePath
from provisioning.scim.metadata.schema import Attribute, Ref

_SYMBOLS = {"eq": "=", "ne": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_PARTS = {"co": "strpos({0}, %s) > 0", "sw": "starts_with({0}, %s)", "ew": "right({0}, char_length(%s)) = %s"}
# ASCII is folded in place; the function is asked for all the rest.
_FOLDED = (
    'CASE WHEN octet_length({0}) = char_length({0}) THEN lower({0} COLLATE "C") ELSE provisioning_casefold({0}) END'
)
_EMPTY = """('""'::jsonb, '{}'::jsonb, 'null'::jsonb)"""


class Folded(Func):
    """A text in the form in which texts are compared that are not `caseExact`."""

    output_field: ClassVar["Field[Any, Any]"] = CharField()

    def as_sql(self, compiler: SQLCompiler, *_more: Any, **_context: Any) -> tuple[str, tuple[Any, ...]]:
        """The folding around a column."""
        return f"({_FOLDED.format(_plain(self.source_expressions[0], compiler))})", ()


class StoredCondition(Func):
    """Whether the JSON column that an ORM look-up leads to satisfies a filter."""

    output_field: ClassVar["Field[Any, Any]"] = BooleanField()

    def __init__(self, node: Node, json_field: str) -> None:
        super().__init__(F(json_field))
        self.node = node

    def as_sql(self, compiler: SQLCompiler, *_more: Any, **_context: Any) -> tuple[str, tuple[Any, ...]]:
        """The condition as SQL."""
        writer = _Writer()
        text = writer.condition(self.node, _plain(self.source_expressions[0], compiler), depth=0)
        return f"({text})", tuple(writer.parameters)


def condition(node: Node, json_field: str) -> Q:
    """The filter as one condition on the JSON column that an ORM look-up leads to."""
    return Q(StoredCondition(node, json_field))


def _plain(expression: Any, compiler: SQLCompiler) -> str:
    """A column's SQL, which is repeated and so must not have parameters."""
    text, parameters = compiler.compile(expression)
    if parameters:
        raise TypeError("only a plain column can be filtered by")
    return text


class _Writer:
    """Writes conditions from left to right, and their parameters in the same order."""

    def __init__(self) -> None:
        self.parameters: list[Any] = []

    def condition(self, node: Node, holder: str, *, depth: int) -> str:
        """The filter on a JSON value: the document, or within a value path (`depth` above 0) one of its values."""
        match node:
            case Compare():
                return self._compare(node, holder, depth=depth)
            case Present():
                return self._any(node.ref, holder, depth, _is_something)
            case ValuePath():
                inner, below = node.inner, depth + 1
                return self._any(node.ref, holder, depth, lambda item: self.condition(inner, item, depth=below))
            case Constant() | Not():
                text = self.condition(node.term, holder, depth=depth) if isinstance(node, Not) else "true"
                return f"NOT ({text})" if isinstance(node, Not) or not node.value else text
            case And() | Or():
                between = " AND " if isinstance(node, And) else " OR "
                return between.join(f"({self.condition(term, holder, depth=depth)})" for term in node.terms)
            case _:
                assert_never(node)

    def _compare(self, node: Compare, holder: str, *, depth: int) -> str:
        if node.value is None:
            present = self._any(node.ref, holder, depth, _is_something)
            return f"NOT {present}" if node.operator == "eq" else present
        found = self._any(node.ref, holder, depth, lambda item: self._test(node, item))
        return f"NOT {found}" if node.operator == "ne" else found

    def _any(self, ref: Ref, holder: str, depth: int, test: Callable[[str], str]) -> str:
        """Whether any of the values at a path passes the test."""
        names, is_many = _steps(ref, inside=depth > 0)
        if not names:
            return f"COALESCE({test(holder)}, false)"
        if not is_many:
            path = _literal("{" + ",".join(json.dumps(name) for name in names) + "}")
            return f"COALESCE({test(f'({holder} #> {path})')}, false)"
        path = "$" + "".join(f".{json.dumps(name)}[*]" for name in names)
        one = f"item{depth}"
        # jsonpath's own lax mode: what is no list counts as a list of one.
        source = f"jsonb_path_query({holder}, {_literal(path)}) AS {one}(value)"
        return f"EXISTS (SELECT 1 FROM {source} WHERE {test(f'{one}.value')})"  # noqa: S608  names of the schema alone

    def _test(self, node: Compare, item: str) -> str:
        leaf = node.ref.leaf
        if leaf is None:
            return "false"
        wanted = comparable(leaf, node.value)
        match leaf.kind:
            case "boolean":
                return self._with(f"{item} = %s::jsonb", json.dumps(wanted))
            case "integer" | "decimal":
                number = f"CASE WHEN jsonb_typeof({item}) = 'number' THEN {item}::numeric END"
                return self._with(f"{number} {_SYMBOLS[node.operator]} %s", Decimal(str(wanted)))
            case "dateTime":
                text = f"provisioning_instant({item} #>> '{{}}')"
                return self._with(f"{text} {_SYMBOLS[node.operator]} %s", wanted.astimezone(UTC).replace(tzinfo=None))
            case _:
                return self._text(node, leaf, f"({item} #>> '{{}}')", wanted)

    def _text(self, node: Compare, leaf: Attribute, text: str, wanted: str) -> str:
        form = text if leaf.case_exact else f"({_FOLDED.format(text)})"
        if node.operator in _PARTS:
            pattern = _PARTS[node.operator]
            return self._with(pattern.format(form), *[wanted] * pattern.count("%s"))
        return self._with(f'{form} COLLATE "C" {_SYMBOLS[node.operator]} %s', wanted)

    def _with(self, text: str, *parameters: Any) -> str:
        self.parameters.extend(parameters)
        return text


def _is_something(item: str) -> str:
    return f"{item} NOT IN {_EMPTY}"


def _steps(ref: Ref, *, inside: bool) -> tuple[list[str], bool]:
    """The names on the way to the values, and whether there can be several of them."""
    names: list[str] = []
    parts = (ref.sub,) if inside else (ref.attribute, ref.sub)
    if not inside and ref.extension is not None:
        names.append(ref.extension.id)
    known = [part for part in parts if part is not None]
    names.extend(part.name for part in known)
    return names, any(part.multi_valued for part in known)


def _literal(text: str) -> str:
    """A name of the schema as SQL; those hold no word of a client."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
