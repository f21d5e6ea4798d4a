"""`manage.py replay` and `manage.py rebuild`: lines of text and exit codes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import RoleName
from audit.scope import scope
from provisioning import rebuilding
from provisioning.models.replay import Replay
from tests.conftest import a_cause, as_setup
from tests.factories.governance import staff
from tests.factories.rebuilds import AHEAD
from tests.factories.replays import a_patch, now, parked, title
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from provisioning.models.exchange import Exchange

pytestmark = pytest.mark.django_db


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    with scope(tenant=tenant.pk, cause=a_cause()):
        staff(tenant, "l.chen", RoleName.SECURITY, at=now())
        staff(tenant, "an.auditor", RoleName.AUDITOR, at=now())
    return connect(tenant, "Okta")


def run(name: str, *args: str, **options: Any) -> tuple[str, int]:
    """What a command says, and the code that it ends with."""
    out = StringIO()
    try:
        call_command(name, *args, stdout=out, **options)
    except CommandError as error:
        return f"{out.getvalue()}{error}", error.returncode
    return out.getvalue(), 0


def lost(idp: Idp, value: str = "SRE") -> tuple[str, Exchange]:
    user = idp.user(f"{value}@example.com")
    return user, parked(idp, "PATCH", f"/Users/{user}", a_patch(title(value)))


WHO = {"by": "L.Chen", "reason": "INC-7"}


def test_one_exchange_is_simulated_and_then_replayed(idp: Idp) -> None:
    user, one = lost(idp)
    text, code = run("replay", str(one.pk), tenant="acme", simulate=True)
    assert (code, text.splitlines()[-1]) == (0, "Replay 1: 1 would change. Nothing was written.")
    assert "applied" in text
    assert "title" not in idp.shadow(user).document
    assert run("replay", str(one.pk), tenant="acme", **WHO) == ("1 applied\nReplayed 1 of 1.\n", 0)
    assert idp.shadow(user).document["title"] == "SRE"
    with scope(tenant=idp.tenant.pk):
        row = Replay.objects.get()
    assert (row.asked_by, row.reason) == ("l.chen", "INC-7")


def test_what_is_superseded_is_told_by_the_newer_exchange(idp: Idp) -> None:
    user, one = lost(idp)
    idp.patch(f"/Users/{user}", title("Lead"))
    text, code = run("replay", str(one.pk), tenant="acme", simulate=True)
    assert code == 0
    assert f"superseded: title kept, superseded by {idp.last().pk}" in text


def test_all_that_is_parked_ends_with_two_where_something_is_left(idp: Idp) -> None:
    user, _one = lost(idp)
    parked(idp, "PATCH", f"/Users/{user}", None)
    text, code = run("replay", tenant="acme", parked=True, **WHO)
    assert (code, text.splitlines()[0], text.splitlines()[-1]) == (2, "1 applied", "1 could not be replayed")
    assert "its body is not kept" in text
    assert run("replay", tenant="acme", parked=True, simulate=True)[1] == 2


def test_a_range_of_a_system_and_all_of_a_resource(idp: Idp) -> None:
    user, _one = lost(idp)
    ends = {"system": "okta", "first": "2026-01-01T00:00Z", "last": str(idp.last().pk)}
    assert run("replay", tenant="acme", **ends, **WHO) == ("1 applied\n1 same\nReplayed 2 of 2.\n", 0)
    assert run("replay", tenant="acme", resource=user, **WHO)[1] == 0


@pytest.mark.parametrize(
    ("args", "options", "says"),
    [
        ((), {}, "say one of"),
        (("x",), {}, "'x' is no id of an exchange"),
        ((), {"resource": "x"}, "'x' is no id of a resource"),
        ((), {"parked": True, "resource": "x"}, "say one of"),
        ((), {"system": "Nope"}, "there is no system 'Nope' in this tenant"),
        ((), {"system": "Okta", "first": "yesterday"}, "'yesterday' is neither an id of the ledger nor an instant"),
        ((), {"system": "Okta", "last": "2026-13-01T00:00"}, "is neither an id of the ledger nor an instant"),
        ((), {"parked": True, "by": "nobody"}, "nobody signs in as 'nobody'"),
        ((), {"parked": True, "by": "an.auditor"}, "Replaying the ledger needs one of these roles"),
        ((), {"parked": True}, "No exchange is in this range"),
        ((), {"parked": True, "tenant": "nowhere"}, "there is no tenant 'nowhere'"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_said_in_a_line(idp: Idp, args: Any, options: Any, says: str) -> None:
    text, code = run("replay", *args, **{"tenant": "acme", **WHO, **options})
    assert code == 1
    assert says in text


def test_a_replay_without_a_reason_is_none(idp: Idp) -> None:
    lost(idp)
    assert run("replay", tenant="acme", parked=True, by="l.chen") == (
        "Say why: a ticket, an incident, what you saw.",
        1,
    )


def test_the_ledger_is_rebuilt_and_the_result_is_said(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rebuilding.advance
    monkeypatch.setattr(rebuilding, "advance", lambda **values: real(**values, settled=AHEAD))
    user = idp.user("ada")
    text, code = run("rebuild", tenant="acme")
    assert code == 0
    assert "1 resources equal, 0 differ; left out: none." in text
    with scope(tenant=idp.tenant.pk, cause=a_cause()), as_setup():
        type(idp.shadow(user)).objects.filter(pk=user).update(digest="0" * 64)
    text, code = run("rebuild", tenant="acme", from_empty=True)
    assert code == 2
    assert f"ada (document), {user}" in text
    assert run("rebuild", tenant="nowhere") == ("there is no tenant 'nowhere'", 1)
