"""Short ways to write down the attributes that occur again and again."""

from dataclasses import replace

from provisioning.scim.metadata.schema import Attribute

REFERENCE_LENGTH = 8192


def text(name: str, description: str, *, max_length: int = 1024, multi_line: bool = False) -> Attribute:
    """A single plain string that clients may write."""
    return Attribute(name=name, description=description, max_length=max_length, multi_line=multi_line)


def link(name: str, description: str, *types: str) -> Attribute:
    """A reference: `external`, `uri` or names of resource types (RFC 7643 section 2.3.7)."""
    return Attribute(
        name=name,
        kind="reference",
        description=description,
        case_exact=True,
        reference_types=types,
        max_length=REFERENCE_LENGTH,
    )


def flag(name: str, description: str) -> Attribute:
    """A boolean that clients may write."""
    return Attribute(name=name, kind="boolean", description=description)


def read_only(attribute: Attribute) -> Attribute:
    """The same attribute, written by the server alone."""
    return replace(attribute, mutability="readOnly", subs=tuple(read_only(sub) for sub in attribute.subs))


def plural(
    name: str, description: str, *types: str, value: Attribute | None = None, more: tuple[Attribute, ...] = ()
) -> Attribute:
    """A multi-valued attribute with the default sub-attributes of RFC 7643 section 2.4, and `more` after them."""
    return Attribute(
        name=name,
        kind="complex",
        multi_valued=True,
        description=description,
        subs=(
            value or text("value", "The value itself."),
            text("display", "A name for people to read."),
            Attribute(name="type", description="What the value is for.", canonical_values=types),
            flag("primary", "Whether this is the preferred value; true at most once."),
            *more,
        ),
    )
