"""What people type, or what stands in an address, is never a 500, however far it is from what was meant."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ValidationError

from accounts.models import RoleName
from governance.pages import end_of_day
from tests.factories.governance import a_person, a_service, a_system
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]


@pytest.mark.parametrize("day", [dt.date(1, 1, 1), dt.date(1899, 12, 31), dt.date(9999, 12, 31)])
def test_a_day_that_no_clock_reaches_is_refused(day: dt.date) -> None:
    with pytest.raises(ValidationError):
        end_of_day(day, zone=dt.UTC)


def test_the_end_of_a_day_is_the_beginning_of_the_next_where_the_tenant_is() -> None:
    assert end_of_day(dt.date(9998, 12, 31), zone=dt.UTC) == dt.datetime(9999, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
@pytest.mark.parametrize(
    ("role", "path", "field"),
    [
        (RoleName.SECURITY, "accounts/{account}/renew/", "until"),
        (RoleName.ADMINISTRATOR, "systems/{system}/token/", "until"),
        (RoleName.SECURITY, "campaigns/new/", "deadline"),
    ],
)
def test_a_form_with_such_a_day_says_what_to_choose(
    client: Client, tenant: Tenant, because: object, role: RoleName, path: str, field: str, day: str
) -> None:
    at = dt.datetime.now(dt.UTC)
    ids = {"account": a_service(tenant, "svc", at=at).pk, "system": a_system(tenant, at=at).pk}
    enter(client, a_user("l.chen", role, tenant=tenant))
    answer = client.post(f"/t/{tenant.slug}/admin/{path.format(**ids)}", {field: day, "reason": "a test"})
    assert answer.status_code in {200, 400, 422}
    assert "No clock reaches that day: choose another." in answer.content.decode()


@pytest.mark.parametrize(
    "path",
    ["accounts/?q=%00", "accounts/?kind=%00", "plans/?state=%00", "findings/?kind=%00&state=%00", "ledger/?outcome=%00",
     "records/accounts/account/?state__exact=%00", "records/accounts/account/?q=%00", "runs/?state=%00", "people/?q=%00",
     "campaigns/?q=%00", "systems/?q=%00", "approvals/?state=%00"],
)  # fmt: skip
def test_a_nul_in_an_address_is_no_error_of_ours(client: Client, tenant: Tenant, because: object, path: str) -> None:
    a_person(tenant, "ada", at=dt.datetime.now(dt.UTC))
    enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))
    assert client.get(f"/t/{tenant.slug}/admin/{path}").status_code < 500
