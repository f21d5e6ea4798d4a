"""The addresses of the receiver: django-scim2's views with our methods; what surrounds them is in `receiving`.

What the server says about itself is in `discovery_views`.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from django_scim import views as frame

from audit.outages import is_outage
from provisioning.changes import Outcome
from provisioning.models.exchange import Exchange
from provisioning.models.shadow import Shadow
from provisioning.scim import effects, recording
from provisioning.scim.acknowledging import LaneReceiver
from provisioning.scim.answers import Answer, refusal
from provisioning.scim.dialects import strict
from provisioning.scim.effects import Asked, Done
from provisioning.scim.errors import ScimError, internal, invalid_filter, invalid_value, not_found, out_of_service
from provisioning.scim.filters.strictly import check_filter
from provisioning.scim.incoming import path_id
from provisioning.scim.keeping import kept_patch, kept_resource
from provisioning.scim.listing import Found, find
from provisioning.scim.metadata import discovery
from provisioning.scim.metadata.catalogue import GROUP, RESOURCE_TYPES, USER
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.body import load
from provisioning.scim.parsing.notes import Notes
from provisioning.scim.projection import Listing, Projection, read_listings, read_projection, read_search
from provisioning.scim.receiving import Receiver
from provisioning.scim.recording import Attempt
from provisioning.scim.resources import Around, find_active, find_one, gather, living, location, rendered, version
from provisioning.scim.streams import Stream

_BODIES = frozenset({"POST", "PUT", "PATCH"})
_PROJECTING = frozenset({"attributes", "excludedattributes"})


class ListReceiver(Receiver):
    """What has lists as answers."""

    def listings(self, read: Callable[[Notes], tuple[Listing, ...]]) -> tuple[Listing, ...]:
        """What is asked for; a strict connection asks without anything to be tolerated, and by simple filters."""
        notes: Notes = []
        asked = read(notes)
        if self.caller.system.is_strict:
            strict.refuse(notes, is_strict=True)
            for node in [one.filter for one in asked if one.filter is not None]:
                check_filter(node)
        return asked

    def page(self, listings: Sequence[Listing]) -> Answer:
        """One page as a ListResponse (RFC 7644 section 3.4.2): one count, one page, whatever their size."""
        try:
            found = find(listings, system=self.caller.system, at=self.at)
        except DataError:
            raise invalid_filter("The filter compares what can't be compared.") from None
        around = self._around(found.shadows, listings)
        seal = next((one.seal for one in around.values() if one.seal), "")
        if not seal:
            return Answer(status=200, body=self._listed(found, found.shadows, listings, around))

        def make() -> dict[str, Any]:
            now = living(self.caller.system).in_bulk([shadow.pk for shadow in found.shadows])
            shadows = [now[shadow.pk] for shadow in found.shadows if shadow.pk in now]
            return self._listed(found, shadows, listings, self._around(shadows, listings, seal=seal))

        projection = next(one.projection for one in listings if one.projection.resource_type is GROUP)
        stream = Stream(system=self.caller.system, base=self.base, projection=projection, seal=seal, make=make)
        return Answer(status=200, stream=stream)

    def _around(self, shadows: Collection[Shadow], listings: Sequence[Listing], *, seal: str = "") -> dict[str, Around]:
        """What is around a page, by type."""
        return {
            projection.resource_type.name: gather(
                [one for one in shadows if one.resource_type == projection.resource_type.name],
                system=self.caller.system, projection=projection, base=self.base, seal=seal,
            )
            for projection in (listing.projection for listing in listings)
        }  # fmt: skip

    def _listed(
        self, found: Found, shadows: Collection[Shadow], listings: Sequence[Listing], around: Mapping[str, Around]
    ) -> dict[str, Any]:
        """The ListResponse with these resources, each as its type is wanted, in their order."""
        wanted = {one.projection.resource_type.name: one.projection for one in listings}
        resources = [
            rendered(
                one, around[one.resource_type], base=self.base, at=self.at, projection=wanted[one.resource_type]
            )
            for one in shadows
        ]  # fmt: skip
        page = listings[0].page
        body = discovery.list_response(resources, total=found.total, start=page.start)
        if page.cursor is not None:
            del body["startIndex"]
        if found.next_cursor is not None:
            body["nextCursor"] = found.next_cursor
        return body


class ResourceView(LaneReceiver, ListReceiver):
    """The endpoint of a kind of resources, such as `/Users` and `/Users/{id}`."""

    resource_type: ClassVar[ResourceType]

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """A list and a resource answer different methods."""
        super().setup(request, *args, **kwargs)
        one = kwargs.get(self.lookup_url_kwarg)
        self.http_method_names = ["get", "head", "put", "patch", "delete"] if one else ["get", "head", "post"]

    def get(self, _request: HttpRequest, uuid: str | None = None) -> HttpResponse:
        """One resource, or a page of them."""
        return self.answering(lambda: self._one(uuid) if uuid else self._many())

    def post(self, _request: HttpRequest, **_kwargs: Any) -> HttpResponse:
        """Make a resource."""
        return self.answering(lambda: self._done(lambda asked: effects.create(asked, self.body)))

    def put(self, _request: HttpRequest, **_kwargs: Any) -> HttpResponse:
        """Replace a resource."""
        return self.answering(lambda: self._done(lambda asked: effects.replace(asked, self.body)))

    def patch(self, _request: HttpRequest, **_kwargs: Any) -> HttpResponse:
        """Change a resource."""
        return self.answering(lambda: self._done(lambda asked: effects.patch(asked, self.body)))

    def delete(self, _request: HttpRequest, **_kwargs: Any) -> HttpResponse:
        """End a resource."""
        return self.answering(lambda: self._done(effects.end))

    def read_body(self, request: HttpRequest, attempt: Attempt) -> None:
        """The body's JSON; its digest is of the value, so that a repeat may order its members as it likes."""
        if attempt.method not in _BODIES or attempt.method.lower() not in self.http_method_names:
            return
        self.body = load(self.raw, content_type=request.headers.get("Content-Type"))
        attempt.digest = attempt.digested(recording.canonical(self.body))
        keep = kept_patch if attempt.method == "PATCH" else kept_resource
        attempt.request = keep(self.body, self.resource_type)

    def answer_again(self, earlier: Exchange) -> Answer:
        """The resource as it is now."""
        shadow = self._living(str(earlier.resource_id))
        return effects.resource(self._asked(earlier.pk), shadow, status=earlier.status)

    def _asked(self, exchange_id: Any) -> Asked:
        return Asked(
            sender=effects.sender(self.caller, exchange_id=exchange_id, at=self.at),
            resource_type=self.resource_type,
            at=self.at,
            base=self.base,
            projection=read_projection(self.query, self.resource_type),
            is_projected=any(name.lower() in _PROJECTING for name in self.query),
            wants=effects.read_preference(self.request.headers.get("Prefer", "")),
            id=path_id(self.kwargs.get(self.lookup_url_kwarg)),
            if_match=self.request.headers.get("If-Match"),
        )

    def _done(self, effect: Callable[[Asked], Done]) -> Answer:
        attempt = self.attempt
        if attempt is None:
            raise RuntimeError("a write outside of an exchange")
        try:
            done = effect(self._asked(attempt.id))
        except ScimError as error:
            if error.status != HTTPStatus.PRECONDITION_FAILED:
                raise
            return self._answered_before(attempt, error)
        attempt.took(done.taken)
        attempt.coercions = done.coercions
        if attempt.outcome == Outcome.SAME and recording.last_accepted(attempt) is not None:
            attempt.outcome = Outcome.DUPLICATE
        return done.answer

    def _answered_before(self, attempt: Attempt, error: ScimError) -> Answer:
        """What was answered, where the version is an older one because this very request has taken effect already."""
        earlier = recording.last_accepted(attempt)
        if earlier is None:
            raise error
        answer = self.answer_again(earlier)
        if not recording.is_version_answered(earlier, answer.headers.get("ETag", "")):
            raise error
        recording.copy_of(attempt, earlier, by_key=False)
        return answer

    def _living(self, text: str) -> Shadow:
        id = path_id(text)  # noqa: A001  SCIM's word
        system = self.caller.system
        shadow = find_one(system=system, resource_type=self.resource_type, id=id) if id is not None else None
        if shadow is None:
            raise not_found()
        return shadow

    def at_once(self) -> Answer | None:
        """A user by id, which is asked for most; `_one` answers whatever else a GET finds, or does not find."""
        id = path_id(self.kwargs.get(self.lookup_url_kwarg))  # noqa: A001  SCIM's word
        if self.request.method != "GET" or id is None or self.resource_type.family != "account":
            return None
        try:
            projection = read_projection(self.query, self.resource_type)
        except ScimError:
            return None
        found = find_active(token=self.caller.token, projection=projection, id=id, base=self.base)
        return self._shown(*found, projection) if found is not None else None

    def _one(self, text: str) -> Answer:
        projection = read_projection(self.query, self.resource_type)
        shadow = self._living(text)
        around = gather([shadow], system=self.caller.system, projection=projection, base=self.base)
        return self._shown(shadow, around, projection)

    def _shown(self, shadow: Shadow, around: Around, projection: Projection) -> Answer:
        tag = version(shadow, around, at=self.at)
        headers = {"Location": location(shadow, self.base), "ETag": tag}
        wanted = self.request.headers.get("If-None-Match")
        if wanted is not None and effects.matches(wanted, tag):
            return Answer(status=304, headers=headers)
        if around.seal:
            stream = effects.streamed_one(
                shadow, system=self.caller.system, projection=projection, base=self.base, at=self.at, seal=around.seal
            )
            return Answer(status=200, headers=headers, stream=stream)
        body = rendered(shadow, around, base=self.base, at=self.at, projection=projection, in_full=True)
        return Answer(status=200, body=body, headers=headers)

    def _many(self) -> Answer:
        return self.page(self.listings(lambda notes: read_listings(self.query, (self.resource_type,), notes)))


class UsersView(ResourceView, frame.UsersView):
    """Accounts, as this system knows them."""

    endpoint = "/Users"
    resource_type = USER


class GroupsView(ResourceView, frame.GroupsView):
    """Groups, as this system knows them."""

    endpoint = "/Groups"
    resource_type = GROUP


class SearchReceiver(ListReceiver):
    """A list asked for by POST, so that no filter stands in an address (RFC 7644 section 3.4.3). It changes nothing."""

    only_reads = True
    http_method_names: ClassVar = ["post"]
    resource_types: ClassVar[tuple[ResourceType, ...]]

    def post(self, request: HttpRequest, **_kwargs: Any) -> HttpResponse:
        """One page."""
        return self.answering(lambda: self._search(request))

    def _search(self, request: HttpRequest) -> Answer:
        body = load(self.raw, content_type=request.headers.get("Content-Type"))
        return self.page(self.listings(lambda notes: read_search(body, self.resource_types, notes)))


class UserSearchView(SearchReceiver, frame.UserSearchView):
    """`/Users/.search`."""

    endpoint = "/Users/.search"
    resource_types = (USER,)


class GroupSearchView(SearchReceiver, frame.GroupSearchView):
    """`/Groups/.search`."""

    endpoint = "/Groups/.search"
    resource_types = (GROUP,)


# What the frame has no view for goes through ours alone.
_FRAMED: dict[str, type[ResourceView]] = {USER.name: UsersView, GROUP.name: GroupsView}
_FRAMED_SEARCH: dict[str, type[SearchReceiver]] = {USER.name: UserSearchView, GROUP.name: GroupSearchView}


def _view(kind: ResourceType) -> type[ResourceView]:
    return type(f"{kind.name}View", (ResourceView,), {"endpoint": kind.endpoint, "resource_type": kind})


def _search_view(kind: ResourceType) -> type[SearchReceiver]:
    names = {"endpoint": f"{kind.endpoint}/.search", "resource_types": (kind,)}
    return type(f"{kind.name}SearchView", (SearchReceiver,), names)


VIEWS = {one.endpoint.strip("/"): _FRAMED.get(one.name) or _view(one) for one in RESOURCE_TYPES}
"""The view of each kind of resource, by the first part of its address."""
SEARCH_VIEWS = {one.endpoint.strip("/"): _FRAMED_SEARCH.get(one.name) or _search_view(one) for one in RESOURCE_TYPES}
"""The same for `.search`."""


class RootSearchView(SearchReceiver):
    """`/.search`: resources of every type in one list (section 3.4.2.1)."""

    endpoint = "/.search"
    resource_types = RESOURCE_TYPES


class RootView(ListReceiver):
    """`/`: the same by GET."""

    endpoint = "/"
    http_method_names: ClassVar = ["get", "head"]

    def get(self, _request: HttpRequest) -> HttpResponse:
        """One page."""
        return self.answering(
            lambda: self.page(self.listings(lambda notes: read_listings(self.query, RESOURCE_TYPES, notes)))
        )


class UnsupportedView(Receiver):
    """What RFC 7644 describes and this server does not do yet: 501, with a body."""

    implemented = False


class NowhereView(Receiver):
    """Any other address: a token first, then 404."""

    http_method_names: ClassVar = ["get", "head", "post", "put", "patch", "delete", "options", "trace"]

    def _nowhere(self, *_args: Any, **_kwargs: Any) -> HttpResponse:
        def refuse() -> Answer:
            raise not_found("There is no such address.")

        return self.answering(refuse)

    get = post = put = patch = delete = options = trace = http_method_not_allowed = _nowhere


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """`handler400` of all addresses: what Django refuses before a view runs (a wrong host) is SCIM below `/scim`."""
    if not is_ours(request):
        return defaults.bad_request(request, exception)
    return refusal(invalid_value("The request names no host of this server, or can't be read.")).http()


def server_error(request: HttpRequest) -> HttpResponseBase:
    """What is answered where something broke outside of a view: SCIM below `/scim`, else Django's page."""
    if not is_ours(request):
        return defaults.server_error(request)
    return refusal(out_of_service() if is_outage(sys.exception()) else internal()).http()


def is_ours(request: HttpRequest) -> bool:
    """Whether it is SCIM that is spoken at this address."""
    return request.path == "/scim" or request.path.startswith("/scim/")
