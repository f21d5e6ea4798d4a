"""PATCH of a group: operations on members become steps; the rest is applied to the document.

Members are never read: an operation that does not itself say which ones it means is refused, and never widened; a
removal that is refused so is parked for a person.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from provisioning.changes import MEMBERS, Coercion, MemberOp, MemberStep
from provisioning.scim.errors import invalid_filter, invalid_path, invalid_value, mutability
from provisioning.scim.filters.nodes import Compare, Node, Or
from provisioning.scim.metadata.catalogue import GROUP
from provisioning.scim.parsing.members import read_id, read_member_ids
from provisioning.scim.parsing.notes import Notes, note
from provisioning.scim.patch.engine import apply
from provisioning.scim.patch.operations import Operation, Patch
from provisioning.scim.patch.parking import removal_parks


@dataclass(frozen=True, kw_only=True)
class GroupPatchResult:
    """The canonical group document after a patch, without members, and the steps that its members take."""

    document: dict[str, Any]
    said: frozenset[str]
    member_steps: tuple[MemberStep, ...]
    coercions: tuple[Coercion, ...] = ()


def apply_group(document: Mapping[str, Any], patch: Patch) -> GroupPatchResult:
    """The group after all operations in order; `document` has no members. Raises what `engine.apply` raises, and
    invalidValue, invalidPath or invalidFilter for members that can't be resolved."""
    notes: Notes = list(patch.coercions)
    others, steps = group_steps(patch.operations, notes)
    result = apply(document, Patch(operations=others, coercions=tuple(notes)), GROUP)
    touched = any(_is_on_members(operation) for operation in patch.operations)
    return GroupPatchResult(
        document=result.document,
        said=result.said | ({MEMBERS} if touched else frozenset()),
        member_steps=steps,
        coercions=result.coercions,
    )


def group_steps(
    operations: Iterable[Operation], notes: Notes | None = None
) -> tuple[tuple[Operation, ...], tuple[MemberStep, ...]]:
    """The operations that are not about members, and those that are as steps, neighbours of one kind joined."""
    taken: Notes = [] if notes is None else notes
    others: list[Operation] = []
    steps: list[tuple[MemberOp, dict[UUID, None]]] = []
    for operation in operations:
        if _is_on_members(operation):
            with removal_parks(operation.op, MEMBERS, GROUP):
                _append(steps, _step(operation, taken))
        else:
            others.append(operation)
    return tuple(others), tuple(MemberStep(op=op, values=tuple(values)) for op, values in steps)


def _is_on_members(operation: Operation) -> bool:
    attribute = operation.path.ref.attribute
    return attribute is not None and attribute.name == MEMBERS and operation.path.ref.extension is None


def _append(steps: list[tuple[MemberOp, dict[UUID, None]]], step: MemberStep) -> None:
    """Hundreds of one-member operations become one step. An add of nobody is none."""
    if step.op == "add" and not step.values:
        return
    if steps and steps[-1][0] == step.op and step.op in {"add", "remove"}:
        steps[-1][1].update(dict.fromkeys(step.values))
    else:
        steps.append((step.op, dict.fromkeys(step.values)))


def _step(operation: Operation, notes: Notes) -> MemberStep:
    path = operation.path
    if path.sub is not None:
        if path.sub.read_only:
            raise mutability(f"{path.text} is read-only.")
        raise invalid_path('Members are added and removed whole; name members, or members[value eq "…"].')
    if path.value_filter is not None:
        if operation.op != "remove":
            raise invalid_path("Only remove can choose members by a filter.")
        return MemberStep(op="remove", values=_chosen(path.value_filter))
    if operation.op == "remove":
        return _removal(operation, notes)
    if operation.op == "add" and operation.value is None:
        raise invalid_value("members needs a list of members to add.")
    return MemberStep(op=operation.op, values=() if operation.value is None else read_member_ids(operation.value))


def _removal(operation: Operation, notes: Notes) -> MemberStep:
    if not operation.has_value:
        return MemberStep(op="remove_all")
    if operation.value in (None, []):
        # Null and an empty list are "nobody" from some clients and "everybody" from others.
        raise invalid_value("List the members to remove, or leave the value out to remove all of them.")
    note(notes, "remove_by_value", at=MEMBERS, sent="a remove with a value", read_as="only the listed members")
    return MemberStep(op="remove", values=read_member_ids(operation.value))


def _chosen(node: Node) -> tuple[UUID, ...]:
    """The ids that a filter names: `value eq "…"`, or several of them joined by `or`."""
    if isinstance(node, Or):
        return tuple(dict.fromkeys(one for term in node.terms for one in _chosen(term)))
    names_one = isinstance(node, Compare) and node.operator == "eq" and node.ref.path == f"{MEMBERS}.value"
    if not names_one or not isinstance(node, Compare):
        raise invalid_filter("Members can be chosen by value eq only, one or several joined by or.")
    return (read_id(node.value, at=f"{MEMBERS}.value"),)
