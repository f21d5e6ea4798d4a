"""A filter read by recursive descent: grouping, then not, then and, then or (RFC 7644 section 3.4.2.2, figure 1).

Attribute names and operators in any case. Beyond the RFC: `emails[type eq "work"].value eq "x"`, which Entra
documents, means that one and the same e-mail is of type work and has the value x.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from provisioning.scim.errors import invalid_filter, quoted, too_many
from provisioning.scim.filters.checks import comparison, readable
from provisioning.scim.filters.lexer import Token, TokenKind, literal, malformed, tokens
from provisioning.scim.filters.nodes import (
    OPERATORS,
    And,
    Compare,
    Constant,
    Node,
    Not,
    Operator,
    Or,
    Present,
    ValuePath,
)
from provisioning.scim.metadata.schema import Attribute, Ref, ResourceType
from provisioning.scim.parsing.notes import Notes

MAX_TERMS = 64
MAX_DEPTH = 32


def parse_filter(
    text: str, resource_type: ResourceType, notes: Notes | None = None, *, beside: Sequence[ResourceType] = ()
) -> Node:
    """The filter as nodes that are checked against the schema.

    Raises invalidFilter for what is malformed, unknown, wrongly typed, over 4 KiB or nested over 32 levels, and
    tooMany over 64 comparisons. `notes` takes what was tolerated. What only a type `beside` this one has is an
    attribute without a value here (RFC 7644 section 3.4.2.1).
    """
    parser = Parser(text, resource_type, [] if notes is None else notes, beside=beside)
    node = parser.expression()
    parser.expect("end", "here it should end")
    return node


class Parser:
    """Reads tokens from left to right; also used for the value filter of a PATCH path."""

    def __init__(
        self, text: str, resource_type: ResourceType, notes: Notes, *, beside: Sequence[ResourceType] = ()
    ) -> None:
        self._tokens = list(tokens(text))
        self._position = 0
        self._resource_type = resource_type
        self._beside = beside
        self._notes = notes
        self._terms = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The token that is next."""
        return self._tokens[self._position]

    def expect(self, kind: TokenKind, expected: str) -> Token:
        """Take the next token if it is of that kind. Raises invalidFilter otherwise."""
        token = self.token
        if token.kind != kind:
            raise malformed(token.at, expected)
        self._position += kind != "end"
        return token

    def expression(self, scope: Ref | None = None) -> Node:
        """A whole filter; within `scope`, names are those of the sub-attributes of one value."""
        terms = [self._conjunction(scope)]
        while self._takes_word("or"):
            terms.append(self._conjunction(scope))
        return Or(terms=tuple(terms)) if len(terms) > 1 else terms[0]

    def attribute(self) -> Ref:
        """An attribute path. Raises invalidFilter if the schema has none of that name."""
        return self._attribute(self._resource_type)

    def _attribute(self, *types: ResourceType) -> Ref:
        token = self.expect("word", "the name of an attribute is expected")
        refs = (one.resolve(token.text) for one in types)
        found = next((ref for ref in refs if ref is not None and ref.attribute is not None), None)
        if found is None:
            raise _unknown(token)
        return found

    def value_filter(self, ref: Ref) -> Node:
        """The filter between square brackets, which come next."""
        self.expect("open_value", "a square bracket is expected")
        if ref.sub is not None or ref.attribute is None or not _has_values(ref.attribute):
            raise invalid_filter(f"{ref.path} has no values to choose from.")
        with_depth = self._deeper(ref)
        self.expect("close_value", "a closing square bracket is expected")
        return with_depth

    def sub_attribute(self, ref: Ref) -> Ref | None:
        """The sub-attribute after a value filter, if one follows."""
        if self.token.kind != "sub":
            return None
        token = self.expect("sub", "")
        sub = ref.attribute.sub(token.text[1:]) if ref.attribute else None
        if sub is None:
            raise _unknown(token)
        return replace(ref, sub=sub)

    def _conjunction(self, scope: Ref | None) -> Node:
        terms = [self._term(scope)]
        while self._takes_word("and"):
            terms.append(self._term(scope))
        return And(terms=tuple(terms)) if len(terms) > 1 else terms[0]

    def _term(self, scope: Ref | None) -> Node:
        if self.token.kind == "open":
            return self._group(scope)
        following = self._tokens[min(self._position + 1, len(self._tokens) - 1)]
        if following.kind == "open" and self._takes_word("not"):
            return Not(term=self._group(scope))
        if scope is None:
            return self._attribute_expression()
        return self._operation(self._scoped(scope))

    def _group(self, scope: Ref | None) -> Node:
        self.expect("open", "a bracket is expected")
        node = self._deeper(scope)
        self.expect("close", "a closing bracket is expected")
        return node

    def _deeper(self, scope: Ref | None) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise invalid_filter(f"The filter is nested more than {MAX_DEPTH} levels deep.")
        node = self.expression(scope)
        self._depth -= 1
        return node

    def _attribute_expression(self) -> Node:
        here = self._resource_type.resolve(self.token.text) if self.token.kind == "word" else None
        node = self._about(self._attribute(self._resource_type, *self._beside))
        return node if here is not None and here.attribute is not None else _without_value(node)

    def _about(self, ref: Ref) -> Node:
        if self.token.kind != "open_value":
            return self._operation(ref)
        inner = self.value_filter(readable(ref))
        sub = self.sub_attribute(ref)
        if sub is None:
            return ValuePath(ref=ref, inner=inner)
        terms = inner.terms if isinstance(inner, And) else (inner,)
        return ValuePath(ref=ref, inner=And(terms=(*terms, self._operation(sub))))

    def _scoped(self, scope: Ref) -> Ref:
        token = self.expect("word", "the name of a sub-attribute is expected")
        attribute = scope.attribute
        sub = attribute.sub(token.text) if attribute else None
        if sub is not None:
            return replace(scope, sub=sub)
        if attribute is not None and attribute.kind != "complex" and token.text.lower() == "value":
            return scope
        raise _unknown(token)

    def _operation(self, ref: Ref) -> Node:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise too_many(f"The filter has more than {MAX_TERMS} comparisons.")
        token = self.expect("word", "an operator is expected")
        operator = token.text.lower()
        if operator == "pr":
            return Present(ref=readable(ref))
        if operator not in OPERATORS:
            raise malformed(token.at, "this is no operator; there are eq ne co sw ew pr gt ge lt le")
        value = literal(self.token)
        self._position += 1
        return comparison(ref, cast("Operator", operator), value, self._notes)

    def _takes_word(self, word: str) -> bool:
        takes = self.token.kind == "word" and self.token.text.lower() == word
        self._position += takes
        return takes


def _without_value(node: Node) -> Constant:
    """What a comparison comes to where the attribute is absent; the same as in `evaluate`."""
    if not isinstance(node, Compare):
        return Constant(value=False)
    return Constant(value=(node.operator == "eq") if node.value is None else (node.operator == "ne"))


def _has_values(attribute: Attribute) -> bool:
    return attribute.multi_valued or attribute.kind == "complex"


def _unknown(token: Token) -> Exception:
    name = quoted(token.text.removeprefix("."))
    return invalid_filter(
        f"There is no attribute {name} to filter by.",
        record=f"There is no such attribute to filter by, at character {token.at}.",
    )
