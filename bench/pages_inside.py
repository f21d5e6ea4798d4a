"""Pages of staff over a large roll, inside the product: `python -m bench.within pages_inside PEOPLE TENANTS`.

Half of all accounts are one tenant's, the others' are spread over the rest: what a page costs must depend on neither. One
account in ten is a service account with an owner who accepted; one in a hundred differs and has its finding. Rows are
copies of some that the product's own verbs made, written as its own role, with the history that the triggers write.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import findings, lifecycle, ownership, people
from accounts.models.account import Account, AccountKind
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.ownership import Ownership
from accounts.models.system import SystemKind
from accounts.models.tenant import Tenant
from accounts.models.user import RoleName, User
from audit.models import Cause, CauseKind
from audit.scope import scope
from bench.measuring import Summary
from provisioning import systems
from provisioning.changes import user_name_key
from provisioning.models.shadow import Shadow
from provisioning.shadows import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from django.db.models import Model

WARM, TIMES = 3, 60
NHI_EACH, WRONG_EACH = 10, 100
SLICE = 50_000
# Keys of copies: in the order of their numbers, as those of a first push are.
_KEY = "(lpad(to_hex({epoch} + {first} + n), 12, '0') || '7' || substr(md5('{table}' || ({first} + n)), 1, 3) || '8' || substr(md5('{table}' || ({first} + n)), 4, 15))::uuid"
_EPOCH = 0x0190_0000_0000


def main(people_count: str, tenants: str) -> dict[str, Any]:
    """By page of the largest tenant and of a small one: seconds, queries, and the one that took longest."""
    count, many = int(people_count), int(tenants)
    started = time.perf_counter()
    small = (count // 2) // (many - 1)
    sizes = [count - small * (many - 1), *[small] * (many - 1)]
    made = 0
    staff = _staff()
    houses = []
    for number, size in enumerate(sizes):
        houses.append(_Tenant(number, staff).filled(first=made, count=size))
        made += size
    _tidy()
    return {
        "accounts": made, "tenants": many, "fill": time.perf_counter() - started,
        "large": houses[0].measured(), "small": houses[-1].measured(),
    }  # fmt: skip


def _staff() -> tuple[UUID, UUID]:
    """The first two administrators, who give everybody else their roles."""
    found, at = [], datetime.now(UTC)
    for name in ("root1", "root2"):
        with scope(cause=_cause()):
            user = people.make_user(username=name, at=at)
            people.grant_role(user=user, name=RoleName.ADMINISTRATOR, tenant=None, at=at, by_setup=True)
            found.append(user.identity_id)
    return found[0], found[1]


def _cause() -> Cause:
    return Cause(kind=CauseKind.COMMAND, actor="bench", reason="a roll to measure")


def _tidy() -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("VACUUM (ANALYZE)")


class _Tenant:
    """One tenant, its first accounts made by verbs, the rest their copies."""

    def __init__(self, number: int, staff: tuple[UUID, UUID]) -> None:
        self.at = datetime.now(UTC)
        self.slug = f"bench-{number}"
        with scope(cause=_cause()):
            self.tenant = Tenant.objects.create(slug=self.slug, name=f"Bench {number}", made_at=self.at)
        with self._writing():
            self.user = people.make_user(username=f"sec{number}", at=self.at)
            asked, granted = staff
            people.grant_role(
                user=self.user,
                name=RoleName.SECURITY,
                tenant=self.tenant,
                at=self.at,
                asked_by=asked,
                granted_by=granted,
            )
            self.system = systems.make_system(
                tenant_id=self.tenant.pk, name="Directory", kind=SystemKind.DIRECTORY, made_by=None, at=self.at
            )
            self.person = self._account("user", AccountKind.PERSON)
            self.nhi = self._account("svc", AccountKind.SERVICE, expires_at=self.at + timedelta(days=90))
            offered = ownership.offer(account=self.nhi, owner=self.person, at=self.at)
            self.ownership = ownership.accept(ownership=offered, at=self.at)
            self.shadows = [self._shadow(one) for one in (self.person, self.nhi)]
            findings.open_or_raise([self._wrong()], at=self.at)
            self.finding = Finding.objects.get(dedupe_key="bench:0")

    def _writing(self) -> Any:
        return scope(tenant=self.tenant.pk, cause=_cause())

    def _account(self, word: str, kind: AccountKind, **more: Any) -> Account:
        name = f"{word}-template"
        return lifecycle.create(
            tenant_id=self.tenant.pk, kind=kind, user_name=name, user_name_key=user_name_key(name), is_active=True,
            display_name=name, purpose="measured" if more else "", at=self.at, **more,
        )  # fmt: skip

    def _shadow(self, account: Account) -> Shadow:
        document = {"userName": account.user_name, "displayName": account.display_name, "active": True}
        made: Shadow = Shadow.objects.create(
            tenant_id=self.tenant.pk, system=self.system, resource_type="User", account=account, name=account.user_name,
            name_key=account.user_name_key, external_id=account.user_name, document=document, digest=digest(document),
            wants_active=True, made_at=self.at, changed_at=self.at,
        )  # fmt: skip
        return made

    def _wrong(self) -> findings.Wrong:
        return findings.Wrong(
            kind=FindingKind.STATUS_DIFFERS, key="bench:0", title="user-template: inactive at Directory, active here",
            severity=Severity.HIGH, account=self.person.pk, system=self.system.pk,
        )  # fmt: skip

    def filled(self, *, first: int, count: int) -> _Tenant:
        """Copies of the templates, in slices."""
        self.first, self.count = first, count
        for begin in range(first, first + count, SLICE):
            some = min(SLICE, first + count - begin)
            with self._writing():
                self._copy(begin, some)
        return self

    def _copy(self, begin: int, some: int) -> None:
        nhi, wrong = f"n % {NHI_EACH} = 0", f"n % {WRONG_EACH} = 1"
        account = self._key(Account, begin)
        # First, since no service account is active before its owner has accepted; references are looked at in the end.
        self._insert(Ownership, self.ownership, nhi, some, id=self._key(Ownership, begin), account_id=account)
        for template, shadow, word, which in (
            (self.person, self.shadows[0], "user", f"NOT ({nhi})"), (self.nhi, self.shadows[1], "svc", nhi),
        ):  # fmt: skip
            name = f"'{word}' || lpad(({begin} + n)::text, 7, '0') || '@example.com'"
            self._insert(
                Account, template, which, some, id=account, user_name=name, user_name_key=name,
                display_name=f"'Ada ' || ({begin} + n)", display_name_key=f"'ada ' || ({begin} + n)",
            )  # fmt: skip
            self._insert(
                Shadow, shadow, which, some, id=self._key(Shadow, begin), account_id=account, name=name, name_key=name,
                external_id=name,
            )  # fmt: skip
        self._insert(
            Finding, self.finding, wrong, some, id=self._key(Finding, begin), account_id=account,
            dedupe_key=f"'bench:' || ({begin} + n)",
        )  # fmt: skip

    def _key(self, model: type[Model], begin: int) -> str:
        return _KEY.format(epoch=_EPOCH, first=begin, table=model._meta.db_table)

    def _insert(self, model: type[Model], template: Model, which: str, some: int, **special: str) -> None:
        columns = [str(f.column) for f in model._meta.concrete_fields if not f.generated]
        values = ", ".join(special.get(one, f'r."{one}"') for one in columns)
        table, listed = model._meta.db_table, ", ".join(f'"{one}"' for one in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({listed}) SELECT {values} FROM (SELECT * FROM {table} WHERE id = %s) r,"  # noqa: S608  names of our models
                f" generate_series(1, {some}) n WHERE {which}".replace("%", "%%").replace("= %%s)", "= %s)"),
                [template.pk],
            )

    # -- measured

    def measured(self) -> dict[str, Any]:
        """By page, what it took."""
        client = Client(SERVER_NAME="127.0.0.1")
        with scope(cause=_cause()):
            client.force_login(User.objects.get(pk=self.user.pk))
        return {name: self._page(client, address) for name, address in self._addresses().items()}

    def _addresses(self) -> Mapping[str, str]:
        base = f"/t/{self.slug}/admin"
        middle = self.first + self.count // 2
        return {
            "front": f"{base}/",
            "accounts": f"{base}/accounts/",
            "accounts, page 100": f"{base}/accounts/?page=100",
            "accounts, the last page": f"{base}/accounts/?page=200",
            "search by name": f"{base}/accounts/?q=user{middle:07d}",
            "search by prefix": f"{base}/accounts/?q=user0",
            "search for nobody": f"{base}/accounts/?q=nobody",
            "service accounts": f"{base}/accounts/?kind=nhi",
            "without an owner": f"{base}/accounts/?kind=nhi&with=no_owner",
            "of a system": f"{base}/accounts/?system={self.system.pk}",
            "findings": f"{base}/findings/",
            "findings, page 20": f"{base}/findings/?page=20",
            "systems": f"{base}/systems/",
            "one system": f"{base}/systems/{self.system.pk}/",
            "runs": f"{base}/runs/",
            "ledger": f"{base}/ledger/",
            "plans": f"{base}/plans/",
            "one account": f"{base}/accounts/{self._some_account()}/",
        }

    def _some_account(self) -> UUID:
        with scope(tenant=self.tenant.pk):
            return (
                Account.objects.filter(user_name_key__gte="user")
                .order_by("user_name_key")
                .values_list("pk", flat=True)[1]
            )

    def _page(self, client: Client, address: str) -> dict[str, Any]:
        samples = []
        for turn in range(WARM + TIMES):
            started = time.perf_counter()
            answer = client.get(address)
            taken = time.perf_counter() - started
            if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
                raise AssertionError(f"{address} answered {answer.status_code}")
            if turn >= WARM:
                samples.append(taken)
        with CaptureQueriesContext(connection) as seen:
            client.get(address)
        one = Summary.of(samples)
        return {
            "median": one.median, "p95": one.p95, "queries": len(seen), "slowest": _slowest(seen.captured_queries),
        }  # fmt: skip


def _slowest(queries: list[dict[str, str]]) -> list[str]:
    """The statement that took longest, with its seconds."""
    worst = max(queries, key=lambda one: float(one["time"]), default=None)
    return [worst["time"], worst["sql"][:600]] if worst else []
