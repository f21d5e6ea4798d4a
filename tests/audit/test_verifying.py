"""Whatever is changed of what was sealed is found, by the command and by the stand-alone script, and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from accounts.models import Account, Tenant
from audit.layouts import sealed_models
from audit.models import Cause, JournalEntry, JournalSubject, history_of
from audit.scope import scope
from provisioning.models import Exchange, Shadow
from tests.conftest import a_cause
from tests.factories import seals
from tests.factories.seals import Sealed, edit, flip, new_key, tamper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

SEALS = 3


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[Sealed]:
    """Three seals over what a directory asked for."""

    def story(made: Sealed) -> None:
        for name in ("ada", "Zoë", 'q"\\'):
            made.idp.user(name, title="日本 '\"\\")
            assert made.seal() is not None
        assert made.seal() is None
        assert made.tell_witness() == SEALS

    with seals.committed(django_db_blocker, tmp_path_factory, story) as made:
        yield made


@pytest.fixture
def sealed(committed: Sealed, db: None) -> Sealed:
    """The same, in a transaction that takes back what a test does to it."""
    return committed


def key_of(sealed: Sealed, model: type[Model], *, last: bool = False) -> str:
    """The key of one sealed row of a table."""
    with scope(tenant=sealed.tenant.pk):
        found = model.objects.order_by("-pk" if last else "pk").values_list("pk", flat=True)  # type: ignore[attr-defined]
        return str(found[0])


def both(sealed: Sealed, **options: Any) -> list[tuple[int, set[str]]]:
    """What the two verifiers exit with and name."""
    return [(said.code, said.faults()) for said in (sealed.ours(**options), sealed.theirs(**options))]


def test_what_nobody_touched_is_as_it_was_sealed(sealed):
    assert both(sealed) == [(0, set())] * 2
    ours, theirs = sealed.ours(), sealed.theirs()
    assert ours.lines == [f"sealed: {SEALS} seals, {rows(sealed)} rows, 0 faults", "sealed: signatures: checked"]
    assert theirs.lines == [f"{SEALS} seals, {rows(sealed)} rows, 0 faults", "signatures: checked"]
    assert rows(sealed) > 20


def rows(sealed: Sealed) -> int:
    """How many rows of the tenant there are in all tables that are sealed."""
    with scope(tenant=sealed.tenant.pk):
        of_tenants = [m for m in sealed_models() if any(f.column == "tenant_id" for f in m._meta.local_fields)]
        return sum(m.objects.filter(tenant_id=sealed.tenant.pk).count() for m in of_tenants)  # type: ignore[attr-defined]


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANGES: dict[str, tuple[Any, str]] = {
    "a body": (Exchange, "body = set_byte(body, 20, get_byte(body, 20) # 1)"),
    "that a body is gone": (Exchange, "body = NULL"),
    "the status of an answer": (Exchange, "status = 299"),
    "an outcome": (Exchange, "outcome = 'same'"),
    "an instant": (Exchange, "at = at + interval '1 microsecond'"),
    "a sentence": (JournalEntry, "sentence = sentence || ' '"),
    "facts": (JournalEntry, """facts = facts || '{"a": 1}'"""),
    "whom an entry is about": (JournalSubject, "label = 'Eve'"),
    "who acted": (Cause, "actor = 'nobody'"),
    "which transaction it was": (Cause, "user_id = gen_random_uuid()"),
    "history": (history_of(Shadow), "name = 'eve'"),
    "what history says was done": (history_of(Shadow), "history_type = '-'"),
    "the reason in history": (history_of(Shadow), "history_change_reason = 'so'"),
    "a salt": (JournalEntry, "salt = gen_random_uuid()"),
    "an empty text for none": (history_of(Shadow), "external_id = 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_row_that_was_changed_is_named_by_both(sealed, what):
    model, change = CHANGES[what]
    table, key = model._meta.db_table, key_of(sealed, model)
    column = model._meta.pk.column
    assert tamper(sealed.tenant, f"UPDATE {table} SET {change} WHERE {column} = %s", key, table=table) == 1
    assert both(sealed) == [(1, {f"{table} {key}: changed (seal 1)"})] * 2


@pytest.mark.parametrize("model", [Exchange, JournalEntry, JournalSubject, history_of(Shadow)])
def test_a_row_that_was_taken_away_is_named_by_both(sealed, model):
    table, key, column = model._meta.db_table, key_of(sealed, model), model._meta.pk.column
    missing = {f"{table} {key}: missing (seal 1)"}
    if model is JournalEntry:
        # What it was about is found by it.
        with scope(tenant=sealed.tenant.pk):
            about = JournalSubject.objects.filter(entry_id=key).values_list("pk", flat=True)
            for one in about:
                missing |= {
                    f"audit_journalsubject {one}: missing (seal 1)",
                    f"audit_journalsubject {one}: names no cause that there is",
                }
    assert tamper(sealed.tenant, f"DELETE FROM {table} WHERE {column} = %s", key, table=table) == 1
    assert both(sealed) == [(1, missing)] * 2


def test_the_rows_of_a_cause_that_was_taken_away_are_named_with_it(sealed):
    key = key_of(sealed, Cause, last=True)
    with scope(tenant=sealed.tenant.pk):
        exchange = Exchange.objects.get(cause_id=key).pk
    assert tamper(sealed.tenant, "DELETE FROM audit_cause WHERE id = %s", key, table="audit_cause") == 1
    for code, faults in both(sealed):
        assert code == 1
        assert {
            f"audit_cause {key}: missing (seal 3)",
            f"provisioning_exchange {exchange}: missing (seal 3)",
            f"provisioning_exchange {exchange}: names no cause that there is",
        } <= faults


def copied(model: type[Model], key: str, **changes: str) -> str:
    """The statement that makes a second row like the one with this key, with other values in some columns."""
    columns = [f.column for f in model._meta.local_fields if f.column not in {model._meta.pk.column, "salt"}]
    new_key = {"uuid": "gen_random_uuid()", "bigint": "10000000"}[str(model._meta.pk.rel_db_type(connection))]
    listed = ", ".join(f'"{c}"' for c in columns)
    values = ", ".join(changes.get(c, f'"{c}"') for c in columns)
    table, column = model._meta.db_table, model._meta.pk.column
    return f"INSERT INTO {table} ({column}, {listed}) SELECT {new_key}, {values} FROM {table} WHERE {column} = '{key}'"


@pytest.mark.parametrize("model", [Exchange, JournalEntry, JournalSubject, history_of(Shadow), Cause])
def test_a_row_that_was_added_to_what_is_sealed_is_named_by_both(sealed, model):
    before = set(keys(sealed, model))
    table = model._meta.db_table
    assert tamper(sealed.tenant, copied(model, key_of(sealed, model)), table=table) == 1
    (added,) = set(keys(sealed, model)) - before
    assert both(sealed) == [(1, {f"{table} {added}: added later (seal 1)"})] * 2


def keys(sealed: Sealed, model: type[Model]) -> list[str]:
    """Of all rows of a table."""
    with scope(tenant=sealed.tenant.pk):
        return [str(key) for key in model.objects.values_list("pk", flat=True)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("cause", ["NULL", "77777777"])
def test_a_row_without_a_cause_is_named_by_both(sealed, cause):
    model = history_of(Shadow)
    assert tamper(
        sealed.tenant, copied(model, key_of(sealed, model), cause_id=cause), table=model._meta.db_table
    ) == 1  # fmt: skip
    fault = f"{model._meta.db_table} 10000000: names no cause that there is"
    assert both(sealed) == [(1, {fault})] * 2


def test_two_rows_that_changed_their_places_are_named_by_both(sealed):
    model = history_of(Shadow)
    table = model._meta.db_table
    one, other = key_of(sealed, model), key_of(sealed, model, last=True)
    for key, new in ((one, -1), (other, one), (-1, other)):
        tamper(sealed.tenant, f"UPDATE {table} SET history_id = %s WHERE history_id = %s", new, key, table=table)
    ours, theirs = both(sealed)
    assert ours == theirs
    assert {f"{table} {one}", f"{table} {other}"} == {fault.partition(":")[0] for fault in ours[1]}


# ── seals ───────────────────────────────────────────────────────────────────────────────────────────────────────

BROKEN: dict[str, tuple[str, set[str]]] = {
    "a statement": (
        "statement = replace(statement, '\"version\":1', '\"version\":2')",
        {
            "seal 2: its statement is not about what the seal holds",
            "seal 2: its signature is wrong",
            "seal 2: the witness has another one of this number",
            "seal 3: does not follow seal 2",
        },
    ),
    "a signature": ("signature = set_byte(signature, 0, get_byte(signature, 0) # 1)", {"seal 2: its signature is wrong"}),
    "a root": (
        "root = repeat('0', 64)",
        {"seal 2: its statement is not about what the seal holds", "seal 2: its list of leaves has another root"},
    ),
    "where it begins": (
        "from_xid = from_xid - 1",
        {
            "seal 2: its statement is not about what the seal holds",
            "seal 2: leaves transactions out that came after the seal before it",
        },
    ),
    "a list of leaves that is too short": (
        "leaves = substr(leaves, 2)",
        {"seal 2: its statement is not about what the seal holds", "seal 2: its list of leaves can't be read"},
    ),
    "a shape that is none": (
        "shape = '[]'",
        {"seal 2: its statement is not about what the seal holds", "seal 2: its list of leaves can't be read"},
    ),
    "a shape with a foreign name": (
        "shape = replace(shape, '\"actor\"', '\"actor) FROM audit_cause; --\"')",
        {"seal 2: its statement is not about what the seal holds", "seal 2: its list of leaves can't be read"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_seal_that_was_changed_is_named(sealed, what):
    change, faults = BROKEN[what]
    assert tamper(sealed.tenant, f"UPDATE audit_seal SET {change} WHERE number = 2", table="audit_seal") == 1
    ours, theirs = sealed.ours(), sealed.theirs()
    assert (ours.code, {fault for fault in ours.faults() if fault.startswith("seal")}) == (1, faults)
    assert theirs.code == 1
    assert {"seal 2"} <= {fault.partition(":")[0] for fault in theirs.faults()}


def test_one_byte_of_a_leaf_in_a_seal_is_found_and_the_row_is_named(sealed):
    # The first table of the list.
    table, key = "accounts_historicalaccount", key_of(sealed, history_of(Account))
    change = "leaves = set_byte(leaves, 8, get_byte(leaves, 8) # 1)"
    assert tamper(sealed.tenant, f"UPDATE audit_seal SET {change} WHERE number = 1", table="audit_seal") == 1
    for code, faults in both(sealed):
        assert code == 1
        assert {f"{table} {key}: changed (seal 1)", "seal 1: its list of leaves has another root"} < faults


def test_seals_that_changed_their_places_are_named_by_both(sealed):
    for before, after in ((2, 99), (3, 2), (99, 3)):
        tamper(
            sealed.tenant, "UPDATE audit_seal SET number = %s WHERE number = %s", after, before, table="audit_seal"
        )  # fmt: skip
    for code, faults in both(sealed):
        assert code == 1
        assert {"seal 2", "seal 3"} <= {fault.partition(":")[0] for fault in faults}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_seal_that_was_taken_away_is_named_by_both(sealed, number):
    assert tamper(sealed.tenant, "DELETE FROM audit_seal WHERE number = %s", number, table="audit_seal") == 1
    faults = {f"seal {number}: the witness has it, and it is not in the chain"}
    if number < SEALS:
        faults |= {f"seal {number}: missing from the chain"}
    assert both(sealed) == [(1, faults)] * 2


def test_a_chain_that_was_cut_short_is_found_by_the_witness_alone_and_without_one_nothing_is_green(sealed):
    tamper(sealed.tenant, "DELETE FROM audit_seal WHERE number > 1", table="audit_seal")
    ours, theirs = sealed.ours(witness=False), sealed.theirs(witness=False)
    assert (ours.code, theirs.code) == (3, 3)
    assert ours.lines[-1] == ("sealed: NOT CHECKED: witness: none was given, so a chain that was cut short looks whole")
    assert "witness: NOT CHECKED, none was given: a chain that was cut short looks whole" in theirs.lines
    gone = {f"seal {n}: the witness has it, and it is not in the chain" for n in (2, 3)}
    assert both(sealed) == [(1, gone)] * 2


def test_a_history_that_was_rewritten_and_sealed_anew_with_another_key_is_found_by_both(sealed, tmp_path):
    other = new_key(tmp_path)
    table = history_of(Shadow)._meta.db_table
    tamper(sealed.tenant, f"UPDATE {table} SET name = 'eve'", table=table)
    tamper(sealed.tenant, "DELETE FROM audit_seal", table="audit_seal")
    assert sealed.seal(key=other) is not None
    for code, faults in both(sealed):
        assert code == 1
        assert {
            f"seal 1: signed with a key that is not trusted ({other.id[:16]}…)",
            "seal 1: the witness has another one of this number",
            "seal 3: the witness has it, and it is not in the chain",
        } <= faults
    # Who believes that key, and has no witness, is deceived: that is why both come from elsewhere.
    (tmp_path / "public.pem").write_text(other.public)
    assert sealed.ours(key=tmp_path / "public.pem", witness=False).code == 3


def test_seals_of_another_key_are_never_believed(sealed, tmp_path):
    other = new_key(tmp_path)
    (tmp_path / "public.pem").write_text(other.public)
    faults = {f"seal {n}: signed with a key that is not trusted ({sealed.key.id[:16]}…)" for n in (1, 2, 3)}
    assert both(sealed, key=tmp_path / "public.pem") == [(1, faults)] * 2


def test_several_keys_can_be_trusted(sealed, tmp_path):
    (tmp_path / "public.pem").write_text(new_key(tmp_path).public + sealed.key.public)
    assert both(sealed, key=tmp_path / "public.pem") == [(0, set())] * 2


def test_what_waits_for_its_seal_for_too_long_is_a_fault(sealed):
    with scope(tenant=sealed.tenant.pk, cause=a_cause()) as cause:
        since = cause.at
    assert both(sealed)[0] == (0, set())
    late = sealed.ours(patience=-1)
    assert (late.code, late.faults()) == (1, {f"after seal 3: not sealed since {since:%Y-%m-%d %H:%M:%S} UTC"})
    told = [line for line in sealed.theirs().lines if line.startswith("not sealed")]
    assert told == [f"not sealed, and not here: what was written since {since}"]


def test_a_row_of_a_global_table_that_no_tenant_has_a_cause_for_is_named_where_all_are_looked_at(sealed, capsys):
    table = history_of(Tenant)._meta.db_table
    with scope():
        key = str(history_of(Tenant).objects.order_by("pk")[0].pk)
    tamper(sealed.tenant, copied(history_of(Tenant), key, cause_id="77777777"), table=table)
    with pytest.raises(SystemExit) as end:
        call_command("verify_seals", "--all", "--key", str(sealed.public), "--patience", str(10**7))
    assert end.value.code == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"{table} 10000000: names no cause that there is"
    assert "sealed: 3 seals, " in "\n".join(said)
    assert said[0] == "(no tenant): 0 seals, 0 rows, 0 faults"


# ── the stand-alone script ──────────────────────────────────────────────────────────────────────────────────────


def test_without_openssl_the_script_says_that_signatures_are_not_checked(sealed):
    said = sealed.theirs(env={"PATH": str(sealed.folder)})
    assert (said.code, said.faults()) == (3, set())
    assert "signatures: NOT CHECKED, there is no openssl here" in said.lines


FIRST = "accounts_historicalaccount"
EDITS: dict[str, tuple[str, Any, str]] = {
    "a row": ("row", lambda row: row["cells"].update(user_name="eve"), FIRST),
    "a row's open column": ("row", lambda row: row["cells"].update(history_type="-"), FIRST),
    "a column that was never sealed": ("row", lambda row: row["cells"].update(whose="eve's"), FIRST),
    "a column that is not there": ("row", lambda row: row["cells"].pop("user_name"), FIRST),
    "a salt": ("row", lambda row: row.update(salt=None), FIRST),
    "a row's name": ("row", lambda row: row.update(key="1000"), FIRST),
    "a signature": ("seal", lambda seal: seal.update(signature=flip(seal["signature"])), "seal"),
    "a leaf": ("seal", lambda seal: seal.update(leaves=flip(seal["leaves"])), "seal"),
    "a shape": ("seal", lambda seal: seal.update(shape=seal["shape"].replace("actor", "aktor")), "seal"),
    "a number": ("seal", lambda seal: seal.update(number=2), "seal"),
    "its end": ("end", lambda end: end.update(rows=end["rows"] - 1), "the"),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_export_that_was_edited_is_found_out_by_the_script(sealed, what):
    line, change, named = EDITS[what]
    said = sealed.theirs(edit(sealed.export(), line, change))
    assert said.code == 1
    assert named in {fault.split(" ")[0] for fault in said.faults()}


def test_an_export_that_was_cut_off_is_found_out_by_the_script(sealed):
    export = sealed.export()
    lines = export.read_text().splitlines(keepends=True)
    export.write_text("".join(lines[:-2]))
    said = sealed.theirs(export)
    assert said.code == 1
    assert "the export: is cut short: it does not end as it should" in said.faults()


def test_an_export_is_for_its_owner_alone_and_never_replaces_a_file(sealed):
    export = sealed.export()
    assert export.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="can't be written: File exists"):
        call_command("export_sealed", "--tenant", sealed.tenant.slug, "--out", str(export))


@pytest.mark.parametrize("words", [["--key", "nowhere.pem"], ["--witness", "nowhere.jsonl"]])
def test_a_key_or_a_witness_that_cant_be_read_is_said_in_one_line(sealed, words):
    with pytest.raises(CommandError, match=r"nowhere\.\w+ can't be read: No such file or directory") as caught:
        call_command("verify_seals", "--tenant", sealed.tenant.slug, *words)
    assert caught.value.returncode == 2


def test_a_tenant_that_there_is_not_is_said_in_one_line(sealed):
    for words in (["verify_seals"], ["export_sealed", "--out", "x"]):
        with pytest.raises(CommandError, match="there is no tenant nobody"):
            call_command(*words, "--tenant", "nobody")
