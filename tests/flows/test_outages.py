"""What the product stands on is taken away and comes back: nothing is lost, and nothing is done twice.

Real processes on servers of their own, which are restarted, emptied, or shown another time, while clients write and
keep their own books. Nobody restarts the product.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.factories.scim import connect
from tests.flows.drill import blows
from tests.flows.drill.blows import FAST, HOUR, IMMEDIATE
from tests.flows.drill.installation import Installation, installed
from tests.flows.drill.seeded import begun
from tests.flows.drill.sender import Sender
from tests.flows.drill.stories import a_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.local, pytest.mark.flow, pytest.mark.once]


@pytest.fixture(scope="module")
def installation(django_db_blocker: Any) -> Iterator[Installation]:
    # What is acknowledged has to outlive the server: its commits wait for the disk.
    with installed(django_db_blocker, durable=True) as made:
        yield made


def test_books_and_tables_are_equal_after_the_database_was_restarted_and_crashed_under_clients(
    installation: Installation,
) -> None:
    with begun(installation, seed=3_000) as (one, running, database):
        lived: list[dict[str, list[int]]] = []

        def restart(how: Any) -> None:
            lived.append(blows.pids(running))
            blows.restart_database(running, database=database, how=how)

        one.run(running, database=database, blows=[partial(restart, how) for how in (FAST, IMMEDIATE) * 2])
        lived.append(blows.pids(running))
    with installation.looking(database):
        differences = one.differences()
    assert differences == [], f"after {one.counts}"
    assert one.counts.statuses["503"] > 0
    assert all(who == lived[0] for who in lived), "somebody had to be started again"
    print(one.counts)


@pytest.mark.parametrize("how", [FAST, IMMEDIATE])
def test_the_first_requests_after_a_restart_find_no_connection_that_has_died(
    installation: Installation, how: Any
) -> None:
    database = installation.copy()
    with installation.looking(database):
        idp = connect(a_tenant("idle"), "Okta")
        id = idp.user("ada")  # noqa: A001  SCIM's word
    with installation.running("web", database=database) as running:
        running.until(running.answers, what="the web process")
        # As many at once as there are threads: every process has connections of its own.
        assert _ask(running.address, idp.token, id, clients=8) == {200: 8 * ASKED}
        blows.restart_database(running, database=database, how=how)
        assert _ask(running.address, idp.token, id, clients=8) == {200: 8 * ASKED}


ASKED = 5


def _ask(address: str, token: str, id: str, *, clients: int) -> dict[int, int]:  # noqa: A002  SCIM's word
    """How often which status was answered, also to what was then sent again."""
    found: list[Sender] = []

    def one() -> None:
        with Sender(address, token) as sender:
            for _ in range(ASKED):
                sender.send("GET", f"/Users/{id}")
            found.append(sender)

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted: dict[int, int] = {}
    for sender in found:
        for status, times in sender.statuses.items():
            counted[int(status)] = counted.get(int(status), 0) + times
    return counted


def test_books_and_tables_are_equal_after_the_broker_was_emptied_and_killed_under_clients(
    installation: Installation,
) -> None:
    with begun(installation, seed=3_001) as (one, running, database):
        before = blows.pids(running)
        flush, restart = partial(blows.flush_broker, running), partial(blows.restart_broker, running)
        one.run(running, database=database, blows=[flush, restart] * 2)
        after = blows.pids(running)
    with installation.looking(database):
        differences = one.differences()
    assert differences == [], f"after {one.counts}"
    assert set(one.counts.statuses) <= {"200", "201", "204", "404", "409"}, "no client hears of it"
    assert one.counts.repeats == 0
    assert after["web"] == before["web"]
    print(one.counts)


def test_books_and_tables_are_equal_after_the_clock_jumped_to_and_fro_under_clients(
    installation: Installation,
) -> None:
    clock = blows.Clock.found(installation.state.path / "clock")
    if clock is None:
        message = "no libfaketime on this machine (Debian: libfaketime)"
        pytest.fail(message) if blows.demanded() else pytest.skip(message)
    with begun(installation, seed=3_002, besides=clock.environment) as (one, running, database):
        jumps = [partial(clock.jump, running, by) for by in (HOUR, 0.0, -HOUR, 0.0)]
        one.run(running, database=database, blows=jumps)
    with installation.looking(database):
        differences = one.differences()
    assert differences == [], f"after {one.counts}"
    print(one.counts)
