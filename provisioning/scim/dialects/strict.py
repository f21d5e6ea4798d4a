"""What a strict connection refuses: every coercion, and what draft-zollner-scim-interop-profile-02 takes from SCIM.

The profile is for both sides; here is what it tells, or allows, a service provider to refuse. Nothing of it applies to
a tolerant connection.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from provisioning.changes import Coercion
from provisioning.scim.dialects.rules import RULES
from provisioning.scim.errors import ScimError, UnknownAttribute, invalid_syntax


def refuse(coercions: Iterable[Coercion], *, is_strict: bool) -> None:
    """Raise the refusal of the first coercion by its rule, if there is any and the connection is strict."""
    first = next(iter(coercions), None) if is_strict else None
    if first is None:
        return
    said = f"This connection is strict: {first.attribute or 'the request'} is not plain SCIM (rule {first.rule})."
    raise ScimError(400, RULES[first.rule].scim_type, said)


@contextmanager
def naming(*, is_strict: bool) -> Iterator[None]:
    """Make an unknown attribute in a path invalidSyntax, as it is in a body (section 5.3 of the profile)."""
    try:
        yield
    except UnknownAttribute as error:
        if not is_strict:
            raise
        raise invalid_syntax(error.detail, record=error.record) from None
