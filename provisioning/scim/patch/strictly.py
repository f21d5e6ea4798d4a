"""A PATCH of a strict connection: what the interoperability profile forbids in operations that RFC 7644 allows.

Section 6.4 of draft-zollner-scim-interop-profile-02. A filter may still choose which values to remove, since the
profile knows no other way to remove one member of a group.
"""

from collections.abc import Iterator
from dataclasses import replace

from provisioning.scim.dialects import strict
from provisioning.scim.errors import invalid_path, invalid_syntax
from provisioning.scim.patch.operations import Operation, Patch


def checked_patch(patch: Patch, *, is_strict: bool) -> Patch:
    """The operations as they are to be done. A tolerant connection's are left alone.

    Raises invalidSyntax for one without a path and for what was tolerated, invalidPath for a value filter without a
    sub-attribute. To replace a complex attribute replaces it whole, where RFC 7644 section 3.5.2.3 merges.
    """
    if not is_strict:
        return patch
    if patch.is_pathless:
        raise invalid_syntax("This connection is strict: each operation needs a path.")
    for operation in patch.operations:
        _check(operation)
    strict.refuse(patch.coercions, is_strict=True)
    return replace(patch, operations=tuple(one for operation in patch.operations for one in _whole(operation)))


def _check(operation: Operation) -> None:
    path = operation.path
    if operation.op != "remove" and path.value_filter is not None and path.sub is None:
        raise invalid_path(f"This connection is strict: name a sub-attribute after {path.text}.")


def _whole(operation: Operation) -> Iterator[Operation]:
    attribute = operation.path.ref.attribute
    is_object = attribute is not None and attribute.kind == "complex" and not attribute.multi_valued
    if operation.op == "replace" and is_object and operation.path.sub is None and not operation.path.value_filter:
        yield replace(operation, op="remove", value=None, has_value=False)
    yield operation
