"""An identity provider that keeps its own books: what it was told is done stands in them, and nothing else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.factories.scim import PATCH_URN, a_group, a_user
from tests.flows.drill.sender import raw

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.flows.drill.sender import Answered, Sender

MOST_PEOPLE = 25
MOST_GROUPS = 4
LONGEST_PAUSE = 0.03  # seconds between two requests


@dataclass
class Person:
    """One user as this provider knows it."""

    name: str
    id: str
    display: str
    is_active: bool
    is_wanted: bool = True
    is_deleted: bool = False
    endings: int = 0
    returns: int = 0


@dataclass
class Books:
    """What was acknowledged. `applied` and `held` count requests by method, path and body."""

    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # name: id
    members: dict[str, set[str]] = field(default_factory=dict)  # group: names of people
    ended_groups: set[str] = field(default_factory=set)
    applied: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)
    held: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    repeats: int = 0

    def living(self) -> list[Person]:
        """Whose resource is there."""
        return [one for one in self.people.values() if not one.is_deleted]


class Client(threading.Thread):
    """Sends one change after another until it is stopped. `shared` is a group in which others put people too."""

    def __init__(
        self, name: str, sender: Sender, rng: random.Random, *, is_automatic: bool, shared: tuple[str, str]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.books = Books(groups={shared[0]: shared[1]}, members={shared[0]: set()})
        self.shared = shared[0]
        self.answered = 0
        self.failed: BaseException | None = None
        self.sender = sender
        self._rng, self._is_automatic = rng, is_automatic
        self._stop_asked = threading.Event()
        self._number = 0

    def ask_stop(self) -> None:
        """End after the change at hand has been answered."""
        self._stop_asked.set()

    def give_up(self) -> None:
        """End now, whether there is an answer or not."""
        self.sender.patience = 0.0
        self.ask_stop()
        self.join()

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                self._rng.choice(self._choices())()
                time.sleep(self._rng.uniform(0, LONGEST_PAUSE))
        except BaseException as error:  # noqa: BLE001  whoever waits for the thread raises it
            self.failed = error

    def _choices(self) -> list[Callable[[], None]]:
        """What can be done now, the usual more often."""
        books = self.books
        some = [self._hire] * 2 if len(books.living()) < MOST_PEOPLE else [self._delete]
        some += [self._look, self._look_at_group]
        if self._active():
            some += [self._rename, self._replace, *[self._deactivate] * 3, *[self._join] * 2, self._delete]
        if self._inactive():
            some += [self._ask_back] * 2
        if any(one.is_deleted for one in books.people.values()):
            some += [self._hire_again]
        if len(books.groups) <= MOST_GROUPS:
            some += [self._make_group]
        if any(books.members.values()):
            some += [self._leave]
        if len(books.groups) > 1:
            some += [self._replace_members]
            some += [self._delete_group] if len(books.groups) > MOST_GROUPS else []
        return some

    # -- sending

    def _send(self, method: str, path: str, body: Any = None, *, held: bool = False) -> Answered:
        """Send a change until it is answered; with a key of its own every other time."""
        key = f"{self.name}-{self._next()}" if self._rng.random() < 0.5 else ""
        answer = self.sender.send(method, path, body, key=key)
        self.answered += 1
        self.books.repeats += answer.is_repeat
        (self.books.held if held else self.books.applied)[method, path, raw(body)] += 1
        if answer.status == 409 and answer.is_repeat and method == "POST" and not key:
            return self._look_up(path, body, answer)
        is_gone = method == "DELETE" and answer.status == 404 and answer.is_repeat and not key
        self._check(answer.status < 300 or is_gone, f"{method} {path} {body}: {answer}")
        return answer

    def _look_up(self, path: str, body: Any, refused: Answered) -> Answered:
        """What we sent is there already: by its name we find what became of it."""
        name = "userName" if path == "/Users" else "displayName"
        found = self._get(f"{path}?filter={name} eq %22{body[name]}%22")
        self._check(found["totalResults"] == 1, f"{body[name]} is there {found['totalResults']} times")
        return type(refused)(201, found["Resources"][0], refused.times)

    def _get(self, path: str) -> Answered:
        answer = self.sender.send("GET", path)
        self.answered += 1
        return answer

    def _check(self, is_right: Any, what: str) -> None:
        if not is_right:
            self.books.wrong.append(f"{self.name}: {what}")

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _display(self) -> str:
        return f"{self.name}, as of {self._next()}"

    # -- people

    def _active(self) -> list[Person]:
        return [one for one in self.books.living() if one.is_active]

    def _inactive(self) -> list[Person]:
        return [one for one in self.books.living() if not one.is_active]

    def _hire(self) -> None:
        name, display = f"{self.name}-{self._next()}", self._display()
        answer = self._send("POST", "/Users", a_user(name, displayName=display))
        self.books.people[name] = Person(name, answer["id"], display, is_active=True)
        self._check_person(self.books.people[name], answer)

    def _hire_again(self) -> None:
        one = self._rng.choice([one for one in self.books.people.values() if one.is_deleted])
        one.display, one.is_deleted, one.is_wanted = self._display(), False, True
        answer = self._send("POST", "/Users", a_user(one.name, displayName=one.display), held=not self._is_automatic)
        one.id, one.is_active = answer["id"], self._is_automatic
        one.returns += self._is_automatic
        self._check_person(one, answer)

    def _check_person(self, one: Person, answer: Answered) -> None:
        seen = (
            (answer.body or {}).get("userName"),
            (answer.body or {}).get("displayName"),
            (answer.body or {}).get("active"),
        )
        self._check(seen == (one.name, one.display, one.is_active), f"{one} was answered with {answer}")

    def _patch(self, path: str, *operations: dict[str, Any], held: bool = False) -> Answered:
        return self._send("PATCH", path, {"schemas": [PATCH_URN], "Operations": list(operations)}, held=held)

    def _rename(self) -> None:
        one = self._rng.choice(self._active())
        one.display = self._display()
        answer = self._patch(f"/Users/{one.id}", {"op": "replace", "path": "displayName", "value": one.display})
        self._check_person(one, answer)

    def _replace(self) -> None:
        one = self._rng.choice(self._active())
        one.display = self._display()
        self._check_person(one, self._send("PUT", f"/Users/{one.id}", a_user(one.name, displayName=one.display)))

    def _deactivate(self) -> None:
        """As Okta, Entra and others say it. It is in effect when the answer is there, and stays so."""
        one = self._rng.choice(self._active())
        one.is_active = one.is_wanted = False
        one.endings += 1
        path = f"/Users/{one.id}"
        said: list[dict[str, Any]] = [
            {"op": "replace", "path": "active", "value": False},
            {"op": "replace", "value": {"active": False}},
            {"op": "Replace", "path": "active", "value": "False"},
        ]
        choice = self._rng.randrange(len(said) + 1)
        if choice < len(said):
            self._check_person(one, self._patch(path, said[choice]))
        else:
            self._check_person(one, self._send("PUT", path, a_user(one.name, displayName=one.display, active=False)))

    def _ask_back(self) -> None:
        """A wish: granted at once where an exception says so; else it waits for people, or is taken back."""
        one = self._rng.choice(self._inactive())
        wants = not one.is_wanted
        one.is_wanted = wants
        is_granted = wants and self._is_automatic
        one.is_active = is_granted
        one.returns += is_granted
        on = {"op": "replace", "path": "active", "value": wants}
        self._check_person(one, self._patch(f"/Users/{one.id}", on, held=wants and not is_granted))

    def _delete(self) -> None:
        one = self._rng.choice(self.books.living())
        self._send("DELETE", f"/Users/{one.id}")
        one.endings += one.is_active
        one.is_active = one.is_wanted = False
        one.is_deleted = True
        for members in self.books.members.values():
            members.discard(one.name)

    def _look(self) -> None:
        if people := list(self.books.people.values()):
            one = self._rng.choice(people)
            answer = self._get(f"/Users/{one.id}")
            if one.is_deleted:
                self._check(answer.status == 404, f"{one} is deleted, and answered with {answer}")
            else:
                self._check_person(one, answer)

    # -- groups

    def _some(self, names: set[str]) -> list[Person]:
        chosen = self._rng.sample(sorted(names), k=min(len(names), self._rng.randint(1, 3)))
        return [self.books.people[name] for name in chosen]

    def _living_names(self) -> set[str]:
        return {one.name for one in self.books.living()}

    def _make_group(self) -> None:
        name = f"{self.name} group {self._next()}"
        members = self._some(self._living_names())
        answer = self._send("POST", "/Groups", a_group(name, *[one.id for one in members]))
        self.books.groups[name] = answer["id"]
        self.books.members[name] = {one.name for one in members}

    def _join(self) -> None:
        group = self._rng.choice([self.shared, *self.books.groups])
        outside = self._living_names() - self.books.members[group]
        if outside:
            members = self._some(outside)
            value = [{"value": one.id} for one in members]
            self._patch(f"/Groups/{self.books.groups[group]}", {"op": "add", "path": "members", "value": value})
            self.books.members[group] |= {one.name for one in members}

    def _leave(self) -> None:
        group = self._rng.choice([name for name, members in self.books.members.items() if members])
        (one, *_) = self._some(self.books.members[group])
        said: list[dict[str, Any]] = [
            {"op": "remove", "path": f'members[value eq "{one.id}"]'},
            {"op": "Remove", "path": "members", "value": [{"value": one.id}]},
        ]
        self._patch(f"/Groups/{self.books.groups[group]}", self._rng.choice(said))
        self.books.members[group].discard(one.name)

    def _own_group(self) -> str:
        return self._rng.choice([name for name in self.books.groups if name != self.shared])

    def _replace_members(self) -> None:
        group = self._own_group()
        members = self._some(self._living_names())
        names = {one.name for one in members}
        if names != self.books.members[group]:
            path = f"/Groups/{self.books.groups[group]}"
            self._send("PUT", path, a_group(group, *[one.id for one in members]))
            self.books.members[group] = names

    def _delete_group(self) -> None:
        group = self._own_group()
        self._send("DELETE", f"/Groups/{self.books.groups.pop(group)}")
        self.books.ended_groups.add(group)
        del self.books.members[group]

    def _look_at_group(self) -> None:
        group = self._rng.choice(list(self.books.groups))
        answer = self._get(f"/Groups/{self.books.groups[group]}")
        mine = {one.id: one.name for one in self.books.people.values()}
        seen = {mine[member["value"]] for member in answer.body.get("members", []) if member["value"] in mine}
        others = [member for member in answer.body.get("members", []) if member["value"] not in mine]
        self._check(seen == self.books.members[group], f"{group} has {self.books.members[group]}, answered {seen}")
        self._check(group == self.shared or not others, f"{group} has others too: {others}")
