"""The path of a PATCH operation: attrPath, or valuePath with an optional sub-attribute (RFC 7644 figure 7)."""

from dataclasses import dataclass

from provisioning.scim.errors import ScimError, UnknownAttribute, invalid_path
from provisioning.scim.filters.grammar import Parser
from provisioning.scim.filters.nodes import Node
from provisioning.scim.metadata.schema import Attribute, Ref, ResourceType
from provisioning.scim.parsing.notes import Notes, note


@dataclass(frozen=True, kw_only=True)
class PatchPath:
    """Where an operation works. With a value filter, `ref` is the attribute and `sub` what follows the brackets;
    without one, `sub` is the sub-attribute of `ref` itself."""

    ref: Ref
    value_filter: Node | None = None
    sub: Attribute | None = None

    @property
    def text(self) -> str:
        """The canonical path without the filter's values, fit for messages."""
        brackets = "[…]" if self.value_filter is not None else ""
        return f"{self.ref.top}{brackets}{f'.{self.sub.name}' if self.sub else ''}"


def parse_path(text: str, resource_type: ResourceType, notes: Notes | None = None) -> PatchPath:
    """The path, looked up in the schema in any case; also a bare extension URN.

    Raises invalidPath for what is malformed or unknown. `notes` takes what was tolerated: "True" for true in the
    filter, and an extension attribute without its URN.
    """
    taken = [] if notes is None else notes
    stripped = text.strip()
    whole = resource_type.resolve(stripped)
    if whole is not None:
        _note_name(stripped, whole, taken)
        return PatchPath(ref=whole, sub=whole.sub)
    if "[" not in stripped:
        raise UnknownAttribute(stripped)
    try:
        path = _value_path(stripped, resource_type, taken)
    except ScimError as error:
        raise invalid_path(f"The path is wrong. {error.detail}", record=f"The path is wrong. {error.record}") from None
    _note_name(stripped, path.ref, taken)
    return path


def _value_path(text: str, resource_type: ResourceType, notes: Notes) -> PatchPath:
    parser = Parser(text, resource_type, notes)
    ref = parser.attribute()
    inner = parser.value_filter(ref)
    sub = parser.sub_attribute(ref)
    parser.expect("end", "the path should end here")
    return PatchPath(ref=ref, value_filter=inner, sub=sub.sub if sub else None)


def _note_name(text: str, ref: Ref, notes: Notes) -> None:
    """Write down an attribute of an extension that is named without its URN, or with a dot after it."""
    name = text.partition("[")[0].strip()
    if ref.extension is not None and ":" not in name:
        note(notes, "unprefixed", at=ref.path, sent=name, read_as=ref.path)
    elif ":" in name and ref.attribute is not None and not _has_colon_before(name, ref):
        note(notes, "dot_after_urn", at=ref.path, sent=name, read_as=ref.path)


def _has_colon_before(name: str, ref: Ref) -> bool:
    last = name.rpartition(":")[2].partition(".")[0]
    return ref.attribute is not None and last.lower() == ref.attribute.name.lower()
