"""A file is taken whole, or refused with a sentence and nothing has changed."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle
from accounts.models import System, SystemKind
from accounts.models.finding import Finding
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import connections, cursors, freshness, readback, reconciliation, systems, uploads
from provisioning.connectors.file_rows import Form
from provisioning.connectors.files import Claim
from provisioning.models import Readback, Run, Snapshot, SnapshotProof
from provisioning.models.connection import Connection, Connector
from provisioning.models.upload import Upload, UploadPiece
from tests.conftest import AT, a_cause
from tests.fakes.directories import known

if TYPE_CHECKING:
    from accounts.models import Tenant

pytestmark = pytest.mark.django_db

SECRET = "0123456789abcdef0123456789abcdef"
HEADER = "id,userName,active,displayName,externalId\n"
MADE = AT - dt.timedelta(minutes=30)


@pytest.fixture
def badges(tenant: Tenant) -> Connection:
    """A system that sends files, which nobody has sent yet."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        made = systems.make_system(tenant_id=tenant.pk, name="Badges", kind=SystemKind.APPLICATION, made_by=None, at=AT)
        return connections.connect(
            system=made, connector=Connector.FILE, secret=SECRET, canary_user_name="canary", page_size=2, at=AT
        )


def csv(*names: str) -> bytes:
    return (HEADER + "".join(f"id-{name},{name},true,,\n" for name in names)).encode()


def send(
    badges: Connection, data: bytes, *, rows: int, made_at: dt.datetime = MADE, at: dt.datetime = AT, **more: Any
) -> Upload:
    said = {"form": Form.CSV, "digest": hashlib.sha256(data).hexdigest(), "system": badges.system_id} | more
    signature = said.pop("signature", None)
    claim = Claim(rows=rows, made_at=made_at, **said)
    return uploads.receive(
        connection=badges, claim=claim, signature=claim.signature(SECRET) if signature is None else signature,
        source=io.BytesIO(data), cause=a_cause, at=at,
    )  # fmt: skip


def kept(tenant: Tenant) -> tuple[list[int], int, list[str]]:
    """The rows of each upload, the number of pieces, and what the journal says of files."""
    with scope(tenant=tenant.pk):
        said = JournalEntry.objects.filter(event__startswith="file.").order_by("id").values_list("sentence", flat=True)
        return list(Upload.objects.values_list("rows", flat=True)), UploadPiece.objects.count(), list(said)


def test_a_file_is_taken_with_what_was_signed_of_it_and_a_reading_is_due(tenant: Tenant, badges: Connection) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        Connection.objects.update(due_at=AT + dt.timedelta(days=1))
    data = csv("canary", "ada", "grace")
    send(badges, data, rows=3)
    with scope(tenant=tenant.pk):
        row = Upload.objects.get()
        assert (row.form, row.rows, row.users, row.groups, row.user_pieces, row.group_pieces) == ("csv", 3, 3, 0, 1, 0)
        assert (row.made_at, row.received_at, row.size) == (MADE, AT, len(data))
        assert Connection.objects.get().due_at == AT
    assert kept(tenant)[2] == ["a test: Badges: a file of 3 rows, made 2026-11-23 11:30:00 UTC, was taken"]


def test_a_newer_file_takes_the_place_of_the_one_before(
    tenant: Tenant, badges: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PIECE_ROWS", 2)
    send(badges, csv("canary", "ada", "grace"), rows=3)
    later = AT + dt.timedelta(minutes=5)
    send(badges, csv("canary"), rows=1, made_at=AT, at=later)
    rows, pieces, said = kept(tenant)
    assert (rows, pieces, len(said)) == ([1, 3], 1, 2)
    with scope(tenant=tenant.pk):
        assert UploadPiece.objects.get().ids == ["id-canary"]


@pytest.mark.parametrize(
    ("data", "rows", "words"),
    [
        (csv("canary", "ada"), 3, "The file has 2 rows, and 3 were signed: a part of it is missing."),
        (csv("canary", "ada"), 1, "The file has more than the 1 rows that were signed."),
        (csv("canary")[:-9], 1, "Line 2 has 2 cells, and the header has 5."),
        (b"id,userName\n1,ada\n", 1, "The header lacks active."),
        (b"id,userName,active\n1,\xff,true\n", 1, "not UTF-8"),
        (csv(*(f"u{n}" for n in range(1_200))) + b"broken", 1_201, "Line 1202 has 1 cells"),
    ],
    ids=["missing", "more", "cut off", "column", "bytes", "at its end"],
)
def test_a_file_that_is_not_what_it_should_be_changes_nothing_and_is_said_in_the_journal(
    tenant: Tenant, badges: Connection, data: bytes, rows: int, words: str
) -> None:
    send(badges, csv("canary"), rows=1)
    later = AT + dt.timedelta(minutes=1)
    with pytest.raises(uploads.Refused, match=words.replace(".", r"\.")):
        send(badges, data, rows=rows, made_at=AT, at=later)
    counts, pieces, said = kept(tenant)
    assert (counts, pieces, len(said)) == ([1], 1, 2)
    assert "was not taken" in said[1] and words in said[1]


@pytest.mark.parametrize(
    "more",
    [{"signature": "0" * 64}, {"signature": ""}, {"signature": "é"}, {"system": SystemKind}, {"rows": 2}],
    ids=["another", "none", "no hex", "for another system", "of other rows"],
)
def test_what_is_not_signed_is_refused_before_it_is_read_and_writes_nothing(
    tenant: Tenant, badges: Connection, more: dict[str, Any]
) -> None:
    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    data = csv("canary")
    claim = Claim(system=badges.system_id, form=Form.CSV, rows=1, made_at=MADE, digest=hashlib.sha256(data).hexdigest())
    said = {"rows": 1, "system": badges.system_id} | more
    signature = said.pop("signature", claim.signature(SECRET))
    if said["system"] is SystemKind:
        said["system"] = badges.pk
        signature = Claim(**_values(claim) | {"system": badges.pk}).signature(SECRET)
    with pytest.raises(uploads.NotSigned):
        uploads.receive(
            connection=badges, claim=Claim(**_values(claim) | said), signature=str(signature), source=Unread(),
            cause=a_cause, at=AT,
        )  # fmt: skip
    assert kept(tenant) == ([], 0, [])


def _values(claim: Claim) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in ("system", "form", "rows", "made_at", "digest")}


def test_bytes_other_than_those_whose_digest_was_signed_are_refused(tenant: Tenant, badges: Connection) -> None:
    with pytest.raises(uploads.Refused, match="not those whose digest was signed"):
        send(badges, csv("eve"), rows=1, digest=hashlib.sha256(csv("ada")).hexdigest())
    assert kept(tenant)[:2] == ([], 0)


@pytest.mark.parametrize("older", [dt.timedelta(0), dt.timedelta(seconds=1), dt.timedelta(days=1)])
def test_a_file_as_old_as_the_last_one_or_older_is_refused(
    tenant: Tenant, badges: Connection, older: dt.timedelta
) -> None:
    send(badges, csv("canary"), rows=1)
    with pytest.raises(uploads.NotNewer, match=r"not newer than the last one, which was made 2026-11-23 11:30:00 UTC"):
        send(badges, csv("canary", "ada"), rows=2, made_at=MADE - older, at=AT + dt.timedelta(hours=1))
    assert kept(tenant)[:2] == ([1], 1)


def test_a_file_from_the_future_and_one_that_is_sent_too_soon_are_refused(tenant: Tenant, badges: Connection) -> None:
    with pytest.raises(uploads.Refused, match="made in the future"):
        send(badges, csv("canary"), rows=1, made_at=AT + dt.timedelta(minutes=6))
    send(badges, csv("canary"), rows=1)
    with pytest.raises(uploads.TooOften) as caught:
        send(badges, csv("canary"), rows=1, made_at=AT, at=AT + dt.timedelta(seconds=3))
    assert caught.value.retry_after == 8
    assert kept(tenant)[:2] == ([1], 1)


def test_a_file_past_its_bound_is_refused_while_it_is_copied(tenant: Tenant, badges: Connection, settings: Any) -> None:
    settings.ROLLCALL_FILE_MAX_BYTES = 60
    with pytest.raises(uploads.Refused, match="A file has at most 60 bytes"):
        send(badges, csv("canary", "ada"), rows=2)
    assert kept(tenant)[:2] == ([], 0)


def test_a_system_that_ended_or_is_paused_or_is_read_otherwise_takes_no_files(
    tenant: Tenant, badges: Connection
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert uploads.connection_for(badges.system_id) == badges
        connections.pause(connection=badges, reason="x", at=AT)
        assert uploads.connection_for(badges.system_id) is None
        connections.resume(connection=badges, at=AT)
        connections.change_connection(
            connection=badges, connector=Connector.SCIM, base_url="https://badges.example/v2", secret="", at=AT
        )
        assert uploads.connection_for(badges.system_id) is None


# -- read


def read(tenant: Tenant, badges: Connection, *, at: dt.datetime = AT) -> tuple[str, str]:
    with scope(tenant=tenant.pk, cause=a_cause()):
        run = reconciliation.start(system=badges.system, started_by="a test", at=at)
    assert reconciliation.advance(tenant=tenant.pk, run_id=run.pk, clock=lambda: at) is True
    with scope(tenant=tenant.pk):
        run.refresh_from_db()
        return run.state, run.problem


def test_a_reading_of_a_whole_file_is_complete_as_of_the_file(tenant: Tenant, badges: Connection) -> None:
    send(badges, csv("canary", "ada", "grace"), rows=3)
    assert read(tenant, badges) == ("closed", "")
    with scope(tenant=tenant.pk):
        assert (Snapshot.objects.get().pages, Snapshot.objects.get().since) == (2, MADE)
        assert Connection.objects.get().last_complete_at == MADE
        total = SnapshotProof.objects.get(word="total")
        assert (total.holds, total.detail) == (True, "Users 3")
        assert Run.objects.get().counts["users"] == 3


def test_a_file_whose_rows_went_missing_here_is_no_whole_reading(
    tenant: Tenant, badges: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PIECE_ROWS", 2)
    send(badges, csv("canary", "ada", "grace"), rows=3)
    with scope(tenant=tenant.pk, cause=a_cause()):
        UploadPiece.objects.filter(number=1).delete()
    state, problem = read(tenant, badges)
    assert state == "failed"
    assert problem.endswith("A part of the file is not there any more: send it again.")


def test_a_file_with_a_row_of_a_wrong_type_is_not_drained(tenant: Tenant, badges: Connection) -> None:
    send(badges, csv("canary") + b"7,ada,perhaps,,\n", rows=2)
    state, problem = read(tenant, badges)
    assert (state, "1 of 2 Users" in problem) == ("incomplete", True)


def test_before_a_file_has_come_the_reading_says_so(tenant: Tenant, badges: Connection) -> None:
    assert read(tenant, badges) == ("failed", "page 1: No file of it has come yet.")


def findings(tenant: Tenant, *, at: dt.datetime) -> list[str]:
    with scope(tenant=tenant.pk, cause=a_cause()):
        freshness.watch_freshness(at=at)
        system = System.objects.get()
        open_now = Finding.objects.filter(state="open", dedupe_key=freshness.not_measured_key(system.pk))
        return list(open_now.values_list("title", flat=True))


def test_a_stale_file_is_a_finding_however_often_it_is_read(tenant: Tenant, badges: Connection) -> None:
    assert findings(tenant, at=AT) == ["Badges is not measured, never read completely: no file of it has come yet"]
    send(badges, csv("canary"), rows=1)
    assert read(tenant, badges) == ("closed", "")
    assert findings(tenant, at=MADE + dt.timedelta(minutes=60)) == []
    stale = MADE + dt.timedelta(minutes=61)
    assert read(tenant, badges, at=stale) == ("closed", "")
    title = (
        f"Badges is not measured, last read completely {MADE:%Y-%m-%d %H:%M} UTC: its newest file was made "
        f"{MADE:%Y-%m-%d %H:%M} UTC and is older than its goal of 60 minutes: send another"
    )
    assert findings(tenant, at=stale) == [title]
    send(badges, csv("canary"), rows=1, made_at=stale, at=stale)
    assert read(tenant, badges, at=stale) == ("closed", "")
    assert findings(tenant, at=stale) == []


# -- how it is connected, and what it is not asked


def test_a_connection_for_files_has_no_address_and_a_long_secret(tenant: Tenant, badges: Connection) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        for values, words in (
            ({"base_url": "https://badges.example/v2"}, "is read at no address"),
            ({"secret": "x" * 31}, "has at least 32 characters"),
            ({"connector": Connector.SCIM}, "needs its own address and secret"),
            ({"connector": Connector.SCIM, "base_url": "https://b.example/v2"}, "needs its own address and secret"),
        ):
            with pytest.raises(systems.BadSystem, match=words):
                connections.change_connection(connection=badges, at=AT, **values)  # type: ignore[arg-type]
        badges.refresh_from_db()
        assert (badges.connector, badges.base_url, connections.secret_of(badges)) == ("file", "", SECRET)


def test_a_system_that_sends_files_has_no_stream_to_listen_to(tenant: Tenant, badges: Connection) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert cursors.in_the_way(badges.system, badges) == (
            "Badges is not read over SCIM: it has no stream to listen to."
        )


def test_an_ending_is_not_read_back_from_a_file_that_is_older_than_it(tenant: Tenant, badges: Connection) -> None:
    send(badges, csv("canary", "ada"), rows=2)
    with scope(tenant=tenant.pk, cause=a_cause()):
        account = known(badges.system, "ada", at=MADE, remote_id="id-ada")
        lifecycle.deprovision(accounts=[account.pk], reason="left", at=AT)
    later = AT + dt.timedelta(minutes=6)
    assert readback.read_due(tenant=tenant.pk, clock=lambda: later, go_on=lambda: True) == 0
    with scope(tenant=tenant.pk):
        assert Readback.objects.count() == 0
        assert not Finding.objects.filter(state="open").exists()
