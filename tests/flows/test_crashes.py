"""Processes die in the middle of their work, by SIGKILL as by a power cut: nothing is lost, and nothing is done twice.

Real processes on servers of their own. First somebody dies once at each place that has a name; then, in the drill, web
and worker are killed by chance under clients that keep their own books: 20 times here, 200 times by `make drill`.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from audit import crashpoints
from audit.scope import scope
from local.state import ROOT
from tests.flows.drill.ahead import Applying, Promising
from tests.flows.drill.asking import Asking
from tests.flows.drill.installation import Installation, installed
from tests.flows.drill.listening import Hearing
from tests.flows.drill.picture import differing, picture, torn
from tests.flows.drill.reading_again import Rebuilding, Replaying
from tests.flows.drill.seeded import Counts, drill
from tests.flows.drill.stories import Expiry, Reading, Settling, Story

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.local, pytest.mark.flow]

FLOORS = ("audit", "accounts", "provisioning", "governance")
for floor in FLOORS:
    import_module(f"{floor}.tasks")
import_module("provisioning.scim.urls")

# By the first word of a point's name, the story that reaches it.
STORIES: dict[str, type[Story]] = {
    "scim": Asking,
    "received": Promising,
    "apply": Applying,
    "feed": Hearing,
    "snapshot": Reading,
    "run": Reading,
    "plan": Reading,
    "readback": Reading,
    "expiry": Expiry,
    "campaign": Settling,
    "replay": Replaying,
    "rebuild": Rebuilding,
}
REPEATS = frozenset({"same", "duplicate", "rejected"})
# All that a sender without an answer can find when it sends once more what was committed.
SENT_AGAIN = [
    ("DELETE", "bob", "delete", "duplicate", 204),
    ("PATCH", "Staff", "member_add", "duplicate", 200),
    ("PATCH", "ada", "update", "duplicate", 200),
    ("PATCH", "kit", "update", "duplicate", 200),
    ("POST", "", "unknown", "rejected", 409),
    ("POST", "eve", "create", "duplicate", 201),
    ("POST", "fay", "create", "duplicate", 201),
]
# The same for what is acknowledged before it is applied.
PROMISED_AGAIN = [(method, "", "unknown", "duplicate", 202) for method in ("DELETE", "PATCH", "PATCH", "POST", "POST")]
REPEATED = {"scim-after-commit": SENT_AGAIN, "received-after-commit": PROMISED_AGAIN}
KILLS, A_ROUND = 20, 20
SEED = 2_000  # of the first round; `--drill-seed` chooses another


@dataclass
class Told:
    """A story, where it is prepared, and how it ends when nothing happens."""

    story: Story
    database: str
    undisturbed: dict[str, Any] = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)


@dataclass
class Library:
    """The stories that have been prepared so far."""

    installation: Installation
    stack: ExitStack
    told: dict[type[Story], Told] = field(default_factory=dict)

    def of(self, point: str) -> Told:
        """The story that reaches a point, told once without any crash."""
        kind = STORIES[re.split(r"[.-]", point)[0]]
        if kind not in self.told:
            database = self.installation.copy()
            with self.installation.looking(database):
                story = self.stack.enter_context(kind.prepared())
            told = Told(story, database)
            told.undisturbed = self.tell(told)
            told.answers = list(story.answers)
            self.told[kind] = told
        return self.told[kind]

    def tell(self, told: Told, *, armed: str = "") -> dict[str, Any]:
        """Tell a story on a copy of its database; the picture of its end."""
        copy = self.installation.copy(told.database)
        self.installation.mark.unlink(missing_ok=True)
        with self.installation.running(told.story.process, database=copy, armed=armed) as running:
            told.story.tell(running, database=copy, may_crash=bool(armed))
            if armed:
                assert self.installation.mark.exists(), f"nothing passed {armed}"
                assert running.is_killed(told.story.process)
        with self.installation.looking(copy):
            with scope(tenant=told.story.tenant.pk):
                assert torn() == []
            found = picture(told.story.tenant.pk)
        self.installation.forget(copy)
        return found


@pytest.fixture(scope="module")
def installation(django_db_blocker: Any) -> Iterator[Installation]:
    with installed(django_db_blocker) as made:
        yield made


@pytest.fixture(scope="module")
def library(installation: Installation) -> Iterator[Library]:
    with ExitStack() as stack:
        yield Library(installation, stack)


def test_every_place_that_has_a_name_is_known_here() -> None:
    named: set[str] = set()
    for path in (path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")):
        named |= set(re.findall(r"\bpoint\(\s*\"([\w.-]+)\"", path.read_text(encoding="utf-8")))
    assert len(named) >= 19
    assert named == set(crashpoints.POINTS)


@pytest.mark.parametrize("point", sorted(crashpoints.POINTS))
def test_a_process_that_dies_there_leaves_nothing_undone_and_nothing_done_twice(library: Library, point: str) -> None:
    told = library.of(point)
    assert {name: told.undisturbed[name] for name in told.story.ending} == told.story.ending
    crashed = library.tell(told, armed=point)
    repeats = [one for one in crashed["exchanges"] if one[3] in REPEATS]
    crashed["exchanges"] = [one for one in crashed["exchanges"] if one[3] not in REPEATS]
    assert repeats == REPEATED.get(point, [])
    assert differing(told.undisturbed, crashed) == {}
    assert told.story.answers == told.answers


def test_books_and_tables_are_equal_after_processes_were_killed_by_chance(
    installation: Installation, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, first = pytestconfig.getoption("--drill"), pytestconfig.getoption("--drill-seed")

    def say(text: str) -> None:
        # Whoever asked for a drill waits for minutes, and is told as it goes on.
        with capsys.disabled() if asked else nullcontext():
            print(f"\n{text}", flush=True)

    left = asked or KILLS
    total = Counts(SEED if first is None else first)
    while left:
        kills = min(left, A_ROUND)
        counts, differences = drill(installation, seed=total.seed + total.rounds, kills=kills)
        say(str(counts))
        assert differences == [], f"after {counts}"
        assert counts.kills.total() == kills
        assert counts.writes > kills
        left -= kills
        total.add(counts)
    say(f"All {total.rounds} rounds from {total}: books and tables are equal.")
