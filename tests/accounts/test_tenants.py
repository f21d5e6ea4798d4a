"""Tenants are made once, with a word that an address can hold."""

import pytest
from django.core.management import CommandError, call_command

from accounts import tenants
from accounts.models import Tenant, TenantKind
from audit.scope import scope
from tests.conftest import AT, a_cause

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
