"""A field key is changed: what the ledger keeps stays readable, and the old key can go."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from accounts.models import RoleName
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import bodies, rewrapping
from provisioning.models import BodyKey, Exchange
from tests.conftest import AT, a_cause, as_eraser
from tests.factories.governance import staff
from tests.factories.scim import connect

if TYPE_CHECKING:
    from accounts.models import Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def old(settings: Any) -> str:
    key: str = settings.ROLLCALL_FIELD_KEYS[0]
    return key


@pytest.fixture
def kept(tenant: Tenant, old: str) -> int:
    """Three resources, each with a key of its own under the old field key."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        staff(tenant, "l.chen", RoleName.SECURITY, at=AT)
    idp = connect(tenant)
    for name in ("ada", "bo", "cy"):
        idp.user(name)
    with scope(tenant=tenant.pk):
        return BodyKey.objects.count()


def run() -> tuple[int, str]:
    out = StringIO()
    try:
        with as_eraser():
            call_command("rewrap_keys", tenant="acme", by="l.chen", reason="yearly", stdout=out)
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue().strip()


def readable(tenant: Tenant) -> list[str]:
    """Why what is kept can't be read, if so."""
    with scope(tenant=tenant.pk):
        return [one.problem for one in bodies.shown_all(Exchange.objects.all()).values()]


def test_after_it_the_old_key_can_go(tenant: Tenant, kept: int, old: str, settings: Any) -> None:
    assert kept == 3
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode(), old]
    assert run() == (0, "3 of 3 keys were wrapped anew; the others had the newest field key already.")
    settings.ROLLCALL_FIELD_KEYS = settings.ROLLCALL_FIELD_KEYS[:1]
    assert readable(tenant) == [""] * 3
    with scope(tenant=tenant.pk):
        (entry,) = JournalEntry.objects.filter(event="ledger.keys_wrapped")
    assert entry.sentence == "3 keys of what the ledger keeps are wrapped under the newest field key."
    # A second time there is nothing to do, and nothing to tell.
    assert run() == (0, "0 of 3 keys were wrapped anew; the others had the newest field key already.")
    with scope(tenant=tenant.pk):
        assert JournalEntry.objects.filter(event="ledger.keys_wrapped").count() == 1


def test_a_slice_goes_on_where_the_one_before_it_ended(tenant: Tenant, kept: int, old: str, settings: Any) -> None:
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode(), old]
    with as_eraser(), scope(tenant=tenant.pk, cause=a_cause()):
        first = rewrapping.rewrap(after=None, most=2)
        second = rewrapping.rewrap(after=first.last, most=2)
    assert (first.seen, first.wrapped, first.last is not None) == (2, 2, True)
    assert (second.seen, second.wrapped, second.last) == (1, 1, None)
    assert readable(tenant) == [""] * 3


def test_a_key_that_nobody_can_unwrap_is_said_and_nothing_is_changed(tenant: Tenant, kept: int, settings: Any) -> None:
    with scope(tenant=tenant.pk):
        before = sorted(bytes(wrapped) for wrapped in BodyKey.objects.values_list("wrapped", flat=True))
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode()]
    code, says = run()
    assert (code, says.startswith("after 0 of 0: Its key can't be unwrapped")) == (1, True)
    with scope(tenant=tenant.pk):
        assert sorted(bytes(one) for one in BodyKey.objects.values_list("wrapped", flat=True)) == before


def test_the_application_wraps_no_key_anew(tenant: Tenant, kept: int, old: str, settings: Any) -> None:
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode(), old]
    in_scope = scope(tenant=tenant.pk, cause=a_cause())
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), in_scope:
        rewrapping.rewrap(after=None)
