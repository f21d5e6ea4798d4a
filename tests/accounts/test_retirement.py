"""What has ended goes into the archive, and stays there."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import DatabaseError, transaction

from accounts import lifecycle, retirement
from accounts.models import Account
from accounts.models.account import AccountState
from tests.conftest import AT
from tests.factories.governance import a_person

pytestmark = pytest.mark.django_db

LATER = AT + dt.timedelta(days=700)


def test_what_has_ended_is_archived_once(tenant, because):
    ada = a_person(tenant, "ada", at=AT)
    lifecycle.deprovision(accounts=[ada.pk], reason="left", at=AT)
    assert retirement.retire(account=ada, at=LATER)
    assert (ada.state, ada.state_since) == (AccountState.ARCHIVED, LATER)
    assert not retirement.retire(account=ada, at=LATER + dt.timedelta(days=1))
    assert Account.objects.get(pk=ada.pk).state_since == LATER


def test_what_is_active_is_not_archived_and_what_is_never_comes_back(tenant, because):
    ada = a_person(tenant, "ada", at=AT)
    with pytest.raises(retirement.NotEnded, match="the account is active: only what has ended is archived"):
        retirement.retire(account=ada, at=LATER)
    lifecycle.deprovision(accounts=[ada.pk], reason="left", at=AT)
    retirement.retire(account=ada, at=LATER)
    with pytest.raises(DatabaseError, match="an archived account stays archived"), transaction.atomic():
        Account.objects.filter(pk=ada.pk).update(state="deprovisioned")
