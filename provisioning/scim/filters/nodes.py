"""A filter as frozen values, and its text again."""

import json
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never, get_args

from provisioning.scim.metadata.schema import Ref

Operator = Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
OPERATORS: frozenset[str] = frozenset(get_args(Operator))
Scalar: TypeAlias = str | bool | int | float | None


@dataclass(frozen=True, kw_only=True)
class Compare:
    """`ref` compared with a value, which has the type of the attribute (a dateTime is kept as its text)."""

    ref: Ref
    operator: Operator
    value: Scalar


@dataclass(frozen=True, kw_only=True)
class Present:
    """`ref pr`: it has a value that is not empty."""

    ref: Ref


@dataclass(frozen=True, kw_only=True)
class ValuePath:
    """`ref[inner]`: one and the same value of the attribute satisfies the inner filter."""

    ref: Ref
    inner: "Node"


@dataclass(frozen=True, kw_only=True)
class Constant:
    """True or false of every resource: what a comparison comes to with an attribute that the type does not have."""

    value: bool


@dataclass(frozen=True, kw_only=True)
class Not:
    """The complement of a filter."""

    term: "Node"


@dataclass(frozen=True, kw_only=True)
class And:
    """All of two or more filters."""

    terms: tuple["Node", ...]


@dataclass(frozen=True, kw_only=True)
class Or:
    """Any of two or more filters."""

    terms: tuple["Node", ...]


Node: TypeAlias = Compare | Present | ValuePath | Constant | Not | And | Or


def to_text(node: Node, *, inside: bool = False) -> str:
    """The filter in canonical spelling; parsing it gives an equal node. `inside` a value path, names are relative.

    A `Constant` is spelled as what it is, which no filter can say.
    """
    match node:
        case Compare():
            return f"{_name(node.ref, inside=inside)} {node.operator} {json.dumps(node.value, ensure_ascii=False)}"
        case Present():
            return f"{_name(node.ref, inside=inside)} pr"
        case ValuePath():
            return f"{node.ref.path}[{to_text(node.inner, inside=True)}]"
        case Constant():
            return str(node.value).lower()
        case Not():
            return f"not ({to_text(node.term, inside=inside)})"
        case And() | Or():
            within = (And, Or) if isinstance(node, And) else (Or,)
            between = " and " if isinstance(node, And) else " or "
            return between.join(_grouped(term, within, inside=inside) for term in node.terms)
        case _:
            assert_never(node)


def _grouped(node: Node, kinds: tuple[type[And] | type[Or], ...], *, inside: bool) -> str:
    text = to_text(node, inside=inside)
    return f"({text})" if isinstance(node, kinds) else text


def _name(ref: Ref, *, inside: bool) -> str:
    if not inside:
        return ref.path
    return ref.sub.name if ref.sub else "value"


def eq_terms(node: Node) -> dict[str, Scalar] | None:
    """What a value must be to satisfy a value filter made of `eq` and `and` only; None for any other filter."""
    if isinstance(node, Compare) and node.operator == "eq" and node.ref.sub is not None and node.value is not None:
        return {node.ref.sub.name: node.value}
    if not isinstance(node, And):
        return None
    found: dict[str, Scalar] = {}
    for term in node.terms:
        terms = eq_terms(term)
        if terms is None or any(found.get(name, value) != value for name, value in terms.items()):
            return None
        found.update(terms)
    return found
