"""What the member steps of one request come to, whatever their number: who is put in, who stays, who is taken out.

The result is that of the steps one by one, without reading who is in the group: a thousand operations cost as many
queries as one. Standard library only.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from provisioning.changes import MemberStep


@dataclass(frozen=True, kw_only=True)
class Net:
    """What is left to do, by SCIM ids.

    `named` is everybody whom a step put in, in their order: each must be a resource of the system, also who is taken
    out again by a later step. `joins` are to be in at the end. Out are `leaves`; or, where `stays` is not None,
    everybody beside `stays`.
    """

    named: tuple[UUID, ...] = ()
    removed: tuple[UUID, ...] = ()
    """Everybody whom a step took out by id, in their order."""
    joins: frozenset[UUID] = frozenset()
    leaves: frozenset[UUID] = frozenset()
    stays: frozenset[UUID] | None = None
    is_held: bool = False
    """Somebody was put in who can't have been in by then, and additions need approval."""
    asked: frozenset[UUID] = frozenset()
    """Additions need approval, and these were put in: who of them is in already asks for nothing."""

    @property
    def takes_out(self) -> bool:
        """Whether anybody may be out by it."""
        return bool(self.leaves) or self.stays is not None


def fold(steps: Iterable[MemberStep], *, may_add: bool) -> Net:
    """The steps in order as one. Without `may_add` nobody is put in, and who is left out is out all the same."""
    folding: _Folding = _Free() if may_add else _Held()
    for step in steps:
        folding.take(step)
    return folding.net()


@dataclass
class _Folding(ABC):
    named: dict[UUID, None] = field(default_factory=dict)
    removed: dict[UUID, None] = field(default_factory=dict)
    leaves: set[UUID] = field(default_factory=set)

    def take(self, step: MemberStep) -> None:
        if step.op in {"add", "replace"}:
            self.named.update(dict.fromkeys(step.values))
        else:
            self.removed.update(dict.fromkeys(step.values))
        getattr(self, step.op)(step.values)

    @abstractmethod
    def add(self, values: tuple[UUID, ...]) -> None: ...

    @abstractmethod
    def remove(self, values: tuple[UUID, ...]) -> None: ...

    @abstractmethod
    def replace(self, values: tuple[UUID, ...]) -> None: ...

    def remove_all(self, values: tuple[UUID, ...]) -> None:
        self.replace(values)

    @abstractmethod
    def net(self) -> Net: ...


@dataclass
class _Free(_Folding):
    """Everybody who is put in is in: at any step the members are those of before, without some, and with others."""

    joins: set[UUID] = field(default_factory=set)
    is_anew: bool = False

    def add(self, values: tuple[UUID, ...]) -> None:
        self.joins.update(values)
        self.leaves.difference_update(values)

    def remove(self, values: tuple[UUID, ...]) -> None:
        self.joins.difference_update(values)
        if not self.is_anew:
            self.leaves.update(values)

    def replace(self, values: tuple[UUID, ...]) -> None:
        self.joins, self.leaves, self.is_anew = set(values), set(), True

    def net(self) -> Net:
        joins = frozenset(self.joins)
        return Net(
            named=tuple(self.named),
            removed=tuple(self.removed),
            joins=joins,
            leaves=frozenset(self.leaves),
            stays=joins if self.is_anew else None,
        )


@dataclass
class _Held(_Folding):
    """Nobody comes in: at any step the members are those of before, without some."""

    stays: set[UUID] | None = None
    asked: set[UUID] = field(default_factory=set)
    is_held: bool = False

    def add(self, values: tuple[UUID, ...]) -> None:
        perhaps_in = set(values) - self.leaves
        if self.stays is not None:
            perhaps_in &= self.stays
        self.is_held = self.is_held or len(perhaps_in) < len(set(values))
        self.asked |= perhaps_in

    def remove(self, values: tuple[UUID, ...]) -> None:
        self.leaves.update(values)

    def replace(self, values: tuple[UUID, ...]) -> None:
        self.add(values)
        self.stays = set(values) if self.stays is None else self.stays & set(values)

    def net(self) -> Net:
        return Net(
            named=tuple(self.named),
            removed=tuple(self.removed),
            leaves=frozenset(self.leaves),
            stays=None if self.stays is None else frozenset(self.stays - self.leaves),
            is_held=self.is_held,
            asked=frozenset(self.asked),
        )
