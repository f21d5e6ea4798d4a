"""Tenants are made once, with a word that an address can hold."""

import datetime as dt
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import tenants
from accounts.models import RoleName, Tenant, TenantKind
from audit.models import JournalEntry
from audit.scope import scope
from tests.conftest import AT, a_cause
from tests.factories.governance import staff

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("slug", "name", "zone", "days"),
    [
        ("a/b", "Acme", "UTC", 1),
        ("a b", "Acme", "UTC", 1),
        ("acme", " ", "UTC", 1),
        ("acme", "A", "Mars/Base", 1),
        ("acme", "A", "UTC", 0),
    ],
)
def test_what_can_be_no_tenant_is_refused_with_what_to_do(slug: str, name: str, zone: str, days: int) -> None:
    with scope(cause=a_cause()), pytest.raises(tenants.BadTenant):
        tenants.make(slug=slug, name=name, time_zone=zone, nhi_days=days, kind=TenantKind.ORGANISATION, at=AT)
    assert not Tenant.objects.exists()


def test_the_command_makes_a_tenant_and_refuses_a_second_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("make_tenant", "acme", "Acme Ltd", time_zone="Europe/Amsterdam")
    made = Tenant.objects.get()
    assert (made.slug, made.name, made.kind, made.zone.key) == ("acme", "Acme Ltd", "organisation", "Europe/Amsterdam")
    assert "Made the tenant Acme Ltd" in capsys.readouterr().out
    with pytest.raises(CommandError, match="exists already"):
        call_command("make_tenant", "acme", "Acme Again")


@pytest.mark.parametrize(
    ("months", "zone", "at", "since"),
    [
        (1, "UTC", dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC), "2026-10-01T00:00:00+00:00"),
        (12, "UTC", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2025-01-01T00:00:00+00:00"),
        # Where it is December already.
        (1, "Asia/Tokyo", dt.datetime(2026, 11, 30, 22, tzinfo=dt.UTC), "2026-11-01T00:00:00+09:00"),
        (None, "UTC", dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC), None),
    ],
)
def test_the_ledger_is_kept_from_the_first_of_a_month_where_the_tenant_is(months, zone, at, since):
    tenant = Tenant(slug="a", name="A", time_zone=zone, ledger_months=months)
    found = tenants.kept_since(tenant, at=at)
    assert (found.isoformat() if found else None) == since


def test_how_long_the_ledger_is_kept_is_said_with_a_reason_and_recorded(tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        staff(tenant, "l.chen", RoleName.ADMINISTRATOR, at=AT)

    def said(months: str, **options: str) -> str:
        out = StringIO()
        call_command("keep_ledger", "acme", months, stdout=out, **{"by": "L.Chen", "reason": "policy 7", **options})
        return out.getvalue()

    assert said("24") == "Acme now keeps it for 24 months.\n"
    assert said("24") == "Acme already kept it for 24 months.\n"
    tenant.refresh_from_db()
    assert tenant.ledger_months == 24
    assert said("forever") == "Acme now keeps it for ever.\n"
    with scope(tenant=tenant.pk):
        sentences = list(JournalEntry.objects.filter(event="tenant.ledger_kept").values_list("sentence", flat=True))
    assert sentences == [
        "l.chen: the ledger keeps what is about resources that are gone for ever. policy 7",
        "l.chen: the ledger keeps what is about resources that are gone for 24 months. policy 7",
    ]
    for months, options, why in (
        ("0", {}, "a ledger is kept for 1 to 1200 months, or for ever"),
        ("soon", {}, "'soon' is neither a number of months nor forever"),
        ("24", {"reason": ""}, "say with --reason why"),
        ("24", {"by": "nobody"}, "say with --by who you are: nobody signs in as 'nobody'"),
    ):
        with pytest.raises(CommandError) as refusal:
            said(months, **options)
        assert str(refusal.value) == why
