r"""Filters over what stands only in the stored JSON document, as PostgreSQL's jsonpath.

`jsonb @>` compares case-exactly; nearly all SCIM strings do not. So a case-insensitive comparison is `like_regex` with
the flag `i`, anchored and with every special character escaped, and a value path is `exists(… ? (…))` on one element.
Values reach the database as one bound parameter; inside it they are quoted as JSON strings, which jsonpath reads alike.
"""

import json
import re
from typing import assert_never

from django.db.models import BooleanField, F, Func, Q, Value

from provisioning.scim.errors import invalid_filter
from provisioning.scim.filters.nodes import And, Compare, Constant, Node, Not, Or, Present, ValuePath
from provisioning.scim.metadata.schema import Ref

# ASCII punctuation only: PostgreSQL refuses a backslash before a letter of any alphabet.
_SPECIAL = re.compile(r"([!-/:-@\[-^`{-~])")
_ANCHORS = {"eq": ("^", "$"), "ne": ("^", "$"), "co": ("", ""), "sw": ("^", ""), "ew": ("", "$")}
_SYMBOLS = {"eq": "==", "ne": "==", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class JsonPathExists(Func):
    """`jsonb_path_exists(document, path)`: a condition for `Q`. A path that does not fit the document is false."""

    function = "jsonb_path_exists"
    template = "%(function)s(%(expressions)s::jsonpath, '{}', true)"
    output_field = BooleanField()


def condition(node: Node, json_field: str) -> Q:
    """The filter as one condition on the JSON column that an ORM look-up leads to.

    Raises invalidFilter for an order of case-insensitive strings or of instants, which jsonpath can't decide.
    """
    return Q(JsonPathExists(F(json_field), Value(f"$ ? ({predicate(node)})")))


def predicate(node: Node, *, inside: bool = False) -> str:
    """The filter as a jsonpath predicate on `@`: the document, or `inside` a value path the one value."""
    match node:
        case Compare():
            return _compare(node, _path(node.ref, inside=inside))
        case Present():
            return f"exists({_path(node.ref, inside=inside)})"
        case ValuePath():
            return f"exists({_path(node.ref, inside=inside)}[*] ? ({predicate(node.inner, inside=True)}))"
        case Constant():
            return f"1 == {int(node.value)}"
        case Not():
            return f"!({predicate(node.term, inside=inside)})"
        case And() | Or():
            between = " && " if isinstance(node, And) else " || "
            return between.join(f"({predicate(term, inside=inside)})" for term in node.terms)
        case _:
            assert_never(node)


def _path(ref: Ref, *, inside: bool) -> str:
    names: list[str] = []
    if not inside:
        names.extend([ref.extension.id] if ref.extension else [])
        names.extend([ref.attribute.name] if ref.attribute else [])
    if ref.sub is not None:
        names.append(ref.sub.name)
    return "@" + "".join(f".{json.dumps(name)}" for name in names)


def _compare(node: Compare, path: str) -> str:
    if node.value is None:
        return f"!exists({path})" if node.operator == "eq" else f"exists({path})"
    leaf = node.ref.leaf
    folds = leaf is not None and isinstance(node.value, str) and not leaf.case_exact
    if leaf is None or leaf.kind == "dateTime" or (folds and node.operator not in _ANCHORS):
        raise invalid_filter(f"{node.ref.path} can't be compared by {node.operator} here.")
    if folds or node.operator not in _SYMBOLS:
        test = _like(path, node, flag="i" if folds else "")
    else:
        test = f"{path} {_SYMBOLS[node.operator]} {json.dumps(node.value, ensure_ascii=False)}"
    return f"!({test})" if node.operator == "ne" else test


def _like(path: str, node: Compare, *, flag: str) -> str:
    start, end = _ANCHORS[node.operator]
    literal = _SPECIAL.sub(r"\\\1", str(node.value))
    pattern = json.dumps(f"{start}{literal}{end}", ensure_ascii=False)
    return f'{path} like_regex {pattern} flag "{flag}"' if flag else f"{path} like_regex {pattern}"
