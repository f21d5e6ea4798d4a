"""Fills a database of Rollcall with a company: `python -m bench.within load PEOPLE`, as the application's own role.

People are copied in with their history (the triggers write it), into the columns that `provisioning.intake` fills;
groups go through the product's own door. That people are what the product would have made of them is looked at later,
by making one more through the API and comparing every column (`bench.columns`).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.db import connection
from psycopg.types.json import Jsonb

from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.system import System, SystemKind
from accounts.models.tenant import Tenant, TenantKind
from audit.keys import uuid7
from audit.models import Cause, CauseKind
from audit.scope import scope
from bench.company import Company, Person, account_id, user_id
from provisioning import group_intake, systems, tokens
from provisioning.changes import GroupChange, MemberStep, fold, user_name_key
from provisioning.models.shadow import Shadow
from provisioning.shadows import Sender, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import Model

MADE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SLICE = 50_000
"""People to a transaction."""


def _account_facts(person: Person) -> dict[str, Any]:
    """The columns in which one account differs from another."""
    return {
        "id": account_id(person.n),
        "user_name": person.user_name,
        "user_name_key": user_name_key(person.user_name),
        "display_name": person.display_name,
        "display_name_key": fold(person.display_name),
        "email": person.email,
    }


def account_of(person: Person, *, tenant_id: UUID) -> Account:
    """The account that a directory's word makes of a person."""
    return Account(
        tenant_id=tenant_id, kind=AccountKind.PERSON, state=AccountState.ACTIVE, was_active=True, state_since=MADE,
        made_at=MADE, **_account_facts(person),
    )  # fmt: skip


def _shadow_facts(person: Person) -> dict[str, Any]:
    """The columns in which one resource differs from another."""
    return {
        "id": user_id(person.n),
        "account_id": account_id(person.n),
        "name": person.user_name,
        "name_key": user_name_key(person.user_name),
        "external_id": person.external_id,
        "display_name_key": fold(person.display_name),
        "email_key": fold(person.email),
        "document": person.said,
        "digest": digest(person.said),
    }


def shadow_of(person: Person, *, tenant_id: UUID, system_id: UUID) -> Shadow:
    """The resource that goes with it."""
    return Shadow(
        tenant_id=tenant_id, system_id=system_id, resource_type="User", more_emails=False, wants_active=True,
        made_at=MADE, changed_at=MADE, **_shadow_facts(person),
    )  # fmt: skip


def _copy(like: Model, rows: Iterable[dict[str, Any]]) -> None:
    """Rows that are like one of their model except in the columns that they name.

    Into a table of the session first: COPY itself does not go together with row-level security.
    """
    fields = [field for field in like._meta.concrete_fields if not field.generated]
    table, columns = like._meta.db_table, ", ".join(f'"{field.column}"' for field in fields)
    same = {one.attname: one.get_db_prep_save(getattr(like, one.attname), connection=connection) for one in fields}
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS bench_{table} (LIKE {table} INCLUDING DEFAULTS)")
        with cursor.copy(f"COPY bench_{table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                values = {**same, **row}
                copy.write_row([Jsonb(one) if isinstance(one, dict) else one for one in values.values()])
        cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM bench_{table}")  # noqa: S608 - model's names
        cursor.execute(f"TRUNCATE bench_{table}")


def _cause(tenant: UUID | None = None) -> Any:
    return scope(tenant=tenant, cause=Cause(kind=CauseKind.COMMAND, actor="bench", reason="a company to measure"))


def _slices(numbers: range) -> Iterator[range]:
    for start in range(0, len(numbers), SLICE):
        yield numbers[start : start + SLICE]


def _groups(company: Company, system: System) -> dict[str, str]:
    made: dict[str, str] = {}
    for team in company.teams:
        members = tuple(user_id(n) for n in team.members)
        change = GroupChange(
            display_name=team.name, external_id=None, document={"displayName": team.name},
            said=frozenset({"displayName", "members"}), member_steps=(MemberStep(op="add", values=members),),
        )  # fmt: skip
        with _cause(system.tenant_id):
            sender = Sender(system=system, asked_by=system.name, exchange_id=uuid7())
            taken = group_intake.create_group(sender=sender, change=change, at=MADE)
            made[team.name] = str(taken.shadow.pk)
    return made


def main(people: str) -> dict[str, Any]:
    """Everything; returns what the bench has to know: token, tenant, system, and the groups' ids by name."""
    company = Company(people=int(people))
    now = dt.datetime.now(dt.UTC)
    with _cause():
        tenant = Tenant.objects.create(slug="bench", name="Bench", kind=TenantKind.ORGANISATION, made_at=MADE)
    with _cause(tenant.pk):
        system = systems.make_system(
            tenant_id=tenant.pk, name="Directory", kind=SystemKind.DIRECTORY, made_by=None, at=now
        )
        until = now + dt.timedelta(days=30)
        _, token = tokens.make_token(
            system=system, label="bench", may=["read", "write"], expires_at=until, made_by=None, at=now
        )
    for numbers in _slices(company.everybody):
        some = [Person(n=n) for n in numbers]
        with _cause(tenant.pk):
            _copy(account_of(some[0], tenant_id=tenant.pk), map(_account_facts, some))
            shadow = shadow_of(some[0], tenant_id=tenant.pk, system_id=system.pk)
            _copy(shadow, map(_shadow_facts, some))
    groups = _groups(company, system)
    return {"tenant": str(tenant.pk), "system": str(system.pk), "token": token, "groups": groups}
