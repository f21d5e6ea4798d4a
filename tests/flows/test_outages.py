"""What the product stands on is taken away and comes back: nothing is lost, and nothing is done twice.

Real processes on servers of their own, which are restarted, emptied, or shown another time, while clients write and
keep their own books. Nobody restarts the product.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Account
from audit.keys import milliseconds_of
from audit.scope import scope
from provisioning.models.exchange import Exchange
from tests.factories.scim import a_user, connect
from tests.flows.drill import blows
from tests.flows.drill.blows import FAST, HOUR, IMMEDIATE
from tests.flows.drill.installation import Installation, installed
from tests.flows.drill.seeded import begun
from tests.flows.drill.sender import Sender
from tests.flows.drill.stories import a_tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.local, pytest.mark.flow, pytest.mark.once]


@pytest.fixture(scope="module")
def installation(django_db_blocker: Any) -> Iterator[Installation]:
    # What is acknowledged has to outlive the server: its commits wait for its log.
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


def test_the_first_requests_after_a_restart_find_no_connection_that_has_died(installation: Installation) -> None:
    database = installation.copy()
    with installation.looking(database):
        idp = connect(a_tenant("idle"), "Okta")
        id = idp.user("ada")  # noqa: A001  SCIM's word
    with installation.running("web", database=database) as running:
        running.until(running.answers, what="the web process")
        # As many at once as there are threads: every process has connections of its own.
        assert _ask(running.address, idp.token, id, clients=8) == {200: 8 * ASKED}
        for how in (FAST, IMMEDIATE):
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


def test_books_and_tables_are_equal_after_the_broker_forgot_and_the_clock_jumped_and_no_client_heard_of_it(
    installation: Installation,
) -> None:
    clock = blows.Clock(installation.state.path / "clock")
    clock.move(0.0)
    with begun(installation, seed=3_001, besides=clock.environment) as (one, running, database):
        lived: list[dict[str, list[int]]] = []

        def strike(blow: Callable[[], None]) -> None:
            lived.append(blows.pids(running))
            blow()

        flush, restart = partial(blows.flush_broker, running), partial(blows.restart_broker, running)
        ahead, behind, right = (partial(clock.move, by) for by in (HOUR, -HOUR, 0.0))
        struck = (flush, ahead, restart, behind, flush, right)
        one.run(running, database=database, blows=[partial(strike, blow) for blow in struck])
        lived.append(blows.pids(running))
    with installation.looking(database):
        differences = one.differences()
        with scope(tenant=one.tenant.pk):
            keys = Exchange.objects.filter(outcome="applied").values_list("pk", "at")
            moved = {round((milliseconds_of(pk) / 1000 - at.timestamp()) / HOUR) for pk, at in keys}
    assert differences == [], f"after {one.counts}"
    assert moved == {-1, 0, 1}, "a key says what time it was for who made it"
    assert set(one.counts.statuses) <= {"200", "201", "204", "404"}
    assert one.counts.repeats == 0
    assert all(who == lived[0] for who in lived), "somebody had to be started again"


def test_the_scheduler_and_a_worker_find_what_was_promised_while_the_broker_forgot_or_was_away(
    installation: Installation,
) -> None:
    database = installation.copy()
    with installation.looking(database):
        idp = connect(a_tenant("promised"), "Okta")

    def applied() -> int:
        with installation.looking(database), scope(tenant=idp.tenant.pk):
            return Exchange.objects.filter(outcome="applied").count()

    services, quick = ("web", "worker", "beat"), {"ROLLCALL_SWEEP_SECONDS": "1"}
    with installation.running(*services, database=database, besides=quick) as running:
        running.until(running.answers, what="the web process")
        with Sender(running.address, idp.token, between=running.turn) as sender:
            for number, blow in enumerate((None, blows.flush_broker, blows.restart_broker), start=1):
                if blow is not None:
                    blow(running)
                answer = sender.send("POST", "/Users", a_user(f"person-{number}"), prefer="respond-async")
                assert (answer.status, answer.times) == (202, 1)
                # It may be that nobody was woken: then it is found by the clock.
                running.queue.delete("celery")
                running.until(lambda number=number: applied() == number, what=f"promise {number} is kept")
    with installation.looking(database), scope(tenant=idp.tenant.pk):
        assert Exchange.objects.count() == 3
        assert Account.objects.filter(state="active").count() == 3
