"""What the product costs in the database alone, without HTTP: `python -m bench.within inside FACTS ROUNDS`, as the application.

Each of the product's own functions runs in a scope, in turns with the least that PostgreSQL needs for the same rows;
what was written is rolled back. Prints one JSON object: by piece its summaries in seconds, and statements by request.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from django.db import connection, transaction
from django.test import Client

from accounts.models.group import Membership
from accounts.models.system import System
from audit.keys import uuid7
from audit.models import Cause, CauseKind
from audit.scope import scope
from bench import memory
from bench.company import Company, user_id
from bench.load import MADE
from bench.measuring import Entry, Summary, Unable, interleave
from bench.statements import BASE, Statements, requests
from local.ports import LOOPBACK
from provisioning import group_intake, shadows
from provisioning.changes import GroupChange, MemberStep
from provisioning.models.shadow import Shadow
from provisioning.scim.authentication import Caller
from provisioning.scim.metadata.catalogue import USER
from provisioning.scim.projection import read_listings
from provisioning.scim.views import UsersView
from provisioning.shadows import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpResponse

SIZES = (1_000, 10_000, 100_000)
MOST_PUT = 10_000

_PLAIN_PAGE = """
SELECT document::text FROM provisioning_shadow
WHERE tenant_id = %s AND system_id = %s AND resource_type = 'User' AND ended_at IS NULL ORDER BY id LIMIT 100
"""
_PLAIN_GROUP = """
SELECT string_agg('{"value":"' || origin_ref || '","$ref":"' || %s || origin_ref || '","type":"User"}', ',')
FROM accounts_membership
WHERE tenant_id = %s AND group_id = %s AND system_id = %s AND origin = 'system' AND ended_at IS NULL
"""
_PLAIN_END = """
UPDATE accounts_membership SET ended_at = %s
WHERE tenant_id = %s AND group_id = %s AND system_id = %s AND origin = 'system' AND ended_at IS NULL
AND origin_ref <> ALL (%s::uuid[])
"""
_PLAIN_ADD = """
INSERT INTO accounts_membership (id, tenant_id, group_id, account_id, origin, system_id, origin_ref, since)
SELECT gen_random_uuid(), s.tenant_id, %s, s.account_id, 'system', s.system_id, s.id, %s
FROM (SELECT unnest(%s::uuid[]) AS id EXCEPT
      SELECT origin_ref FROM accounts_membership
      WHERE tenant_id = %s AND group_id = %s AND system_id = %s AND origin = 'system' AND ended_at IS NULL) AS missing
JOIN provisioning_shadow s ON s.id = missing.id
"""
_SETTLE = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"


@contextmanager
def _undone(tenant: UUID) -> Iterator[None]:
    """A scope that may write, and leaves nothing."""
    with scope(tenant=tenant, cause=Cause(kind=CauseKind.COMMAND, actor="bench", reason="to measure")):
        try:
            yield
        finally:
            transaction.set_rollback(True)


class Inside:
    """The measured company, from inside."""

    def __init__(self, facts: dict[str, Any], rounds: int) -> None:
        self.rounds = rounds
        self.tenant, self.token = UUID(facts["tenant"]), facts["token"]
        self.company = Company(people=facts["people"])
        self.groups: dict[str, str] = facts["groups"]
        with scope(tenant=self.tenant):
            self.system = System.objects.select_related("tenant").get(pk=facts["system"])
        self.found: dict[str, dict[str, Any]] = {}

    def turns(self, name: str, calls: dict[str, Callable[[], float]]) -> None:
        """Measure these in turns, and keep their summaries."""
        entries = [Entry(name=one, call=call) for one, call in calls.items()]
        interleave(entries, rounds=self.rounds, budget=20.0)
        self.found[name] = {entry.name: asdict(Summary.of(entry.samples)) for entry in entries if entry.samples}

    # -- pages

    def page(self) -> None:
        """A page of 100 as bytes, and the plain read of its documents."""

        def product() -> float:
            view = UsersView()
            view.at, view.base, view.query = dt.datetime.now(dt.UTC), "http://127.0.0.1:8000" + BASE, {"count": ["100"]}
            view.caller = Caller(token=cast("Any", None), secret="")
            vars(view.caller)["_known"] = self.system, ()  # known already: no token leads to it here
            with scope(tenant=self.tenant):
                started = time.perf_counter()
                answer = view.page(read_listings(view.query, (USER,)))
                content = cast("HttpResponse", answer.http()).content
                seconds = time.perf_counter() - started
            if content.count(b'"userName"') != 100:  # noqa: PLR2004  a page
                raise Unable("the page is not whole")
            return seconds

        self.turns("page", {"product": product, "plain": lambda: self._plain(_PLAIN_PAGE, self.system.pk)})

    def _plain(self, statement: str, *params: UUID) -> float:
        with scope(tenant=self.tenant), connection.cursor() as cursor:
            started = time.perf_counter()
            cursor.execute(statement, [self.tenant, *params])
            cursor.fetchall()
            return time.perf_counter() - started

    # -- groups

    def _shadow(self, size: int) -> Shadow:
        team = self.company.team(size)
        if team is None:
            raise Unable(f"no group of {size}")
        return Shadow.objects.select_related("group").get(pk=self.groups[team.name])

    def group(self, size: int) -> None:
        """A whole group as the receiver answers with it, whatever way the bytes come, and `string_agg`."""
        with scope(tenant=self.tenant):
            shadow = self._shadow(size)
        client, path = Client(SERVER_NAME=LOOPBACK), f"{BASE}/Groups/{shadow.pk}"
        headers = {"Authorization": f"Bearer {self.token}"}

        def product() -> float:
            started = time.perf_counter()
            response: Any = client.get(path, headers=headers)
            chunks = response.streaming_content if response.streaming else [response.content]
            length = sum(len(chunk) for chunk in chunks)
            seconds = time.perf_counter() - started
            if response.status_code != 200 or length < 100 * size:  # noqa: PLR2004  OK, and bytes to a member
                raise Unable(f"answered {response.status_code} with {length} bytes")
            return seconds

        def plain() -> float:
            with scope(tenant=self.tenant), connection.cursor() as cursor:
                started = time.perf_counter()
                params: list[Any] = [
                    "http://127.0.0.1:8000/scim/v2/Users/",
                    self.tenant,
                    shadow.group_id,
                    self.system.pk,
                ]
                cursor.execute(_PLAIN_GROUP, params)
                cursor.fetchone()
                return time.perf_counter() - started

        try:
            grew = _grows(product)
        except Unable:
            grew = None
        self.turns(f"group_{size}", {"product": product, "plain": plain})
        self.found[f"group_{size}"]["megabytes"] = grew

    def _sender(self) -> Sender:
        return Sender(system=self.system, asked_by=self.system.name, exchange_id=uuid7())

    def _change(self, shadow: Shadow, step: MemberStep) -> GroupChange:
        return GroupChange(
            display_name=shadow.name, external_id=None, document=shadow.document, said=frozenset({"members"}),
            member_steps=(step,),
        )  # fmt: skip

    def _door(self, size: int, step: MemberStep, statements: Statements) -> float:
        """The whole door for one change of a group: locked, applied, journaled, settled, rolled back."""
        with _undone(self.tenant):
            before = statements.seconds
            started = time.perf_counter()
            with connection.execute_wrapper(statements):
                pk = UUID(self.groups[cast("Any", self.company.team(size)).name])
                shadow = shadows.lock_shadow(system=self.system, resource_type="Group", id=pk)
                if shadow is None:
                    raise Unable("the group is gone")
                change = self._change(shadow, step)
                group_intake.change_group(sender=self._sender(), shadow=shadow, change=change, at=MADE)
                with connection.cursor() as cursor:
                    cursor.execute(_SETTLE)
            self._database = statements.seconds - before
            return time.perf_counter() - started

    def add_member(self, size: int) -> None:
        """One member more: the time of the whole door, and of it the time in the database."""
        spare = iter([user_id(n) for n in self.company.spare] * 10)
        databases: list[float] = []
        statements = Statements()

        def product() -> float:
            seconds = self._door(size, MemberStep(op="add", values=(next(spare),)), statements)
            databases.append(self._database)
            return seconds

        self.turns(f"add_member_{size}", {"product": product})
        self.found[f"add_member_{size}"]["database"] = asdict(Summary.of(databases[1:]))
        self.found[f"add_member_{size}"]["statements"] = len(statements.texts) // len(databases)

    def _outside(self, size: int) -> list[UUID]:
        """The spare people who are not in a group: some were put into it over HTTP."""
        spare = [user_id(n) for n in self.company.spare]
        with scope(tenant=self.tenant):
            living = Membership.objects.filter(group=self._shadow(size).group, ended_at__isnull=True)
            inside = set(living.filter(origin_ref__in=spare).values_list("origin_ref", flat=True))
        return [one for one in spare if one not in inside]

    def put(self, size: int) -> None:
        """A list of members that differs in one of a hundred: the door, and the bare difference in SQL."""
        team = self.company.team(size)
        if team is None:
            raise Unable(f"no group of {size}")
        spare = self._outside(size)
        changed = min(size // 100, len(spare))
        wanted = [*(user_id(n) for n in team.members[changed:]), *spare[:changed]]
        statements = Statements()

        def product() -> float:
            return self._door(size, MemberStep(op="replace", values=tuple(wanted)), statements)

        def plain() -> float:
            with _undone(self.tenant):
                group, system = self._shadow(size).group_id, self.system.pk
                started = time.perf_counter()
                with connection.cursor() as cursor:
                    cursor.execute(_PLAIN_END, [MADE, self.tenant, group, system, wanted])
                    cursor.execute(_PLAIN_ADD, [group, MADE, wanted, self.tenant, group, system])
                    if cursor.rowcount != changed:
                        raise Unable(f"{cursor.rowcount} rows are not the difference")
                    cursor.execute(_SETTLE)
                return time.perf_counter() - started

        self.turns(f"put_{size}", {"product": product, "plain": plain})


def _grows(call: Callable[[], float]) -> float:
    """Megabytes by which this process grows, at its most, while something is done for the first time."""
    pid = os.getpid()
    memory.forget_peak(pid)
    before = memory.rss(pid)
    call()
    return memory.peak(pid) - before


def main(text: str, rounds: str) -> dict[str, Any]:
    """Everything; `text` is what `bench.load` told, as JSON, and how many people there are."""
    facts = json.loads(text)
    inside = Inside(facts, int(rounds))
    requests(facts)  # for warmth
    inside.page()
    for size in SIZES:
        if inside.company.team(size) is not None:
            inside.group(size)
            inside.add_member(size)
            if size <= MOST_PUT:
                inside.put(size)
    return {"pieces": inside.found, "requests": requests(facts)}
