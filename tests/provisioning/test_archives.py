"""Old rows of the ledger leave for a file that verifies; what is there is proved from what stays."""

from __future__ import annotations

import datetime as dt
import hashlib
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts import tenants
from accounts.models import RoleName
from audit import archiving
from audit.models import Archived, JournalEntry, Seal
from audit.scope import scope
from provisioning import archives, bodies, rebuilding
from provisioning.models import BodyKey, Exchange, Rebuild
from provisioning.models.erasure import Archive
from tests.conftest import AT, a_cause, as_eraser, as_owner
from tests.factories import seals
from tests.factories.governance import staff
from tests.factories.seals import Sealed, tamper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = dt.timedelta(days=1)
WHO = {"by": "L.Chen", "reason": "retention"}


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Sealed]:
    """Ada has been deleted, Grace is there, something was refused, something came after the last seal."""

    def story(made: Sealed) -> None:
        with scope(tenant=made.tenant.pk, cause=a_cause()):
            staff(made.tenant, "l.chen", RoleName.SECURITY, at=AT)
        ada, grace = made.idp.user("ada"), made.idp.user("grace")
        made.seal()
        made.idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": "Countess"})
        made.idp.post("/Users", {"userName": "grace"})
        made.idp.patch(f"/Users/{grace}", {"op": "replace", "path": "title", "value": "Admiral"})
        made.idp.delete(f"/Users/{ada}", Idempotency_Key="once")
        made.seal()
        made.idp.patch(f"/Users/{grace}", {"op": "replace", "path": "title", "value": "Rear admiral"})
        made.tell_witness()

    with seals.committed(django_db_blocker, tmp_path_factory, story) as made:
        yield made


@pytest.fixture
def sealed(committed: Sealed, db: None) -> Sealed:
    """The same, in a transaction that takes back what a test does to it."""
    return committed


def in_days(days: int) -> str:
    return (dt.datetime.now(dt.UTC) + days * DAY).isoformat()


def run(sealed: Sealed, out: Path | None = None, **options: Any) -> tuple[int, list[str]]:
    """The command's exit status and lines, under the eraser's role."""
    said = StringIO()
    given = {"tenant": "sealed", "key": [sealed.public], "before": in_days(0), **WHO, **options}
    try:
        with as_eraser():
            call_command("archive", out=out, stdout=said, **given)
    except CommandError as error:
        return error.returncode, f"{said.getvalue()}{error}".splitlines()
    return 0, said.getvalue().splitlines()


def ledger(sealed: Sealed) -> list[tuple[str, str]]:
    with scope(tenant=sealed.tenant.pk):
        return list(Exchange.objects.order_by("id").values_list("method", "resource_label"))


@pytest.fixture
def out(sealed: Sealed) -> Iterator[Path]:
    """A file that isn't there yet, nor after the test."""
    path = sealed.folder / "archive.jsonl"
    yield path
    path.unlink(missing_ok=True)


def test_what_is_about_the_living_stays_and_what_is_gone_leaves_for_the_file(sealed, out):
    before = ledger(sealed)
    assert len(before) == 7
    code, lines = run(sealed, out, yes=True)
    assert code == 0, lines
    assert lines[0].startswith("4 exchanges from before ")
    assert lines[0].endswith("up to seal 2.")
    assert lines[-1] == (
        f"They are in {out}, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}: keep it where it can't be changed."
    )
    assert lines[-3:-1] == ["  4 from provisioning_exchange", "  1 from provisioning_exchangekey"]
    assert ledger(sealed) == [("POST", "grace"), ("PATCH", "grace"), ("PATCH", "grace")]
    # The file verifies by itself, and has what left; the witness is beyond it by nothing.
    theirs = sealed.theirs(out)
    assert (theirs.code, theirs.faults()) == (0, set())
    assert '"resource_label":"ada"' in out.read_text()


def test_both_verifiers_know_of_each_row_that_left_by_right(sealed, out):
    run(sealed, out, yes=True)
    for said in (sealed.ours(), sealed.theirs()):
        assert (said.code, said.faults()) == (0, set())
    assert "sealed: archived: 4 rows are in files: verify those too" in sealed.ours().lines
    assert "archived: 4 rows are in earlier files, not in this one: verify those too" in sealed.theirs().lines


def test_a_row_that_is_taken_away_beside_the_archive_is_named_by_both(sealed, out):
    run(sealed, out, yes=True)
    with scope(tenant=sealed.tenant.pk):
        row = Exchange.objects.order_by("id").first()
    assert (
        tamper(sealed.tenant, "DELETE FROM provisioning_exchange WHERE id = %s", row.pk, table="provisioning_exchange")
        == 1
    )
    for said in (sealed.ours(), sealed.theirs()):
        assert (said.code, said.faults()) == (1, {f"provisioning_exchange {row.pk}: missing (seal 1)"})


def test_a_row_that_is_said_to_be_archived_and_never_was_sealed_is_named(sealed, out):
    run(sealed, out, yes=True)
    with scope(tenant=sealed.tenant.pk):
        one = Archived.objects.first()
    statement = "UPDATE audit_archived SET keys = keys || uuid_send(gen_random_uuid()) WHERE id = %s"
    assert tamper(sealed.tenant, statement, one.pk, table="audit_archived") == 1
    (fault,) = sealed.theirs().faults()
    assert fault.endswith(f"said to be archived, and was not sealed (seal {one.number})")


def test_the_act_is_recorded_with_the_digest_of_the_file(sealed, out):
    run(sealed, out, yes=True)
    with scope(tenant=sealed.tenant.pk):
        row = Archive.objects.get()
        entry = JournalEntry.objects.get(cause_id=row.cause_id)
    assert (row.file, row.until_number, row.reason) == ("archive.jsonl", 2, "retention")
    assert (row.digest, row.size) == (hashlib.sha256(out.read_bytes()).hexdigest(), out.stat().st_size)
    assert row.counts == {"provisioning_exchange": 4, "provisioning_exchangekey": 1}
    assert "4 exchanges from before" in entry.sentence
    assert entry.facts["sha256"] == row.digest


def test_a_second_time_there_is_nothing_to_do_and_no_file_is_written(sealed, out):
    run(sealed, out, yes=True)
    out.unlink()
    code, lines = run(sealed, out, yes=True)
    assert (code, len(lines), lines[0][:12]) == (0, 1, "0 exchanges ")
    assert not out.exists()


def test_keys_stay_so_that_the_file_can_be_read_unless_they_are_to_be_forgotten(sealed, out):
    with scope(tenant=sealed.tenant.pk):
        before = BodyKey.objects.count()
    run(sealed, out, yes=True, forget=True)
    with scope(tenant=sealed.tenant.pk):
        # Ada's, and that of the day on which something was refused; Grace's stays, and she can be read.
        assert before - BodyKey.objects.count() == 2
        kept = bodies.shown_all(Exchange.objects.all())
        assert {one.is_gone for one in kept.values()} == {False}


def test_the_ledger_folded_anew_says_what_left_and_finds_no_difference(sealed, out):
    run(sealed, out, yes=True)
    ahead = dt.datetime.now(dt.UTC) + DAY
    rebuilding.advance(tenant=sealed.tenant.pk, clock=lambda: ahead, go_on=lambda: True, from_empty=True)
    with scope(tenant=sealed.tenant.pk):
        row = Rebuild.objects.get()
    assert (row.differing, row.left_out) == (0, {"archived": 1})


def test_without_yes_nothing_is_written_and_nothing_leaves(sealed, out):
    code, lines = run(sealed, out)
    assert (code, lines[1]) == (0, "Nothing was changed. Say --yes, --out and --key to do it.")
    assert not out.exists()
    assert len(ledger(sealed)) == 7


def test_a_file_that_does_not_verify_takes_nothing_out(sealed, out):
    with scope(tenant=sealed.tenant.pk):
        row = Exchange.objects.order_by("id").first()
    statement = "UPDATE provisioning_exchange SET status = 299 WHERE id = %s"
    assert tamper(sealed.tenant, statement, row.pk, table="provisioning_exchange") == 1
    code, lines = run(sealed, out, yes=True)
    assert (code, lines[-1]) == (1, "the file does not verify, so nothing has left the database.")
    assert f"provisioning_exchange {row.pk}: changed (seal 1)" in lines
    assert len(ledger(sealed)) == 7


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"before": "soon"}, "'soon' is neither a day such as 2025-01-01 nor an instant such as 2025-01-01T03:00Z"),
        ({"before": "13:01"}, "'13:01' is neither a day such as 2025-01-01 nor an instant such as 2025-01-01T03:00Z"),
        ({"before": in_days(3)}, "that is not past yet: say an earlier --before"),
        ({"before": ""}, "Sealed keeps its ledger for ever: say --before, or set it with keep_ledger"),
        ({"before": "2020-01-01"}, "nothing was sealed before 2020-01-01: only what is sealed can be archived"),
        ({"by": "nobody"}, "say with --by who you are: nobody signs in as 'nobody'"),
        ({"yes": True}, "say with --out where the file goes, and with --key by which key it is verified"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said_and_nothing_leaves(sealed, options, says):
    code, lines = run(sealed, **options)
    assert (code, lines[-1]) == (1, says)
    assert len(ledger(sealed)) == 7


def test_a_file_that_is_there_is_never_written_over(sealed, out):
    out.write_text("mine")
    code, lines = run(sealed, out, yes=True)
    assert (code, lines[-1]) == (1, f"{out} can't be written: File exists")
    assert (out.read_text(), len(ledger(sealed))) == ("mine", 7)


def test_the_tenants_own_retention_says_what_is_old(sealed, out):
    with scope(tenant=sealed.tenant.pk, cause=a_cause()):
        tenants.keep_ledger(tenant=sealed.tenant, months=1, by="c", reason="r")
    code, lines = run(sealed, before="")
    assert (code, lines[0].startswith("nothing was sealed before ")) == (1, True)
    code, lines = run(sealed)
    assert (code, lines[-1].endswith("say an earlier --before")) == (1, True)
    sealed.tenant.ledger_months = None


def test_what_is_parked_stays_until_somebody_has_decided(sealed):
    with scope(tenant=sealed.tenant.pk):
        number = Seal.objects.order_by("-number").values_list("number", flat=True)[0]
        now = dt.datetime.now(dt.UTC)
        assert archives.would_leave(tenant=sealed.tenant.pk, before=now, number=number) == 4
        assert archives.would_leave(tenant=sealed.tenant.pk, before=now - DAY, number=number) == 0
        refused = Exchange.objects.get(outcome="rejected")
    assert (
        tamper(
            sealed.tenant,
            "UPDATE provisioning_exchange SET outcome = 'parked' WHERE id = %s",
            refused.pk,
            table="provisioning_exchange",
        )
        == 1
    )
    with scope(tenant=sealed.tenant.pk):
        assert archives.would_leave(tenant=sealed.tenant.pk, before=now, number=number) == 3


def test_a_seal_counts_as_old_only_with_all_before_it(sealed):
    now = dt.datetime.now(dt.UTC)
    with scope(tenant=sealed.tenant.pk):
        assert archiving.last_before(tenant=sealed.tenant.pk, before=now).number == 2
        assert archiving.last_before(tenant=sealed.tenant.pk, before=AT - DAY) is None
        with pytest.raises(archives.NothingOld):
            archives.until(tenant=sealed.tenant.pk, before=AT - DAY)


def test_all_of_it_leaves_or_nothing(sealed):
    """A crash before the commit leaves every row where it was, and a file that nothing refers to."""
    written = archives.Written(name="x", digest="0", size=1)
    in_scope = scope(tenant=sealed.tenant.pk, cause=a_cause())
    with as_eraser(), pytest.raises(ZeroDivisionError), transaction.atomic(), in_scope:
        archives.take_out(
            written=written, before=dt.datetime.now(dt.UTC), number=2, asked_by="c", reason="r", forget=False
        )
        assert Exchange.objects.count() == 3
        raise ZeroDivisionError
    with as_owner():
        assert len(ledger(sealed)) == 7
