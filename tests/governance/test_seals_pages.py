"""Seals on a page: what is signed, what waits, what the witness has; as many queries for three as for one."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from accounts import tenants
from accounts.models import RoleName
from audit import leaves
from audit.models import Seal, Witnessed
from audit.scope import scope
from tests.conftest import a_cause, as_owner
from tests.factories.governance import now
from tests.governance.shell import a_user, enter
from tests.house import rows

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

ADDRESS = "/t/acme/admin/ledger/seals/"


@pytest.fixture
def auditor(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("l.chen", RoleName.AUDITOR, tenant=tenant))


def sealed(tenant: Tenant, number: int, *, until: int = leaves.NEVER) -> None:
    """A row that says so; whether it holds is not a page's question."""
    with scope(tenant=tenant.pk):
        Seal.objects.create(
            tenant_id=tenant.pk, number=number, from_xid=0, to_xid=until, after_id=10**9, last_id=10**9, rows=1_234,
            root="a1" * 32, shape="{}", leaves=b"", statement="{}", signature=b"", key_id="b2" * 32, at=now(),
        )  # fmt: skip


def text_of(client: Client) -> str:
    answer = client.get(ADDRESS)
    assert answer.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_before_the_first_seal_the_page_says_that_nothing_is_sealed(auditor: Client) -> None:
    page = text_of(auditor)
    assert "Nothing is sealed yet. The worker seals once it has a key." in page
    assert "No witness" not in page


def test_a_seal_is_shown_with_its_root_its_key_and_what_the_witness_has(auditor: Client, tenant: Tenant) -> None:
    sealed(tenant, 1)
    assert "No witness: a chain that is cut short would look whole." in text_of(auditor)
    with scope(tenant=tenant.pk):
        Witnessed.objects.create(tenant_id=tenant.pk, number=1, at=now())
    page = text_of(auditor)
    assert "No witness" not in page
    assert "was told up to seal 1" in page
    assert "1,234" in page
    assert f"{'a1' * 8}…" in page
    assert f"{'b2' * 8}…" in page
    assert "manage.py verify_seals --tenant acme --key FILE --witness FILE" in page


def test_what_waits_too_long_for_its_seal_is_a_warning(auditor: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        pass
    assert "Not sealed since" not in text_of(auditor)
    with scope(tenant=tenant.pk), as_owner(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_cause DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_cause SET at = at - interval '1 hour'")
    page = text_of(auditor)
    assert "Not sealed since 1 h ago" in page
    assert "Whoever runs Rollcall should look whether the worker runs and has its key." in page


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_asks_as_often_for_three_seals_as_for_one(
    auditor: Client, tenant: Tenant, count: int, django_assert_num_queries
) -> None:
    for number in range(1, count + 1):
        sealed(tenant, number)
    text_of(auditor)
    with django_assert_num_queries(17):
        text_of(auditor)


def test_the_page_says_how_long_the_ledger_is_kept_what_left_it_and_how_many_were_erased(
    auditor: Client, tenant: Tenant
) -> None:
    page = text_of(auditor)
    assert "The ledger keeps everything, for ever" in page
    assert "Erased nobody" in page
    with scope(tenant=tenant.pk, cause=a_cause()):
        tenants.keep_ledger(tenant=tenant, months=24, by="c", reason="policy")
        account = rows.account()
        rows.erasure(account=account)
        rows.archive(file="acme-2026.jsonl", until_number=7, digest="c3" * 32)
    page = text_of(auditor)
    assert (
        "for 24 months what is about resources that are gone; the last archive is acme-2026.jsonl, up to seal 7" in page
    )
    assert "c3c3c3c3c3c3c3c3…" in page
    assert "Erased what told of a person, in 1 account" in page
