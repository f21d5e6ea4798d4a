"""A bulk request read, and the order in which its operations can be done (RFC 7644 section 3.7). Pure: no database."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from provisioning.scim.errors import ScimError, invalid_syntax, invalid_value, too_large
from provisioning.scim.metadata.discovery import MAX_OPERATIONS
from provisioning.scim.parsing.values import by_name, demand_message

BULK_REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
BULK_RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_BULK_ID = 200
_PREFIX = "bulkId:"
_PATH = re.compile(r"/(?P<endpoint>[A-Za-z]+)(?:/(?P<id>[^/?#\s]+))?")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation as it was sent. `refused` says what is wrong with it by itself; then it is answered and not done."""

    index: int
    method: str = ""
    endpoint: str = ""
    id: str | None = None
    bulk_id: str | None = None
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    refused: ScimError | None = None

    @property
    def refers_to(self) -> frozenset[str]:
        """The bulkIds of other operations that its address or its data names."""
        named = set(_references(self.data))
        if self.id is not None and self.id.startswith(_PREFIX):
            named.add(self.id.removeprefix(_PREFIX))
        return frozenset(named)

    def resolved(self, ids: Mapping[str, str]) -> "Operation":
        """The same with ids in the place of the bulkIds that are known."""
        target = self.id
        if target is not None and target.startswith(_PREFIX):
            target = ids.get(target.removeprefix(_PREFIX), target)
        return replace(self, id=target, data=_replaced(self.data, ids))

    def without(self, unknown: frozenset[str]) -> "Operation":
        """The same without the values that name one of these bulkIds."""
        return replace(self, data=_pruned(self.data, unknown))


@dataclass(frozen=True, kw_only=True)
class BulkRequest:
    """The operations, and after how many failures to stop (None: never)."""

    operations: tuple[Operation, ...]
    fail_on_errors: int | None = None


def read_bulk(body: Mapping[str, Any]) -> BulkRequest:
    """The request in a body. What is wrong with one operation is an answer to that one.

    Raises invalidSyntax for another message, invalidValue for failOnErrors that is no positive number, and 413 over
    1,000 operations, naming the limit.
    """
    given = by_name(body)
    demand_message(given.get("schemas"), BULK_REQUEST_URN)
    listed = given.get("operations")
    if not isinstance(listed, list):
        raise invalid_syntax("Operations must be a list.")
    if len(listed) > MAX_OPERATIONS:
        raise too_large(f"A bulk request has at most {MAX_OPERATIONS} operations (maxOperations).")
    limit = given.get("failonerrors")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise invalid_value("failOnErrors must be a whole number above 0.")
    operations = tuple(_read(one, index) for index, one in enumerate(listed))
    return BulkRequest(operations=_once(operations), fail_on_errors=limit)


def _read(sent: Any, index: int) -> Operation:
    if not isinstance(sent, Mapping):
        return Operation(index=index, refused=invalid_syntax("An operation must be an object."))
    try:
        given = by_name(sent)
        bulk_id = _text(given, "bulkid", most=MAX_BULK_ID)
        method = (_text(given, "method") or "").upper()
    except ScimError as error:
        return Operation(index=index, refused=error)
    read = Operation(index=index, method=method if method in METHODS else "", bulk_id=bulk_id)
    try:
        return _address_and_data(read, given)
    except ScimError as error:
        return replace(read, refused=error)


def _address_and_data(read: Operation, given: Mapping[str, Any]) -> Operation:
    if not read.method:
        raise invalid_syntax("method must be POST, PUT, PATCH or DELETE.")
    address = _PATH.fullmatch(_text(given, "path") or "")
    if address is None:
        raise invalid_value("path must be that of an endpoint or a resource, relative to the base.")
    if (read.method == "POST") != (address["id"] is None):
        raise invalid_value("POST needs the path of an endpoint, every other method that of a resource.")
    if read.method == "POST" and not read.bulk_id:
        raise invalid_value("POST needs a bulkId.")
    data = given.get("data", {})
    if read.method != "DELETE" and (not isinstance(data, Mapping) or "data" not in given):
        raise invalid_syntax("data must be an object.")
    version = _text(given, "version")
    data = data if read.method != "DELETE" else {}
    return replace(read, endpoint=address["endpoint"], id=address["id"], version=version, data=data)


def _text(given: Mapping[str, Any], name: str, *, most: int = 1024) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most:
        raise invalid_syntax(f"{name} must be a text of at most {most} characters.")
    return value


def _once(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    seen: set[str] = set()
    found: list[Operation] = []
    for one in operations:
        if one.bulk_id and one.bulk_id in seen:
            found.append(replace(one, refused=invalid_value("Another operation has this bulkId.")))
        else:
            found.append(one)
        seen |= {one.bulk_id} if one.bulk_id else set()
    return tuple(found)


def next_operation(pending: Sequence[Operation], *, open_ids: frozenset[str]) -> tuple[Operation, frozenset[str]]:
    """Which of the operations to do next, and the bulkIds that it must be done without.

    `open_ids` are the bulkIds that are still to come. In the order that they were sent, but what refers to a later one
    waits for it; where they wait for each other, the first that makes something is made without those references.
    """
    for one in pending:
        if not one.refers_to & open_ids:
            return one, frozenset()
    first = next((one for one in pending if one.method == "POST"), pending[0])
    return first, first.refers_to & open_ids


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(_PREFIX):
            yield value.removeprefix(_PREFIX)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _replaced(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ids.get(value.removeprefix(_PREFIX), value) if value.startswith(_PREFIX) else value
    if isinstance(value, Mapping):
        return {name: _replaced(inner, ids) for name, inner in value.items()}
    return [_replaced(inner, ids) for inner in value] if isinstance(value, list) else value


def _pruned(value: Any, unknown: frozenset[str]) -> Any:
    """The value without what refers to an unknown: the whole entry of a list, or the one attribute."""
    if isinstance(value, Mapping):
        return {name: _pruned(inner, unknown) for name, inner in value.items() if not _names(inner, unknown)}
    if isinstance(value, list):
        return [_pruned(inner, unknown) for inner in value if unknown.isdisjoint(_references(inner))]
    return value


def _names(value: Any, unknown: frozenset[str]) -> bool:
    return isinstance(value, str) and not unknown.isdisjoint(_references(value))
