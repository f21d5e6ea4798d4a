"""The task that seals: every tenant in its turn, safe twice, and whoever fails stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from accounts import tasks
from audit import sealing, witness
from audit.models import Seal, Witnessed
from audit.scope import scope
from audit.seal_keys import make
from tests.conftest import a_cause

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the task says in the log."""
    said: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def __getattr__(self, level: str) -> Any:
            return lambda event, **more: said.append((event, more))

    monkeypatch.setattr(tasks, "log", Log())
    return said


@pytest.fixture
def key(settings: Any, tmp_path: Path) -> Path:
    """The worker's key."""
    make(tmp_path / "seal.pem")
    settings.ROLLCALL_SEAL_KEY_FILE = str(tmp_path / "seal.pem")
    settings.ROLLCALL_SEAL_WITNESS = ""
    return tmp_path / "seal.pem"


def count(tenant: Any) -> tuple[int, int]:
    """Seals of a chain, and how many of them the witness has."""
    with scope(tenant=tenant.pk if tenant else None):
        return Seal.objects.count(), Witnessed.objects.count()


def written(*tenants: Any) -> None:
    """One cause each."""
    for tenant in tenants:
        with scope(tenant=tenant.pk, cause=a_cause()):
            pass


def test_every_chain_is_sealed_once_and_a_second_tick_finds_nothing(make_tenant, key, told):
    ours, theirs = make_tenant("ours"), make_tenant("theirs")
    written(ours)
    tasks.seal()
    tasks.seal()
    assert [count(ours), count(theirs), count(None)] == [(1, 0), (0, 0), (1, 0)]
    written(ours, theirs)
    tasks.seal()
    assert [count(ours), count(theirs), count(None)] == [(2, 0), (1, 0), (1, 0)]
    assert told == []


def test_a_backlog_is_sealed_slice_by_slice_in_one_tick(make_tenant, key, monkeypatch):
    ours = make_tenant("ours")
    written(*[ours] * 5)
    monkeypatch.setattr(sealing.seal, "__kwdefaults__", {"most": 2})
    tasks.seal()
    assert count(ours) == (3, 0)


def test_without_a_key_nothing_is_sealed_and_the_log_says_why(make_tenant, settings, key, told):
    ours = make_tenant("ours")
    written(ours)
    settings.ROLLCALL_SEAL_KEY_FILE = ""
    tasks.seal()
    settings.ROLLCALL_SEAL_KEY_FILE = str(key)
    key.chmod(0o644)
    tasks.seal()
    assert count(ours) == (0, 0)
    assert [event for event, _ in told] == ["nothing_is_sealed"] * 2
    assert [more["because"].removeprefix(f"{key} ") for _, more in told] == [
        "ROLLCALL_SEAL_KEY_FILE is not set", "can be read by others than its owner: chmod 600 it",
    ]  # fmt: skip


def test_the_witness_is_told_at_each_tick_also_what_it_missed(make_tenant, settings, key, tmp_path, told):
    ours = make_tenant("ours")
    written(ours)
    settings.ROLLCALL_SEAL_WITNESS = str(tmp_path / "nowhere" / "witness")
    tasks.seal()
    assert count(ours) == (1, 0)
    assert {event for event, _ in told} == {"witness_not_told"}
    (tmp_path / "nowhere").mkdir()
    tasks.seal()
    assert (count(ours), count(None)) == ((1, 1), (1, 1))
    found = witness.read(tmp_path / "nowhere" / "witness", tenant=str(ours.pk))
    assert [line.number for line in found] == [1]


def test_a_tenant_that_fails_stops_no_other(make_tenant, key, monkeypatch, told):
    tenants = [make_tenant(slug) for slug in ("one", "two", "three")]
    written(*tenants)
    right = sealing.seal

    def wrong(*, tenant: Any, **rest: Any) -> Any:
        if tenant == tenants[1].pk:
            raise LookupError("no")
        return right(tenant=tenant, **rest)

    monkeypatch.setattr(sealing, "seal", wrong)
    tasks.seal()
    assert [count(tenant) for tenant in tenants] == [(1, 0), (0, 0), (1, 0)]
    assert told == [("sealing failed", {"tenant": str(tenants[1].pk)})]


def test_a_tick_ends_after_its_minute(make_tenant, key, monkeypatch):
    ours = make_tenant("ours")
    written(ours)
    monkeypatch.setattr(tasks, "MINUTE", 0.0)
    tasks.seal()
    assert (count(ours), count(None)) == ((0, 0), (0, 0))
