"""A feed is listened to: what it says is received with its cursor, whoever dies while it speaks."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from audit.scope import scope
from provisioning import cursors
from provisioning.models import Listening, Received, Run, Snapshot
from tests.factories import governance as make
from tests.fakes import directories
from tests.flows.drill.stories import Step, Story, a_tenant, acting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.directories import FakeDirectory

LONG_AGO = {"modified": "2020-01-01T00:00:00+00:00"}


@dataclass
class Hearing(Story):
    """One person was deactivated there, one has another name, three are new: two pages, one position after them."""

    directory: FakeDirectory
    ending: ClassVar[dict[str, Any]] = {
        "accounts": [
            ("ada", "deprovisioned", 1, True, True),
            ("bob", "active", 0, True, None),
            *[(name, "active", 0, True, None) for name in ("cyd", "dan", "eve")],
        ],
        "exchanges": [
            *[("POST", name, "create", "applied", 201) for name in ("cyd", "dan", "eve")],
            ("PUT", "ada", "disable", "applied", 200),
            ("PUT", "bob", "update", "applied", 200),
        ],
        "received": [("FEED", "/Users", "applied", "", "")] * 5,
    }

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """The directory lives until the end of the block."""
        tenant = a_tenant("hearing")
        with directories.serving() as directory:
            with acting(tenant):
                at = make.now() - dt.timedelta(days=1)
                remote = {
                    "ada": directory.user("ada", active=False),
                    "bob": directory.user("bob", displayName="Bob"),
                    **{name: directory.user(name) for name in ("cyd", "dan", "eve")},
                }
                system = directories.a_system(tenant, at=at, directory=directory)
                for name in ("ada", "bob"):
                    directories.known(system, name, at=at, remote_id=remote[name])
                feed = cursors.follow(system=system, stream="scim-delta/Users", cadence_minutes=60, at=at)
                run = Run.objects.create(tenant=tenant, system=system, started_by="the drill", started_at=at,
                                         state="closed", ended_at=at)  # fmt: skip
                read = Snapshot.objects.create(tenant=tenant, run=run, system=system, state="complete", started_at=at)
                cursors.go_on(feed, position=LONG_AGO, reading=read, at=at)
            yield cls(tenant, directory)

    def steps(self) -> list[Step]:
        tasks = ("provisioning.tasks.follow_feeds", "provisioning.tasks.apply_received")
        return [Step(tasks=tasks, is_over=self._is_heard)]

    def _is_heard(self) -> bool:
        with scope(tenant=self.tenant.pk):
            is_heard = Listening.objects.filter(heard_at__isnull=False).exists()
            return is_heard and not Received.objects.filter(state="waiting").exists()
