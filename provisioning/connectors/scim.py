"""Floor: provisioning. Question: what does one SCIM server say about its users and groups (RFC 7644)?

Reads page by page and believes nothing: an answer that is not what the RFC asks for ends the reading with `BadAnswer`.
A page never holds more than was asked for, and no more than one page is held. What only a whole reading can prove (a
steady total, no id twice) is not judged here: pages show it to whoever keeps the books.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from provisioning.connectors.addresses import EgressError
from provisioning.connectors.egress import Answer, Client
from provisioning.connectors.readings import BadAnswer, GroupReading, Reading, attribute, references, strict_json

__all__ = ["BadAnswer", "BusyError", "Directory", "GroupReading", "Page", "Reading", "ResourceType"]

ResourceType = Literal["Users", "Groups"]

_LIST = "urn:ietf:params:scim:api:messages:2.0:listresponse"
_ERROR = "urn:ietf:params:scim:api:messages:2.0:error"
# attrPath of RFC 7644, figure 1, without sub-attributes, whose comparison could not be checked afterwards.
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_CASE_EXACT = frozenset({"id", "externalid"})
_MOST_FOUND = 100
_TRIES = 6
_DAY = 86_400.0
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_WORDS = {
    401: "the token is not accepted",
    403: "the token may not read this",
    404: "there is no such endpoint below the base URL",
}


class BusyError(EgressError):
    """The server asks for more patience than one call has; `retry_after` is how long it asked for last, in seconds."""

    def __init__(self, reason: str, *, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list (RFC 7644, 3.4.2.4). `start_index` counts from 1.

    `items_per_page` is how many resources are really here; servers also write there how many were asked for. The next
    page begins at `start_index + items_per_page`.
    """

    start_index: int
    items_per_page: int
    total_results: int
    resources: tuple[Mapping[str, Any], ...]


class Directory:
    """One SCIM server, read through one client. Keeps no state, so threads may share it.

    Where the server answers 429 or 503, a call waits as long as Retry-After says (or 1, 2, 4… seconds where it says
    nothing), together at most `max_wait_seconds`, then raises `BusyError`. All methods raise `EgressError`s.
    """

    def __init__(
        self, client: Client, *, sleep: Callable[[float], None] = time.sleep, max_wait_seconds: float = 60.0
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._max_wait = max_wait_seconds

    def offers(self, resource_type: ResourceType) -> bool | None:
        """Whether the server says that it has such resources (RFC 7643, 6); None where it says nothing to rely on."""
        try:
            document = self._object(self._get("/ResourceTypes", {}))
            _check_schema(document, _LIST, "A list")
            total = _whole_number(document, "totalResults")
            offered = attribute(document, "Resources")
            if not isinstance(offered, list) or total != len(offered):
                return None
            endpoints = [attribute(one, "endpoint") for one in offered if isinstance(one, dict)]
        except BadAnswer:
            return None
        # Relative to the base URL (RFC 7643, 6); some servers write the whole address.
        return any(isinstance(one, str) and one.rstrip("/").rpartition("/")[2] == resource_type for one in endpoints)

    def pages(
        self,
        resource_type: ResourceType,
        *,
        count: int = 100,
        start_index: int = 1,
        attributes: tuple[str, ...] | None = None,
    ) -> Iterator[Page]:
        """Read all resources, page by page, from `start_index` on; ends with the page that reaches the total.

        The total is believed anew on each page, since accounts come and go meanwhile. A page before the end that is
        empty is a `BadAnswer`, never the end. `attributes` limits what is sent (RFC 7644, 3.4.2.5).
        """
        if count < 1 or start_index < 1:
            message = "count and start_index begin at 1."
            raise ValueError(message)
        more = {"attributes": ",".join(attributes)} if attributes else {}
        yield from self._listed(resource_type, start_index=start_index, count=count, more=more)

    def changes(self, resource_type: ResourceType, *, since: datetime, count: int = 100) -> Iterator[Page]:
        """Read what says of itself that it was changed at `since` or later, page by page, oldest first where it sorts.

        `since` counts in milliseconds. Whether the server obeyed is for the caller to check: each resource says when.
        """
        text = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        more = {"filter": f'meta.lastModified ge "{text}"', "sortBy": "meta.lastModified", "sortOrder": "ascending"}
        yield from self._listed(resource_type, start_index=1, count=count, more=more)

    def get(self, resource_type: ResourceType, resource_id: str) -> Mapping[str, Any] | None:
        """Read one resource by its id; None where the server says that there is none.

        Only a 404 that carries a SCIM error (RFC 7644, 3.12) says so. A bare one may come from a proxy before the
        server, and an absence must be proved: it is a `BadAnswer`.
        """
        if not resource_id:
            message = "Without an id the server would be asked for the whole list."
            raise ValueError(message)
        answer = self._get(f"/{resource_type}/{quote(resource_id, safe='')}", {})
        if answer.status == HTTPStatus.NOT_FOUND:
            error = _parsed(answer, "A 404 answer that should carry a SCIM error")
            _check_schema(error, _ERROR, "A 404 answer")
            return None
        resource = self._resource(self._object(answer))
        if attribute(resource, "id") != resource_id:
            raise BadAnswer("The directory answered with another resource than the one that was asked for.")
        return resource

    def find(self, resource_type: ResourceType, name: str, value: str) -> tuple[Mapping[str, Any], ...]:
        """Return the resources whose attribute equals a value, by filter (RFC 7644, 3.4.2.2).

        `name` is an attribute without sub-attribute. Each result is checked, since a server that ignores the filter
        would name the wrong person: that, and more than 100 results, is a `BadAnswer`.
        """
        if not _ATTRIBUTE.fullmatch(name):
            message = "A filter needs the plain name of an attribute."
            raise ValueError(message)
        # JSON's own escapes; other characters as they are, since not every filter parser knows \u.
        text = json.dumps(value, ensure_ascii=False)
        page = self._page(resource_type, start_index=1, count=_MOST_FOUND, more={"filter": f"{name} eq {text}"})
        if page.total_results > page.items_per_page:
            raise BadAnswer(f"More than {page.items_per_page} resources answer to a filter that should name one.")
        for resource in page.resources:
            if not _equal(name, attribute(resource, name), value):
                raise BadAnswer(f"The directory ignored the filter on {name}: a result has another value.")
        return page.resources

    def _listed(
        self, resource_type: ResourceType, *, start_index: int, count: int, more: Mapping[str, str]
    ) -> Iterator[Page]:
        while True:
            page = self._page(resource_type, start_index=start_index, count=count, more=more)
            yield page
            start_index += page.items_per_page
            if start_index > page.total_results:
                return

    def _page(self, resource_type: ResourceType, *, start_index: int, count: int, more: Mapping[str, str]) -> Page:
        params = {"startIndex": str(start_index), "count": str(count), **more}
        document = self._object(self._get(f"/{resource_type}", params))
        _check_schema(document, _LIST, "A list")
        total = _whole_number(document, "totalResults")
        if total is None:
            raise BadAnswer("A list has no totalResults.")
        resources = self._resources(document)
        _whole_number(document, "itemsPerPage")
        if _whole_number(document, "startIndex") not in {None, start_index}:
            raise BadAnswer(f"A list begins at another startIndex than the {start_index} that was asked for.")
        if len(resources) > count:
            raise BadAnswer(f"A list has {len(resources)} resources where at most {count} were asked for.")
        if not resources and start_index <= total:
            raise BadAnswer(f"A list of {total} resources is empty at {start_index}, before its end.")
        if resources and start_index + len(resources) - 1 > total:
            raise BadAnswer(f"A list has more resources than its totalResults of {total} says.")
        return Page(start_index=start_index, items_per_page=len(resources), total_results=total, resources=resources)

    def _resources(self, document: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        resources = attribute(document, "Resources")
        if resources is None:
            return ()
        if not isinstance(resources, list):
            raise BadAnswer("A list's Resources are not a list.")
        return tuple(self._resource(resource) for resource in resources)

    def _resource(self, resource: object) -> Mapping[str, Any]:
        if not isinstance(resource, dict):
            raise BadAnswer("A resource is not an object.")
        identifier = attribute(resource, "id")
        if not isinstance(identifier, str) or not identifier:
            raise BadAnswer("A resource has no id that is a string.")
        for reference in references(resource):
            self._client.check_reference(reference)
        return resource

    def _object(self, answer: Answer) -> Mapping[str, Any]:
        if answer.status != HTTPStatus.OK:
            words = _WORDS.get(answer.status, "a reading should be answered with 200")
            raise BadAnswer(f"{self._client.origin.url} answered {answer.status}: {words}.", status=answer.status)
        return _parsed(answer, "An answer")

    def _get(self, path: str, params: Mapping[str, str]) -> Answer:
        waited = 0.0
        asked = 0.0
        for attempt in range(_TRIES):
            answer = self._client.get(path, params=params)
            if answer.status not in _BUSY:
                return answer
            asked = _retry_after(answer, otherwise=2.0**attempt)
            if waited + asked > self._max_wait or attempt == _TRIES - 1:
                break
            self._sleep(asked)
            waited += asked
        raise BusyError(
            f"{self._client.origin.root} is busy and asks to be left alone for {asked:g} seconds.", retry_after=asked
        )


def _parsed(answer: Answer, what: str) -> Mapping[str, Any]:
    try:
        document = strict_json(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadAnswer(f"{what} is not a JSON object (status {answer.status}).", status=answer.status)
    return document


def _check_schema(document: Mapping[str, Any], urn: str, what: str) -> None:
    schemas = attribute(document, "schemas")
    named = schemas if isinstance(schemas, list) else []
    if not any(isinstance(schema, str) and schema.casefold() == urn for schema in named):
        raise BadAnswer(f"{what} does not name the schema that the protocol asks for.")


def _whole_number(document: Mapping[str, Any], name: str) -> int | None:
    value = attribute(document, name)
    if value is None:
        return None
    # In Python a truth value is a number as well; in JSON it isn't.
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadAnswer(f"A list's {name} is not a whole number.")
    return value


def _equal(name: str, found: object, wanted: str) -> bool:
    if not isinstance(found, str):
        return False
    return found == wanted if name.casefold() in _CASE_EXACT else found.casefold() == wanted.casefold()


def _retry_after(answer: Answer, *, otherwise: float) -> float:
    """Return how many seconds to wait (RFC 9110, 10.2.3), at least one, at most a day.

    A date is measured against the answer's own Date, so that a clock that is wrong on either side doesn't matter.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(max(float(text), 1.0), _DAY)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(answer.headers.get("date", ""))
        return min(max((until - now).total_seconds(), 1.0), _DAY)
    except (ValueError, TypeError, OverflowError):
        return otherwise
