"""Which refusals of a removal are parked: those about members, so that somebody looks at who was meant to leave."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from provisioning.changes import MEMBERS
from provisioning.scim.errors import ScimError, Unresolved
from provisioning.scim.metadata.schema import ResourceType

Op = Literal["add", "remove", "replace"]

_NAME = re.compile(r"[a-z0-9_$-]*", re.ASCII)


@contextmanager
def removal_parks(op: Op, path: str, resource_type: ResourceType) -> Iterator[None]:
    """Make every refusal of a removal of members one that is parked; other operations are left alone."""
    try:
        yield
    except ScimError as error:
        if op != "remove" or not _is_on_members(path, resource_type):
            raise
        raise Unresolved.by(error) from None


def _is_on_members(path: str, resource_type: ResourceType) -> bool:
    """Whether a path, which need not be a right one, begins at the members."""
    lower = path.strip().lower()
    urn = resource_type.schema.id.lower()
    name = lower[len(urn) + 1 :] if lower.startswith((f"{urn}:", f"{urn}.")) else lower
    found = _NAME.match(name)
    return resource_type.schema.find(MEMBERS) is not None and found is not None and found[0] == MEMBERS
