"""A SCIM server as the contract for reading wants it: a position is the startIndex of the next page, as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from provisioning.changes import user_name_key
from provisioning.connectors.contract import Absent, Answer, Found, Kind, Page, Unknown, Unreadable
from provisioning.connectors.readings import BadAnswer, attribute
from provisioning.connectors.scim import Directory, ResourceType

_ENDPOINTS: Mapping[Kind, ResourceType] = {"User": "Users", "Group": "Groups"}
_NAMES: Mapping[Kind, str] = {"User": "userName", "Group": "displayName"}
# By these a server says that it has no such endpoint (RFC 7644, 3.12).
_NO_ENDPOINT = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED})


@dataclass(frozen=True)
class ScimReader:
    """One SCIM server, read through its directory."""

    directory: Directory
    resumes: Final = True

    def page(self, kind: Kind, *, position: str, count: int) -> Page | Unreadable:
        """A page from a startIndex on. A server need not have groups (RFC 7644, 4), which says nothing about its accounts."""
        index = _index(position)
        try:
            page = next(self.directory.pages(_ENDPOINTS[kind], count=count, start_index=index))
        except BadAnswer as error:
            # What has begun to be listed must be listed to its end.
            if kind == "User" or index > 1:
                raise
            if error.status not in _NO_ENDPOINT and self.directory.offers(_ENDPOINTS[kind]) is not False:
                raise
            return Unreadable(error.reason)
        following = index + page.items_per_page
        position_after = str(following) if following <= page.total_results else None
        return Page(resources=page.resources, position=position_after, total=page.total_results)

    def get(self, kind: Kind, remote_id: str) -> Answer:
        """By its id."""
        try:
            found = self.directory.get(_ENDPOINTS[kind], remote_id)
        except BadAnswer as error:
            return Unknown(error.reason)
        return Absent() if found is None else Found(found)

    def named(self, kind: Kind, name: str) -> Answer:
        """By a filter on its name, whose results are compared as names are here."""
        try:
            named = self.directory.find(_ENDPOINTS[kind], _NAMES[kind], name)
            same = [one for one in named if user_name_key(str(attribute(one, _NAMES[kind]))) == user_name_key(name)]
        except BadAnswer as error:
            return Unknown(error.reason)
        if len(same) > 1:
            return Unknown(f"{len(same)} resources there have this name.")
        return Found(same[0]) if same else Absent()


def _index(position: str) -> int:
    if position == "":
        return 1
    if not (position.isascii() and position.isdigit() and int(position) >= 1):
        raise BadAnswer("The position of this listing is not one of a SCIM server.")
    return int(position)
