"""Schemas and attributes as frozen values, and the look-up of an attribute path in them (RFC 7643 sections 2 and 7)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Kind = Literal["string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"]
Mutability = Literal["readWrite", "readOnly", "immutable", "writeOnly"]
Returned = Literal["default", "always", "never", "request"]
Uniqueness = Literal["none", "server", "global"]
Family = Literal["account", "group", "catalogue"]

NAME = re.compile(r"[A-Za-z$][A-Za-z0-9_$-]*")


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute or sub-attribute with its characteristics (RFC 7643 section 2.2).

    Ours beside the RFC's: `closed` means that no other than the canonical values is accepted; `multi_line` allows line
    breaks; `max_length` counts characters, and those of the folded form too where it is `keyed` (folding can lengthen);
    `stored` is False for what is not part of the kept document.
    """

    name: str
    kind: Kind = "string"
    description: str = ""
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Returned = "default"
    uniqueness: Uniqueness = "none"
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    subs: tuple["Attribute", ...] = ()
    closed: bool = False
    multi_line: bool = False
    max_length: int = 1024
    keyed: bool = False
    stored: bool = True

    @cached_property
    def _by_name(self) -> dict[str, "Attribute"]:
        return {sub.name.lower(): sub for sub in self.subs}

    def sub(self, name: str) -> "Attribute | None":
        """The sub-attribute of that name in any case; `value` of a simple multi-valued attribute is itself."""
        return self._by_name.get(name.lower())

    @property
    def read_only(self) -> bool:
        """Clients cannot write it; what they send is ignored (RFC 7644 section 3.3)."""
        return self.mutability == "readOnly"

    def to_json(self) -> dict[str, Any]:
        """The attribute as /Schemas shows it: every characteristic said, nothing null (RFC 7643 section 7)."""
        body: dict[str, Any] = {
            "name": self.name,
            "type": self.kind,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "mutability": self.mutability,
            "returned": self.returned,
        }
        if self.kind in {"string", "reference", "binary"}:
            body["caseExact"] = self.case_exact
        if self.kind != "complex":
            body["uniqueness"] = self.uniqueness
        if self.canonical_values:
            body["canonicalValues"] = list(self.canonical_values)
        if self.reference_types:
            body["referenceTypes"] = list(self.reference_types)
        if self.subs:
            body["subAttributes"] = [sub.to_json() for sub in self.subs]
        return body


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One schema: a URN with its attributes, looked up in any case (RFC 7643 section 2.1)."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]

    @cached_property
    def _by_name(self) -> dict[str, Attribute]:
        return {attribute.name.lower(): attribute for attribute in self.attributes}

    def find(self, name: str) -> Attribute | None:
        """The attribute of that name in any case."""
        return self._by_name.get(name.lower())


@dataclass(frozen=True, kw_only=True)
class Ref:
    """An attribute path that was found: which extension (None: core), which attribute (None: the whole extension)."""

    extension: Schema | None = None
    attribute: Attribute | None = None
    sub: Attribute | None = None

    @property
    def top(self) -> str:
        """The canonical path without its sub-attribute: `emails`, `urn:…:User:manager`, or a bare extension URN."""
        name = self.attribute.name if self.attribute else ""
        if self.extension is None:
            return name
        return f"{self.extension.id}:{name}" if name else self.extension.id

    @property
    def path(self) -> str:
        """The canonical path: `name.familyName`, `urn:…:User:manager.value`."""
        return f"{self.top}.{self.sub.name}" if self.sub else self.top

    @property
    def leaf(self) -> Attribute | None:
        """What a comparison looks at: the sub-attribute if there is one, otherwise the attribute."""
        return self.sub or self.attribute

    @property
    def chain(self) -> tuple[Attribute, ...]:
        """Attribute and sub-attribute, as far as named."""
        return tuple(part for part in (self.attribute, self.sub) if part is not None)


@dataclass(frozen=True, kw_only=True)
class OtherSchema:
    """A core schema of somebody else for the same kind of resource, which is read as ours.

    `names` are its words with ours for them; `fills` are attributes of ours that it does not have, with those that
    they are taken from.
    """

    id: str
    names: tuple[tuple[str, str], ...] = ()
    fills: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One kind of resource: endpoint relative to the base, core schema, extensions (RFC 7643 section 6).

    Ours beside the RFC's: `family` says what stands behind it, an account, a group, or nothing but what was said;
    `handles` are the attributes that it can be called by, of which the first with a value counts and one is enough;
    `others` are schemas that are read as its own.
    """

    name: str
    endpoint: str
    description: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    common: tuple[Attribute, ...] = ()
    family: Family
    handles: tuple[str, ...]
    others: tuple[OtherSchema, ...] = ()

    @cached_property
    def _core(self) -> dict[str, Attribute]:
        return {attribute.name.lower(): attribute for attribute in (*self.common, *self.schema.attributes)}

    @cached_property
    def _urns(self) -> tuple[tuple[str, Schema | None], ...]:
        known: list[tuple[str, Schema | None]] = [(self.schema.id.lower(), None)]
        known.extend((other.id.lower(), None) for other in self.others)
        known.extend((extension.id.lower(), extension) for extension in self.extensions)
        return tuple(sorted(known, key=lambda pair: -len(pair[0])))

    @cached_property
    def never_shown(self) -> frozenset[str]:
        """The core attributes that are in no answer (RFC 7643 section 7, `returned`)."""
        return frozenset(one.name for one in self._core.values() if one.returned == "never")

    @cached_property
    def shows_the_rest(self) -> bool:
        """Whether an answer without a projection shows everything else that is kept."""
        every = [*self._core.values(), *(one for extension in self.extensions for one in extension.attributes)]
        kept = [part for one in every for part in (one, *one.subs) if one.stored]
        return all(part.returned in {"default", "always"} for part in kept)

    @cached_property
    def _aliases(self) -> dict[str, Attribute]:
        names = dict(pair for other in self.others for pair in other.names)
        return {theirs.lower(): self._core[ours.lower()] for theirs, ours in names.items()}

    @property
    def core(self) -> Iterable[Attribute]:
        """Common and core attributes; `schemas`, `id`, `externalId` and `meta` come first."""
        return self._core.values()

    def find(self, name: str) -> Attribute | None:
        """The common or core attribute of that name in any case, also by its name in another schema."""
        return self._core.get(name.lower()) or self._aliases.get(name.lower())

    def handle(self, document: Mapping[str, Any]) -> str | None:
        """What a resource is called in a canonical document."""
        return next((document[name] for name in self.handles if document.get(name)), None)

    def other(self, urn: str) -> OtherSchema | None:
        """The other schema of that URN, in any case."""
        return next((one for one in self.others if one.id.lower() == urn.lower()), None)

    def extension(self, urn: str) -> Schema | None:
        """The extension of that URN in any case."""
        return next((schema for schema in self.extensions if schema.id.lower() == urn.lower()), None)

    def is_core_urn(self, urn: str) -> bool:
        """Whether that is the URN of the core schema, in any case."""
        return urn.lower() == self.schema.id.lower()

    def resolve(self, text: str) -> Ref | None:
        """The attribute that a path names, in any case, or None.

        Understands `name.familyName`, `urn:…:core:2.0:User:name.familyName`, `urn:…:enterprise:2.0:User:manager.value`
        and a bare extension URN. An unprefixed name that is no core attribute is looked for in the extensions, because
        Entra probes and patches `manager` that way; two extensions never share a name (a test keeps that).
        """
        lower = text.lower()
        for urn, extension in self._urns:
            if lower == urn:
                return Ref(extension=extension) if extension else None
            # With a dot after the URN, older provisioning jobs of Entra name attributes of extensions.
            if lower.startswith((f"{urn}:", f"{urn}.")):
                return self._within(text[len(urn) + 1 :], extension)
        return self._unprefixed(text)

    def _unprefixed(self, text: str) -> Ref | None:
        found = self._within(text, None)
        if found is not None:
            return found
        candidates = (self._within(text, extension) for extension in self.extensions)
        return next((ref for ref in candidates if ref is not None), None)

    def _within(self, text: str, extension: Schema | None) -> Ref | None:
        name, dot, rest = text.partition(".")
        attribute = extension.find(name) if extension else self.find(name)
        if attribute is None:
            return None
        if not dot:
            return Ref(extension=extension, attribute=attribute)
        sub = attribute.sub(rest)
        return Ref(extension=extension, attribute=attribute, sub=sub) if sub else None
