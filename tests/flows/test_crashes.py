"""A process dies in the middle of its work, at each place that has a name: nothing is lost, and nothing is done twice.

Real processes on servers of their own, killed by SIGKILL, as by a power cut.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from audit import crashpoints
from audit.scope import scope
from tests.flows.drill.installation import Installation, installed
from tests.flows.drill.picture import differing, picture, torn
from tests.flows.drill.stories import Asking, Expiry, Reading, Settling, Story

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.local, pytest.mark.flow]

for floor in ("accounts", "provisioning", "governance"):
    import_module(f"{floor}.tasks")
import_module("provisioning.scim.urls")

# By the first word of a point's name, the story that reaches it.
STORIES: dict[str, type[Story]] = {
    "scim": Asking,
    "snapshot": Reading,
    "run": Reading,
    "plan": Reading,
    "readback": Reading,
    "expiry": Expiry,
    "campaign": Settling,
}
REPEATS = frozenset({"same", "duplicate", "rejected"})
# All that a sender without an answer can find when it sends once more what was committed.
SENT_AGAIN = [
    ("DELETE", "bob", "delete", "duplicate", 204),
    ("PATCH", "Staff", "member_add", "same", 204),
    ("PATCH", "ada", "update", "same", 200),
    ("PATCH", "kit", "update", "same", 200),
    ("POST", "", "unknown", "rejected", 409),
    ("POST", "eve", "create", "duplicate", 201),
    ("POST", "fay", "create", "duplicate", 201),
]


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
        kind = STORIES[point.replace("-", ".").partition(".")[0]]
        if kind not in self.told:
            database = self.installation.copy()
            with self.installation.looking(database):
                story = self.stack.enter_context(kind.prepared())
            self.told[kind] = Told(story, database)
            self.told[kind].undisturbed = self.tell(self.told[kind])
            self.told[kind].answers = list(getattr(story, "answers", []))
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
            return picture(told.story.tenant.pk)


@pytest.fixture(scope="module")
def installation(django_db_blocker: Any) -> Iterator[Installation]:
    with installed(django_db_blocker) as made:
        yield made


@pytest.fixture(scope="module")
def library(installation: Installation) -> Iterator[Library]:
    with ExitStack() as stack:
        yield Library(installation, stack)


@pytest.mark.parametrize("point", sorted(crashpoints.POINTS))
def test_a_process_that_dies_there_leaves_nothing_undone_and_nothing_done_twice(library: Library, point: str) -> None:
    told = library.of(point)
    crashed = library.tell(told, armed=point)
    repeats = [one for one in crashed["exchanges"] if one[3] in REPEATS]
    crashed["exchanges"] = [one for one in crashed["exchanges"] if one[3] not in REPEATS]
    assert repeats == (SENT_AGAIN if point == "scim-after-commit" else [])
    assert differing(told.undisturbed, crashed) == {}
    assert list(getattr(told.story, "answers", [])) == told.answers
