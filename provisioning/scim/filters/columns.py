"""Where the values of an attribute are found, if not in the stored document alone, and a comparison there as a `Q`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from django.db.models import BooleanField, CharField, F, Func, Q, Value
from django.db.models.functions import Cast, Collate, StrIndex
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from provisioning.changes import fold, user_name_key
from provisioning.scim.errors import ScimError, invalid_filter
from provisioning.scim.filters.evaluate import compares
from provisioning.scim.filters.nodes import Compare, Operator, Present, Scalar
from provisioning.scim.filters.stored import Folded
from provisioning.scim.metadata.schema import Ref
from provisioning.scim.parsing.members import read_id
from provisioning.scim.parsing.values import read_instant

ColumnKind = Literal["string", "boolean", "integer", "dateTime", "uuid"]

_PARTIAL = frozenset({"co", "sw", "ew"})
_ORDER: Mapping[Operator, tuple[str, Any]] = {
    "gt": ("gt", GreaterThan),
    "ge": ("gte", GreaterThanOrEqual),
    "lt": ("lt", LessThan),
    "le": ("lte", LessThanOrEqual),
}
_MILLISECOND = timedelta(milliseconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - 2 * _MILLISECOND


@dataclass(frozen=True, kw_only=True)
class Column:
    """Where the values of an attribute are: an ORM look-up without its operator, such as `account__email`.

    `normalise` turns a value into the form that the column holds (`user_name_key` for a key column), `partial` does so
    for a piece of a value, which must keep its blanks; without them the attribute's `caseExact` decides whether texts
    are folded. `narrow` adds to an `eq` a condition that follows from it and that an index decides. `milliseconds`
    says that instants are answered no finer than that. `custom` decides comparisons (also `pr`, then with None) itself
    where no look-up can; its `Q` must be the complement for `ne`. An empty text counts as absent.
    """

    lookup: str
    kind: ColumnKind = "string"
    normalise: Callable[[str], str] | None = None
    partial: Callable[[str], str] | None = None
    narrow: Callable[[Any], Q] | None = None
    milliseconds: bool = False
    custom: Callable[[str, Scalar], Q] | None = None


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A value in the document of which an index knows something: `narrow` is what follows for a value that is equal."""

    narrow: Callable[[str], Q | None]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A multi-valued attribute whose values are rows of another table.

    `having` is the condition that one row, and the same, meets a `Q`; `inner` says where its sub-attributes are, by
    their whole path.
    """

    having: Callable[[Q], Q]
    inner: Mapping[str, Column]


@dataclass(frozen=True, kw_only=True)
class Words:
    """A multi-valued attribute whose values are a few known words, each there under a condition."""

    present: Mapping[str, Q]


Place: TypeAlias = Column | Stored | Rows | Words


def key_column(lookup: str) -> Column:
    """A string column that holds `user_name_key` of the values."""
    return Column(lookup=lookup, normalise=user_name_key, partial=fold)


def fixed_column(value: str) -> Column:
    """A column of which every row has the same value, in any case."""

    def decide(operator: str, wanted: Scalar) -> Q:
        if operator == "pr" or wanted is None:
            return every() if operator != "eq" else ~every()
        found = compares("eq" if operator == "ne" else operator, value.casefold(), str(wanted).casefold())
        return every() if found != (operator == "ne") else ~every()

    return Column(lookup="pk", custom=decide)


def every() -> Q:
    """The condition that each row meets."""
    return Q(pk__isnull=False)


def nothing(lookup: str) -> Q:
    """The condition that no row meets."""
    return Q(**{f"{lookup}__in": []})


def decided(node: Compare | Present, column: Column) -> Q:
    """What a comparison comes to in a column. Raises invalidFilter for one that can't be."""
    if isinstance(node, Present):
        return column.custom("pr", None) if column.custom else _is_present(column)
    if column.custom is not None:
        return column.custom(node.operator, node.value)
    if node.value is None:
        present = _is_present(column)
        return present if node.operator == "ne" else ~present
    if node.operator in {"eq", "ne"}:
        equal = _equal(node, column)
        return ~equal if node.operator == "ne" else equal
    return _other(node, column)


def _is_present(column: Column) -> Q:
    present = Q(**{f"{column.lookup}__isnull": False})
    return present & ~Q(**{column.lookup: ""}) if column.kind == "string" else present


def _equal(node: Compare, column: Column) -> Q:
    if column.kind == "dateTime":
        return _at(_instant(node), node.operator, column)
    value = _typed(node, column, column.normalise)
    if value in {None, ""}:
        return nothing(column.lookup)
    if column.kind == "string" and column.normalise is None and not _case_exact(node.ref):
        return Q(Exact(Folded(F(column.lookup)), Value(str(value).casefold())))
    equal = Q(**{f"{column.lookup}__exact": value})
    return equal & column.narrow(value) if column.narrow is not None and node.operator == "eq" else equal


def _other(node: Compare, column: Column) -> Q:
    if column.kind == "boolean" or (node.operator in _PARTIAL and column.kind in {"dateTime", "integer"}):
        raise invalid_filter(f"{node.ref.path} can't be compared by {node.operator}.")
    if column.kind == "dateTime":
        return _at(_instant(node), node.operator, column)
    if column.kind == "integer":
        return Q(**{f"{column.lookup}__{_ORDER[node.operator][0]}": node.value})
    return _text(node, column) & _is_present(column)


def _text(node: Compare, column: Column) -> Q:
    """A piece of a text, or its place in the order of code points. An empty text stands for an absent value."""
    form: Any = F(column.lookup)
    if column.kind == "uuid":
        form = Cast(form, CharField())
    elif column.normalise is None and not _case_exact(node.ref):
        form = Folded(form)
    wanted = _wanted_text(node, column)
    match node.operator:
        case "sw":
            # Not LIKE: under row-level security an index serves only what is leakproof.
            return Q(Func(form, Value(wanted), function="starts_with", output_field=BooleanField()))
        case "co":
            return Q(GreaterThan(StrIndex(form, Value(wanted)), 0))
        case "ew":
            tail = Func(form, Value(len(wanted)), function="right", output_field=CharField())
            return Q(Exact(tail, Value(wanted)))
        case _:
            return Q(_ORDER[node.operator][1](Collate(form, "C"), Value(wanted)))


def _wanted_text(node: Compare, column: Column) -> str:
    text = str(node.value)
    normalise = column.normalise
    if node.operator in _PARTIAL and column.partial is not None:
        normalise = column.partial
    if normalise is not None:
        return normalise(text)
    return text if _case_exact(node.ref) or column.kind == "uuid" else text.casefold()


def _case_exact(ref: Ref) -> bool:
    return ref.leaf is not None and ref.leaf.case_exact


def _typed(node: Compare, column: Column, normalise: Callable[[str], str] | None) -> Any:
    """The value as the column has it; None if no value of the column can be equal to it."""
    if column.kind == "uuid":
        return _uuid(node.value)
    return normalise(str(node.value)) if normalise else node.value


def _uuid(value: Scalar) -> UUID | None:
    """Ids are `caseExact`: only as we write them."""
    try:
        found = read_id(value, at="id")
    except ScimError:
        return None
    return found if str(found) == value else None


def _instant(node: Compare) -> datetime:
    instant = read_instant(str(node.value), default_zone="+00:00")
    if instant is None:
        raise invalid_filter(f"{node.ref.path} can be compared with a dateTime only.")
    return instant


def _at(wanted: datetime, operator: Operator, column: Column) -> Q:
    """An instant compared as it is answered: where that is in milliseconds, one stands for all that begin with it."""

    def when(look_up: str, value: datetime) -> Q:
        return Q(**{f"{column.lookup}__{look_up}": value})

    if not column.milliseconds:
        return when("exact" if operator in {"eq", "ne"} else _ORDER[operator][0], wanted)
    start = min(wanted.replace(microsecond=wanted.microsecond // 1000 * 1000), _LATEST)
    end = start + _MILLISECOND
    from_here = wanted if start == wanted else end
    match operator:
        case "eq" | "ne":
            return when("gte", start) & when("lt", end) if start == wanted else nothing(column.lookup)
        case "gt":
            return when("gte", end)
        case "ge":
            return when("gte", from_here)
        case "lt":
            return when("lt", from_here)
        case _:
            return when("lt", end)
