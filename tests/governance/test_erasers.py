"""`manage.py erase`: what it says, what it does, and whom it refuses."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account, RoleName
from accounts.models.account import AccountState
from audit.scope import scope
from provisioning.models.erasure import Erasure
from tests.conftest import AT, a_cause, as_eraser
from tests.factories.governance import staff
from tests.factories.scim import connect

if TYPE_CHECKING:
    from accounts.models import Tenant, User

pytestmark = pytest.mark.django_db

NAME = "ada.lovelace"
WHO = {"by": "L.Chen", "reason": "DSR-12"}


@pytest.fixture
def chen(tenant: Tenant) -> User:
    with scope(tenant=tenant.pk, cause=a_cause()):
        return staff(tenant, "l.chen", RoleName.SECURITY, at=AT)


@pytest.fixture
def ada(tenant: Tenant, chen: User) -> Account:
    """She has left, and her directory has deleted her."""
    idp = connect(tenant, "Okta")
    user = idp.user(NAME)
    account = idp.shadow(user).account
    idp.delete(f"/Users/{user}")
    assert account is not None
    with scope(tenant=tenant.pk):
        account.refresh_from_db()
    return account


def run(*args: str, **options: Any) -> tuple[int, list[str]]:
    """The command's exit status and lines, under the eraser's role."""
    out = StringIO()
    try:
        with as_eraser():
            call_command("erase", *args, stdout=out, tenant="acme", **options)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}".splitlines()
    return 0, out.getvalue().splitlines()


def test_without_yes_it_says_what_it_would_take_out_and_changes_nothing(tenant: Tenant, ada: Account) -> None:
    code, lines = run(str(ada.pk), **WHO)
    assert code == 0
    assert lines[0].startswith("Would be erased: ")
    assert "  1 in accounts_account" in lines
    assert "  1 in provisioning_bodykey" in lines
    assert lines[-1] == "Nothing was changed. Say --yes to do it; there is no way back."
    with scope(tenant=tenant.pk):
        ada.refresh_from_db()
        assert (ada.user_name, ada.state, Erasure.objects.count()) == (NAME, AccountState.DEPROVISIONED, 0)


def test_with_yes_it_erases_and_says_where_the_name_still_stands(tenant: Tenant, ada: Account, chen: User) -> None:
    with scope(tenant=tenant.pk, cause=a_cause(reason=f"a word with {NAME}")):
        Account.objects.filter(user_name="l.chen").update(display_name="L. Chen")
    code, lines = run(str(ada.pk), yes=True, **WHO)
    assert code == 0
    assert lines[0].startswith("Erased: ")
    at = lines.index("Their names still stand in what is not about this account:")
    assert lines[at + 1 :] == ["  1 in accounts_historicalaccount", "  1 in audit_cause"]
    with scope(tenant=tenant.pk):
        ada.refresh_from_db()
        row = Erasure.objects.get()
        assert (ada.user_name, ada.state) == ("[erased]", AccountState.ARCHIVED)
        assert (row.account_id, row.asked_by, row.reason) == (ada.pk, str(chen), "DSR-12")


def test_who_is_active_is_refused_with_what_to_do_first(tenant: Tenant, chen: User) -> None:
    idp = connect(tenant, "Okta")
    account = idp.shadow(idp.user(NAME)).account
    assert account is not None
    said = ["It can't be erased now:", "it is active: end it first", "Okta still lists it: have it deleted there first"]
    assert run(str(account.pk), yes=True, **WHO) == (1, said)
    code, lines = run(str(account.pk), **WHO)
    assert (code, lines[-3:]) == (1, said)


def test_nobody_erases_themselves(tenant: Tenant, chen: User) -> None:
    with scope(tenant=tenant.pk):
        own = Account.objects.get(user_name="l.chen")
    assert run(str(own.pk), yes=True, **WHO) == (1, ["nobody erases themselves: somebody else has to"])


@pytest.mark.parametrize(
    ("args", "options", "says"),
    [
        (["no-id"], WHO, "'no-id' is no id of an account"),
        (["00000000-0000-0000-0000-000000000000"], WHO,
         "there is no account 00000000-0000-0000-0000-000000000000 in Acme"),
        (["00000000-0000-0000-0000-000000000000"], {"by": "nobody", "reason": "x"},
         "say with --by who you are: nobody signs in as 'nobody'"),
        (["00000000-0000-0000-0000-000000000000"], {"by": "L.Chen", "reason": " "},
         "say with --reason why: it is kept for good, so nothing that tells of a person"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_one_line(chen: User, args: list[str], options: dict[str, str], says: str) -> None:
    assert run(*args, **options) == (1, [says])


def test_another_role_is_told_how_to_run_it(ada: Account) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("erase", str(ada.pk), tenant="acme", **WHO)
    assert str(refusal.value) == (
        "this takes evidence out, which rollcall_app may not: run it as ROLLCALL_ROLE=eraser manage.py erase …"
        " with DATABASE_ERASER_URL set"
    )
