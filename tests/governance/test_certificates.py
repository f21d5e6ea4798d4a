"""The daily certificate: signed once for each night, never later; grey where there is none; verified far away from here."""

from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import FindingKind, RoleName
from accounts.models.finding import Finding
from audit import seal_keys, sealing, witness
from audit.models import JournalEntry
from audit.scope import scope
from audit.standalone import verify_certificate
from governance import certificates, tasks
from governance.admin.certificates import as_file
from governance.models.certificate import Certificate
from tests.conftest import a_cause
from tests.factories.governance import a_connection, a_finding, a_service, a_shadow, a_system, now
from tests.governance.shell import a_user, enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper

    from accounts.models import Tenant
    from audit.seal_keys import SigningKey

pytestmark = [pytest.mark.face, pytest.mark.django_db]

SCRIPT = Path(verify_certificate.__file__)
PAGE = "/t/acme/admin/certificates/"
# In Tokyo it is the 24th, 04:00.
AT = dt.datetime(2026, 11, 23, 19, 0, tzinfo=dt.UTC)
DAY = dt.date(2026, 11, 23)
ONE = dt.timedelta(days=1)


@pytest.fixture
def tokyo(make_tenant: Callable[..., Tenant]) -> Tenant:
    return make_tenant(time_zone="Asia/Tokyo", made_at=AT - 10 * ONE)


@pytest.fixture
def inside(tokyo: Tenant) -> Iterator[Tenant]:
    with scope(tenant=tokyo.pk, cause=a_cause()):
        yield tokyo


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return seal_keys.make(tmp_path / "key.pem")


def issued(tenant: Tenant, key: SigningKey, *, after: int = 0) -> Certificate:
    """That of the day so many days later, made on the day after it."""
    return certificates.issue(tenant=tenant, day=DAY + after * ONE, key=key, at=AT + after * ONE)


# -- made


def test_a_certificate_says_what_was_measured_and_null_where_nothing_was(inside: Tenant, key: SigningKey) -> None:
    okta = a_system(inside, "Okta", at=AT)
    a_connection(okta, read_at=AT - dt.timedelta(minutes=5))
    a_system(inside, "Old CRM", at=AT)
    for each in range(3):
        a_shadow(okta, a_service(inside, f"svc-{each}", at=AT), at=AT)
    account = a_service(inside, "svc-x", at=AT)
    a_shadow(okta, account, at=AT)
    a_finding(FindingKind.STATUS_DIFFERS, "x", at=AT, system=okta.pk, account=account.pk, due_at=AT)
    made = issued(inside, key)
    said = json.loads(made.statement)
    assert (made.day, said["day"], said["zone"], said["at"]) == (
        "2026-11-23", "2026-11-23", "Asia/Tokyo", "2026-11-23T19:00:00.000000Z",
    )  # fmt: skip
    crm, first = sorted(said["systems"], key=lambda one: one["name"] == "Okta")
    assert {k: v for k, v in first.items() if k != "id"} == {
        "name": "Okta", "state": "differs", "because": "", "read": "2026-11-23T18:55:00.000000Z", "age": 300,
        "goal": 3600, "accounts": 4, "differ": 1,
    }  # fmt: skip
    assert (crm["state"], crm["read"], crm["age"], crm["goal"], crm["differ"]) == ("not_measured", *[None] * 4)
    assert said["coverage"] == {"total": 4, "equal": 3, "differing": 1, "excepted": 0, "unmeasured": 0}
    assert (said["findings"], said["overdue"], said["exceptions"]) == ({"no_owner": 4, "status_differs": 1}, 1, 0)
    assert (said["seal"], said["previous"], said["key"]) == (None, "", key.id)
    trusted = seal_keys.Trusted({key.id: key.private.public_key()})
    assert trusted.says(key.id, made.statement, bytes(made.signature))
    entry = JournalEntry.objects.get(event="roll.certified")
    assert entry.sentence == "what was measured at the end of 2026-11-23 is certified"


def test_it_is_made_once_and_names_the_one_before_it(inside: Tenant, key: SigningKey) -> None:
    first = issued(inside, key)
    assert issued(inside, key).pk == first.pk
    second = issued(inside, key, after=2)
    assert json.loads(second.statement)["previous"] == certificates.digest_of(first)
    assert Certificate.objects.count() == 2
    assert JournalEntry.objects.filter(event="roll.certified").count() == 2


@pytest.mark.parametrize("days", [-1, 1, 2])
def test_none_is_made_for_another_night_than_the_last(inside: Tenant, key: SigningKey, days: int) -> None:
    with pytest.raises(certificates.TooLate, match="could be made on"):
        certificates.issue(tenant=inside, day=DAY + days * ONE, key=key, at=AT)
    assert Certificate.objects.count() == 0


def test_a_day_ends_where_the_tenant_is(inside: Tenant) -> None:
    assert certificates.last_day(inside, at=dt.datetime(2026, 11, 23, 14, 59, tzinfo=dt.UTC)) == DAY - ONE
    assert certificates.last_day(inside, at=dt.datetime(2026, 11, 23, 15, 0, tzinfo=dt.UTC)) == DAY


# -- missed


def test_a_night_without_one_is_a_finding_until_the_next_that_has(inside: Tenant, key: SigningKey) -> None:
    issued(inside, key)
    late = AT + ONE
    assert certificates.watch(tenant=inside, at=late) is False
    late += certificates.PATIENCE
    assert certificates.has_something_to_say(tenant=inside, at=late)
    for hours in (0, 5):
        assert certificates.watch(tenant=inside, at=late + dt.timedelta(hours=hours)) is True
    finding = Finding.objects.get(kind="not_certified")
    assert finding.title.startswith("the night of 2026-11-24 has no certificate")
    assert finding.due_at == dt.datetime(2026, 11, 26, 0, 0, tzinfo=inside.zone)
    assert finding.evidence == {"first_night": "2026-11-24", "last_night": "2026-11-24"}
    issued(inside, key, after=2)
    assert certificates.watch(tenant=inside, at=AT + 2 * ONE + certificates.PATIENCE) is False
    finding.refresh_from_db()
    assert (finding.state, finding.resolution) == ("resolved", "a night after it has its certificate")
    assert not certificates.has_something_to_say(tenant=inside, at=AT + 2 * ONE + certificates.PATIENCE)
    nights = certificates.nights(tenant=inside, at=AT + 2 * ONE, count=4)
    assert [(night.day - DAY).days for night in nights] == [2, 1, 0, -1]
    assert [night.is_missing for night in nights] == [False, True, False, True]


def test_a_tenant_that_was_made_today_has_no_night_to_miss(make_tenant: Callable[..., Tenant]) -> None:
    made = make_tenant("new", made_at=AT)
    with scope(tenant=made.pk, cause=a_cause()):
        assert certificates.is_due(made, at=AT) is False
        assert certificates.watch(tenant=made, at=AT) is False
        assert certificates.nights(tenant=made, at=AT, count=9) == []


def test_the_task_signs_with_the_workers_key_and_an_idle_tick_writes_nothing(
    tenant: Tenant, key: SigningKey, tmp_path: Path, settings: SettingsWrapper
) -> None:
    settings.ROLLCALL_SEAL_KEY_FILE = str(tmp_path / "key.pem")
    for _twice in range(2):
        tasks.certify()
    with scope(tenant=tenant.pk):
        assert [one.key_id for one in Certificate.objects.all()] == [key.id]
        assert JournalEntry.objects.filter(event="roll.certified").count() == 1
        assert Finding.objects.count() == 0


@pytest.mark.parametrize("path", ["", "/nowhere/key.pem"])
def test_without_a_key_the_night_is_a_finding(tenant: Tenant, settings: SettingsWrapper, path: str) -> None:
    settings.ROLLCALL_SEAL_KEY_FILE = path
    tasks.certify()
    with scope(tenant=tenant.pk):
        assert Certificate.objects.count() == 0
        assert [(one.kind, one.state) for one in Finding.objects.all()] == [("not_certified", "open")]


# -- shown


def test_the_page_shows_each_night_and_what_is_missing_is_grey(client: Client, tenant: Tenant, key: SigningKey) -> None:
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=tenant))
    shown = text_of(client.get(PAGE))
    assert "nights have no certificate: nobody knows what was measured then." in shown
    at = now()
    day = certificates.last_day(tenant, at=at)
    with scope(tenant=tenant.pk, cause=a_cause()):
        okta = a_system(tenant, "Okta", at=at)
        a_connection(okta, read_at=at)
        a_shadow(okta, a_service(tenant, "svc", at=at), at=at)
        made = certificates.issue(tenant=tenant, day=day, key=key, at=at)
    shown = text_of(client.get(PAGE))
    assert f"The end of {day} Measured measured and equal" in shown
    assert f"{day} measured and equal 100.0 % 0 1 Save {day}" in shown
    assert f"{day - ONE} no certificate: not known - - - -" in shown
    answer = client.get(f"{PAGE}{made.pk}.json")
    assert answer["Content-Disposition"] == f'attachment; filename="certificate-acme-{day}.json"'
    assert json.loads(answer.content) == as_file(made)
    assert base64.b64decode(answer.json()["signature"]) == bytes(made.signature)


# -- verified elsewhere


class Office:
    """An auditor's machine: files, a public key, a witness, and the script."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.folder, self.made = folder, 0
        self.public = folder / "public.pem"
        self.public.write_text(key.public)
        self.witness = folder / "witness.jsonl"

    def save(self, body: Any) -> Path:
        self.made += 1
        path = self.folder / f"{self.made}.json"
        path.write_text(body if isinstance(body, str) else json.dumps(body))
        return path

    def verify(self, *files: Path, witness: bool = True, key: Path | None = None) -> tuple[int, list[str]]:
        more = ["--witness", str(self.witness)] if witness else []
        command = [sys.executable, str(SCRIPT), *map(str, files), "--key", str(key or self.public), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.fixture
def office(tmp_path: Path, key: SigningKey) -> Office:
    return Office(tmp_path, key)


@pytest.fixture
def three(inside: Tenant, key: SigningKey, office: Office) -> list[Any]:
    """Three nights, the last after one without; the seal that they name is in the witness."""
    seal = sealing.Seal(
        tenant_id=inside.pk, number=1, from_xid=0, to_xid=9, after_id=0, last_id=1, rows=1, root="0" * 64, shape="{}",
        leaves=b"", key_id=key.id, at=AT, statement=json.dumps({"tenant": str(inside.pk), "number": 1}), signature=b"s",
    )  # fmt: skip
    seal.save(force_insert=True)
    witness.append(office.witness, [witness.Line(str(inside.pk), 1, seal.statement, b"s")])
    return [dict(as_file(issued(inside, key, after=days))) for days in (0, 1, 3)]


def test_certificates_verify_far_away(office: Office, three: list[Any]) -> None:
    files = [office.save(one) for one in three]
    assert office.verify(*reversed(files)) == (
        0,
        [
            "acme 2026-11-23: 0 systems, 0 not measured, 0 differing; 0 findings open, 0 overdue, 0 exceptions",
            "acme 2026-11-24: 0 systems, 0 not measured, 0 differing; 0 findings open, 0 overdue, 0 exceptions",
            "acme 2026-11-26: 1 night before it had no certificate: nothing is known of then",
            "acme 2026-11-26: 0 systems, 0 not measured, 0 differing; 0 findings open, 0 overdue, 0 exceptions",
            "3 certificates, 0 faults",
            "signatures: checked",
        ],
    )
    code, lines = office.verify(files[0], witness=False)
    assert (code, lines[-1]) == (
        3, "witness: NOT CHECKED, none was given: the seals that are named are not looked for",
    )  # fmt: skip


def test_a_changed_certificate_is_found(office: Office, three: list[Any]) -> None:
    three[1]["statement"] = three[1]["statement"].replace('"overdue":0', '"overdue":1')
    code, lines = office.verify(*(office.save(one) for one in three))
    assert code == 1
    assert "acme 2026-11-24: its signature is wrong" in lines
    assert (
        "acme 2026-11-26: does not follow 2026-11-24: a certificate between them is missing here, or was changed"
        in lines
    )


def test_a_certificate_that_is_left_out_is_found(office: Office, three: list[Any]) -> None:
    code, lines = office.verify(office.save(three[0]), office.save(three[2]))
    assert code == 1
    assert lines[1] == (
        "acme 2026-11-26: does not follow 2026-11-23: a certificate between them is missing here, or was changed"
    )


def test_another_key_another_seal_and_another_spelling_are_found(
    office: Office, three: list[Any], tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(seal_keys.make(tmp_path / "other-key.pem").public)
    code, lines = office.verify(office.save(three[0]), key=other)
    assert code == 1
    assert lines[0].startswith("acme 2026-11-23: signed with a key that is not trusted")

    said = json.loads(office.witness.read_text())
    said["statement"] = said["statement"].replace('"number": 1', '"number":1')
    office.witness.write_text(json.dumps(said))
    code, lines = office.verify(office.save(three[0]))
    assert (code, lines[0]) == (1, "acme 2026-11-23: names another seal 1 than the witness has")

    three[0]["statement"] = json.dumps(json.loads(three[0]["statement"]))
    code, lines = office.verify(office.save(three[0]))
    assert code == 1
    assert lines[0].endswith("its statement is not written as it is signed: two programs could read it otherwise")


def test_a_seal_that_the_witness_has_not_got_is_no_green(office: Office, three: list[Any]) -> None:
    office.witness.write_text("torn li\n")
    code, lines = office.verify(office.save(three[0]))
    assert (code, lines[-1]) == (3, "witness: it has not got the seal of 1 certificates")


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"rollcall": "sealed", "statement": "{}", "signature": ""}', '{"statement": 1}']
)
def test_what_is_no_certificate_is_said(office: Office, body: str) -> None:
    office.witness.write_text("")
    code, lines = office.verify(office.save(body))
    assert code == 2
    assert "is no certificate" in lines[-1]
