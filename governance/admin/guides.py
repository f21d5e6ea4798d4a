"""Which clicks connect an identity provider and make it send each thing once: what `guide_texts` says of each provider.

The names of menus and fields are those of the vendors' public documents. They are looked up by people with two windows
open, so each sentence stands alone; nothing on a page depends on what is chosen here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# What a test asks a client to send once, in an order in which the test account is a member while it is still active.
STEPS = (
    "connect", "create", "update", "group_create", "member_add", "member_remove", "group_delete", "disable", "enable",
    "delete",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Guide:
    """How one identity provider is connected.

    `where` leads to its settings, `url` and `token` are the names of the fields there, `also` what else to choose. A
    step's `clicks` make it send that; `never` says of a step why it does not. `scope` and `go` are the last two steps,
    `worth` what is known to surprise.
    """

    key: str
    name: Any
    where: Any
    url: Any
    token: Any
    also: tuple[Any, ...] = ()
    clicks: Mapping[str, Any]
    never: Mapping[str, Any] = field(default_factory=dict)
    scope: Any
    go: Any
    worth: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    """What the name of a system has in it when it is probably this provider."""


def guessed(name: str, guides: Mapping[str, Guide], *, otherwise: str) -> str:
    """The key of the provider that a system is named after, if it is."""
    folded = name.casefold()
    return next((key for key, one in guides.items() if any(word in folded for word in one.words)), otherwise)
