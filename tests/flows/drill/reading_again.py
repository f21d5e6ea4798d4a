"""The ledger is read once more: what was parked is replayed, and all of it is folded and compared with the roll."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pytest

from accounts.models import RoleName
from audit import keys
from audit.scope import scope
from provisioning import rebuilding, replaying
from provisioning.models.rebuild import Rebuild, RebuildState
from provisioning.models.replay import Replay, ReplayKind, ReplayState
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.factories.replays import a_patch, active, parked, title
from tests.factories.scim import connect
from tests.flows.drill.stories import Step, Story, a_tenant, acting

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Replaying(Story):
    """Three deactivations were parked, and one change whose body is gone: somebody replays all that is parked."""

    ending: ClassVar[dict[str, Any]] = {
        "accounts": [
            *[(name, "deprovisioned", 1, True, True) for name in ("ada", "bob", "cyd")],
            *[(name, "active", 0, True, None) for name in ("dan", "l.chen")],
        ],
        "exchanges": [
            *[
                ("PATCH", name, "disable", *end)
                for name in ("ada", "bob", "cyd")
                for end in (("applied", 200), ("parked", 503))
            ],
            ("PATCH", "dan", "update", "parked", 503),
            *[("POST", name, "create", "applied", 201) for name in ("ada", "bob", "cyd", "dan")],
        ],
        "replays": [("parked", "done", {"applied": 3, "in_the_way": 1}, 4, True)],
    }

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """Needs nothing that lives."""
        tenant = a_tenant("replaying")
        idp = connect(tenant, "Okta")
        ids = {name: idp.user(name) for name in ("ada", "bob", "cyd", "dan")}
        parked(idp, "PATCH", f"/Users/{ids['dan']}", None, intent="update", resource_label="dan")
        for name in ("ada", "bob", "cyd"):
            parked(idp, "PATCH", f"/Users/{ids[name]}", a_patch(active(False)), intent="disable", resource_label=name)
        with acting(tenant):
            chen = make.staff(tenant, "l.chen", RoleName.SECURITY, at=make.now())
        with scope(tenant=tenant.pk, cause=a_cause(actor=str(chen), user_id=chen.pk, identity_id=chen.identity_id)):
            replaying.begin(replaying.Range(kind=ReplayKind.PARKED), by=chen, reason="INC-7", at=make.now())
        yield cls(tenant)

    def steps(self) -> list[Step]:
        return [Step(tasks=("provisioning.tasks.replay_due",), is_over=self._is_replayed)]

    def _is_replayed(self) -> bool:
        with scope(tenant=self.tenant.pk):
            return not Replay.objects.exclude(state=ReplayState.DONE).exists()


@dataclass
class Rebuilding(Story):
    """A ledger that is old enough to be folded: people who were made, changed and ended, and a group."""

    ending: ClassVar[dict[str, Any]] = {"compared": [("compared", 7, 4, 0, {})]}

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """Needs nothing that lives."""
        tenant = a_tenant("rebuilding")
        idp = connect(tenant, "Okta")
        with _ago(2 * rebuilding.SETTLED):
            ada, bob, cyd = (idp.user(name) for name in ("ada", "bob", "cyd"))
            idp.group("Staff", ada, bob)
            idp.patch(f"/Users/{ada}", title("SRE"))
            idp.patch(f"/Users/{bob}", active(False))
            idp.delete(f"/Users/{cyd}")
        yield cls(tenant)

    def steps(self) -> list[Step]:
        return [Step(tasks=("provisioning.tasks.rebuild_due",), is_over=self._is_compared)]

    def _is_compared(self) -> bool:
        with scope(tenant=self.tenant.pk):
            return Rebuild.objects.filter(state=RebuildState.COMPARED).exists()


@contextmanager
def _ago(wait: dt.timedelta) -> Iterator[None]:
    """What is asked inside has a key as if it had been asked then."""
    earlier = wait // dt.timedelta(microseconds=1) * 1_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "time", SimpleNamespace(time_ns=lambda: time.time_ns() - earlier))
        yield
