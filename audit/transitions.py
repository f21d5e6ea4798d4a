"""State tables: data that says how a thing may go from state to state, and the one function that moves it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


class IllegalMove(ValueError):
    """The state table knows no such arrow."""


class HasState(Protocol):
    """Whatever keeps its state in a column of that name."""

    state: str


@dataclass(frozen=True)
class Table:
    """The states of one noun: where it starts, and which arrows exist."""

    name: str
    initial: frozenset[str]
    arrows: Mapping[str, frozenset[str]]

    @property
    def states(self) -> frozenset[str]:
        """Every state that the table knows."""
        return frozenset(self.arrows)

    @property
    def final(self) -> frozenset[str]:
        """The states that nothing leaves."""
        return frozenset(state for state, targets in self.arrows.items() if not targets)

    def allows(self, *, source: str, target: str) -> bool:
        """Whether the table has the arrow."""
        return target in self.arrows.get(source, frozenset())

    def sources(self, target: str) -> frozenset[str]:
        """The states from which `target` can be reached in one step."""
        return frozenset(state for state, targets in self.arrows.items() if target in targets)

    def draw(self) -> str:
        """The table as a Mermaid state diagram, for `docs/states.md`."""
        lines = ["stateDiagram-v2"]
        lines += [f"    [*] --> {state}" for state in sorted(self.initial)]
        lines += [f"    {source} --> {target}" for source in self.arrows for target in sorted(self.arrows[source])]
        lines += [f"    {state} --> [*]" for state in sorted(self.final)]
        return "\n".join(lines)


def table(name: str, *, initial: Iterable[str], arrows: Mapping[str, Iterable[str]]) -> Table:
    """A checked table. Raises `ValueError` for an arrow into an unknown state or a state that no walk reaches."""
    frozen = {state: frozenset(targets) for state, targets in arrows.items()}
    starts = frozenset(initial)
    if unknown := starts.union(*frozen.values()) - frozen.keys():
        raise ValueError(f"{name}: arrows into unknown states {sorted(unknown)}")
    reached = ahead = starts
    while ahead:
        ahead = starts.union(*(frozen[state] for state in ahead)) - reached
        reached |= ahead
    if lonely := frozen.keys() - reached:
        raise ValueError(f"{name}: nothing reaches {sorted(lonely)}")
    return Table(name=name, initial=starts, arrows=frozen)


def move(thing: HasState, to: str, *, by: Table) -> bool:
    """Set `thing.state` to `to`. False when it is there already; raises `IllegalMove` when the table has no arrow."""
    if thing.state == to:
        return False
    if not by.allows(source=thing.state, target=to):
        raise IllegalMove(f"{by.name}: {thing.state} → {to} is not a way")
    thing.state = to
    return True
