"""Fills a database of Rollcall with a company: `python -m bench.load PEOPLE`, as the application's own role.

People are copied in with their history (the triggers write it), into the columns that `provisioning.intake` fills;
groups go through the product's own door. That people are what the product would have made of them is looked at later,
by making one more through the API and comparing every column (`bench.likeness`).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import django

from bench.company import Company, Person, account_id, user_id

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
django.setup()

from django.db import connection  # noqa: E402  everything of the product wants its settings first

from accounts.models.account import Account, AccountKind, AccountState  # noqa: E402
from accounts.models.system import System, SystemKind  # noqa: E402
from accounts.models.tenant import Tenant, TenantKind  # noqa: E402
from audit.keys import uuid7  # noqa: E402
from audit.models import Cause, CauseKind  # noqa: E402
from audit.scope import scope  # noqa: E402
from provisioning import group_intake, systems, tokens  # noqa: E402
from provisioning.changes import GroupChange, MemberStep, fold, user_name_key  # noqa: E402
from provisioning.models.shadow import Shadow  # noqa: E402
from provisioning.shadows import Sender, digest  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from django.db.models import Field, Model

MADE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SLICE = 50_000
"""People to a transaction."""


def account_of(person: Person, *, tenant_id: UUID) -> Account:
    """The account that a directory's word makes of a person."""
    return Account(
        id=account_id(person.n), tenant_id=tenant_id, kind=AccountKind.PERSON, state=AccountState.ACTIVE,
        was_active=True, state_since=MADE, made_at=MADE, user_name=person.user_name,
        user_name_key=user_name_key(person.user_name), display_name=person.display_name,
        display_name_key=fold(person.display_name), email=person.email,
    )  # fmt: skip


def shadow_of(person: Person, *, tenant_id: UUID, system_id: UUID) -> Shadow:
    """The resource that goes with it."""
    return Shadow(
        id=user_id(person.n), tenant_id=tenant_id, system_id=system_id, resource_type="User",
        account_id=account_id(person.n), name=person.user_name, name_key=user_name_key(person.user_name),
        external_id=person.external_id, display_name_key=fold(person.display_name), email_key=fold(person.email),
        more_emails=False, wants_active=True, document=person.said, digest=digest(person.said),
        made_at=MADE, changed_at=MADE,
    )  # fmt: skip


def _fields(model: type[Model]) -> list[Field[Any, Any]]:
    return [field for field in model._meta.concrete_fields if not field.generated]


def _copy(model: type[Model], rows: Iterable[Model]) -> None:
    """Into a table of the session first: COPY itself does not go together with row-level security."""
    fields, table = _fields(model), model._meta.db_table
    columns = ", ".join(f'"{field.column}"' for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS bench_{table} (LIKE {table} INCLUDING DEFAULTS)")
        with cursor.copy(f"COPY bench_{table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(
                    [field.get_db_prep_save(getattr(row, field.attname), connection=connection) for field in fields]
                )
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


def load(company: Company) -> dict[str, Any]:
    """Everything; returns what the bench has to know: token, tenant, system, and the groups' ids by name."""
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
        people = [Person(n=n) for n in numbers]
        with _cause(tenant.pk):
            _copy(Account, (account_of(one, tenant_id=tenant.pk) for one in people))
            _copy(Shadow, (shadow_of(one, tenant_id=tenant.pk, system_id=system.pk) for one in people))
    groups = _groups(company, system)
    return {"tenant": str(tenant.pk), "system": str(system.pk), "token": token, "groups": groups}


if __name__ == "__main__":
    print(json.dumps(load(Company(people=int(sys.argv[1])))))
