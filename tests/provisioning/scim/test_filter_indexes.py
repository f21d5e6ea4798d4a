"""The filters that directories ask all the time are found by an index, as the application's role, in its tenant."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.db import connection as database

from accounts.models import Account, Group
from accounts.models.group import Membership
from audit.scope import scope
from provisioning.models.shadow import Shadow
from provisioning.scim.columns import columns
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.filters.query import to_q
from provisioning.scim.metadata.catalogue import GROUP, USER
from provisioning.scim.resources import living
from tests.conftest import a_cause, as_owner
from tests.factories.scim import connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
MANY = 3_000
# The filter, and the index that must decide it with the column that it is looked up by.
HOT = {
    'userName eq "U7"': ("provisioning_shadow_name_once", "name_key"),
    'userName sw "u77"': ("provisioning_shadow_name_once", "name_key"),
    'externalId eq "E-7"': ("provisioning_shadow_", "external_id"),
    'id eq "{user}"': ("provisioning_shadow_pkey", "id = "),
    'emails eq "U7@ACME.example"': ("provisioning_shadow_by_email", "email_key"),
    'emails.value eq "u7@acme.example"': ("provisioning_shadow_by_email", "email_key"),
    'emails[value eq "u7@acme.example"]': ("provisioning_shadow_by_email", "email_key"),
    'emails[type eq "work" and value eq "u7@acme.example"]': ("provisioning_shadow_by_email", "email_key"),
    'emails[type eq "work"].value eq "u7@acme.example"': ("provisioning_shadow_by_email", "email_key"),
    'groups.value eq "{group}"': ("accounts_membership_", "group_id"),
    'groups[value eq "{group}"]': ("accounts_membership_", "group_id"),
    'meta.lastModified gt "2026-11-01T00:49:30Z"': ("provisioning_shadow_changed", "changed_at"),
    'meta.lastModified ge "2026-11-01T00:49:30Z"': ("provisioning_shadow_changed", "changed_at"),
}
HOT_GROUPS = {
    'displayName eq "G7"': ("provisioning_shadow_name_once", "name_key"),
    'members.value eq "{user}"': ("accounts_membership_", "account_id"),
    'members[value eq "{user}"]': ("accounts_membership_", "account_id"),
    'externalId eq "G-7"': ("provisioning_shadow_", "external_id"),
}
BESIDE = ("", " and active eq true", ' and title ne "x" and not (nickName pr)')


@pytest.fixture
def crowd(tenant: Tenant) -> tuple[Idp, dict[str, str]]:
    """A directory with thousands of users in as many groups, of which the database knows how many there are."""
    idp = connect(tenant)
    with scope(tenant=tenant.pk, cause=a_cause()):
        accounts = Account.objects.bulk_create(
            Account(tenant_id=tenant.pk, state="active", was_active=True, state_since=NOW, user_name=f"u{n}",
                    user_name_key=f"u{n}", made_at=NOW)
            for n in range(MANY)
        )  # fmt: skip
        groups = Group.objects.bulk_create(
            Group(tenant_id=tenant.pk, display_name=f"g{n}", display_name_key=f"g{n}", made_at=NOW) for n in range(MANY)
        )
        users = Shadow.objects.bulk_create(
            Shadow(tenant_id=tenant.pk, system=idp.system, resource_type="User", account=one, name=f"u{n}",
                   name_key=f"u{n}", external_id=f"E-{n}", email_key=f"u{n}@acme.example", more_emails=n % 500 == 0,
                   made_at=NOW, changed_at=NOW + dt.timedelta(seconds=n),
                   document={"userName": f"u{n}", "emails": [{"value": f"u{n}@acme.example", "type": "work"}]})
            for n, one in enumerate(accounts)
        )  # fmt: skip
        shadows = Shadow.objects.bulk_create(
            Shadow(tenant_id=tenant.pk, system=idp.system, resource_type="Group", group=one, name=f"g{n}",
                   name_key=f"g{n}", display_name_key=f"g{n}", external_id=f"G-{n}", more_emails=False, made_at=NOW, changed_at=NOW,
                   document={"displayName": f"g{n}"})
            for n, one in enumerate(groups)
        )  # fmt: skip
        Membership.objects.bulk_create(
            Membership(tenant_id=tenant.pk, group=group, account_id=user.account_id, origin="system",
                       system=idp.system, origin_ref=user.pk, since=NOW)
            for group, user in zip(groups, users, strict=True)
        )  # fmt: skip
        with as_owner(), database.cursor() as cursor:
            cursor.execute("ANALYZE provisioning_shadow, accounts_account, accounts_group, accounts_membership")
    return idp, {"user": str(users[7].pk), "group": str(shadows[7].pk)}


def plan_of(idp: Idp, written: str, *, groups: bool) -> tuple[str, int]:
    resource_type = GROUP if groups else USER
    with scope(tenant=idp.tenant.pk), database.cursor() as cursor:
        wanted = to_q(parse_filter(written, resource_type), columns(idp.system, resource_type, at=NOW))
        rows = living(idp.system).filter(wanted, resource_type=resource_type.name).order_by()
        statement, parameters = rows.query.sql_with_params()
        cursor.execute(f"EXPLAIN (COSTS OFF) {statement}", parameters)
        return "\n".join(row[0] for row in cursor.fetchall()), len(rows)


def sorts_by_code_points() -> bool:
    """Whether this server's index is in the order of code points: a text's beginning is a range of no other."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT datlocprovider = 'b' OR datcollate = 'C' FROM pg_database WHERE datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def test_a_hot_filter_uses_its_index_alone_and_beside_others(crowd: tuple[Idp, dict[str, str]]) -> None:
    idp, ids = crowd
    for asked, groups in ((HOT, False), (HOT_GROUPS, True)):
        for written, (index, column) in asked.items():
            text = written.replace("{user}", ids["user"]).replace("{group}", ids["group"])
            for beside in BESIDE if not groups else BESIDE[:1]:
                plan, found = plan_of(idp, text + beside, groups=groups)
                assert found == {"sw": 11, "gt": 29, "ge": 30}.get(text.split()[1], 1), (text + beside, found)
                if text.split()[1] == "sw" and not sorts_by_code_points():
                    continue
                assert index in plan, (text + beside, plan)
                assert any(column in line for line in plan.splitlines() if "Index Cond" in line), (text + beside, plan)
                assert "Seq Scan on provisioning_shadow" not in plan, (text + beside, plan)
                assert "Seq Scan on accounts_membership" not in plan, (text + beside, plan)
