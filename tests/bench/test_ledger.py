"""From what was measured of the ledger to the numbers that have targets, and what each part of a run is asked for."""

from __future__ import annotations

import pytest

from bench import ledger, ledger_sql
from bench.ledger import PARTS, QUICK, TARGETS, TEN, TEN_MILLION, Run, asked, ratios, short
from bench.ledger_http import PIECES, OverHttp
from bench.measuring import Summary, Unable, falls_short

pytestmark = pytest.mark.unit


def _one(value: float) -> Summary:
    return Summary.of([value])


def _pieces(**pairs: tuple[float, float]) -> dict[str, dict[str, Summary]]:
    return {name: {"with": _one(over), "without": _one(bare)} for name, (over, bare) in pairs.items()}


def _run(**found: object) -> Run:
    run = Run(pace=QUICK, parts=PARTS)
    for name, value in found.items():
        setattr(run, name, value)
    return run


def test_the_ledgers_share_of_a_write_is_what_falls_away_without_it():
    http = OverHttp(pieces=_pieces(create=(10.0, 8.0), change=(20.0, 19.0), deactivate=(30.0, 24.0)))
    found = ratios(_run(http=http))
    assert found == {
        "http_ledger_of_a_create": pytest.approx(0.2),
        "http_ledger_of_a_change": pytest.approx(0.05),
        "http_ledger_of_a_deactivate": pytest.approx(0.2),
        # Of one write of each kind: 9 of 60.
        "http_ledger_of_a_write": pytest.approx(0.15),
    }


def test_a_kind_of_write_that_one_side_could_not_do_leaves_no_share_of_all():
    http = OverHttp(pieces=_pieces(create=(10.0, 8.0)) | {"change": {"with": _one(1.0)}})
    assert ratios(_run(http=http)) == {"http_ledger_of_a_create": pytest.approx(0.2)}


def test_in_sql_more_transactions_a_second_are_better():
    sql = {
        "effect": _one(400.0),
        "together": _one(300.0),
        "apart": _one(200.0),
        "blind": _one(250.0),
        "unsealed": _one(320.0),
    }
    assert ratios(_run(sql=sql)) == {
        "sql_together_vs_effect_alone": pytest.approx(0.75),
        "sql_together_vs_two_transactions": pytest.approx(1.5),
        "sql_together_vs_two_blind_ones": pytest.approx(1.2),
        "salts_and_indexes_of_a_write": pytest.approx(0.0625),
    }


def test_sealing_is_salts_and_indexes_and_the_seals_and_noise_takes_nothing_off():
    seals = {"seal of a unit / write": 0.02, "verify / stream": 2.5}
    dear = {"together": _one(300.0), "unsealed": _one(320.0)}
    assert ratios(_run(seals=seals, sql=dear))["sealing_of_a_write"] == pytest.approx(0.0825)
    noisy = {"together": _one(330.0), "unsealed": _one(320.0)}
    assert ratios(_run(seals=seals, sql=noisy))["sealing_of_a_write"] == pytest.approx(0.02)
    assert "sealing_of_a_write" not in ratios(_run(seals=seals))
    assert ratios(_run(seals=seals))["verify_vs_stream"] == 2.5


def test_who_is_deactivated_beside_a_backlog_is_compared_with_who_is_alone():
    http = OverHttp(
        alone={"at once": _one(0.05), "sent ahead": _one(0.1)},
        beside={"at once": _one(0.06), "sent ahead": Summary.of([0.1] * 19 + [1.1])},
    )
    found = ratios(_run(http=http))
    assert found["disable_beside_backlog_vs_alone"] == pytest.approx(1.2)
    assert found["disable_sent_ahead_alone"] == pytest.approx(0.1)
    assert 0.1 < found["disable_sent_ahead_beside_backlog"] < 1.1


def test_a_ledger_that_has_grown_is_named_by_how_large_it_is():
    pieces = ("insert", "look_up", "page", "page_of_refused", "page_of_resource", "detach")
    few = dict.fromkeys(pieces, 1.0) | {"bytes_per_row": 1_500.0}
    many = dict.fromkeys(pieces, 1.2) | {"bytes_per_row": 1_400.0}
    run = Run(pace=TEN_MILLION, parts=("months",), months={"small": few, "large": many})
    assert ratios(run) == {f"{one}_10m_vs_100k": pytest.approx(1.2) for one in pieces} | {"bytes_per_row": 1_400.0}
    assert falls_short(asked(run), ratios(run), largest=TEN) == []
    assert [short(rows) for rows in (24_000, 1_000_000, 10_000_000)] == ["24k", "1m", "10m"]


def test_a_part_alone_is_asked_for_its_own_targets_and_all_parts_for_all():
    of = {part: {one.name for one in asked(Run(pace=QUICK, parts=(part,)))} for part in PARTS}
    assert of["sql"] == {"sql_together_vs_effect_alone", "sql_together_vs_two_transactions"}
    assert of["seals"] == {"verify_vs_stream"}
    assert of["http"] == {
        "http_ledger_of_a_write", "disable_beside_backlog_vs_alone", "disable_sent_ahead_beside_backlog",
    }  # fmt: skip
    assert all(name.endswith("_10m_vs_100k") for name in of["months"])
    # What sealing costs is found by two parts together.
    assert "sealing_of_a_write" in {one.name for one in asked(Run(pace=QUICK, parts=("seals", "sql")))}
    assert set(asked(Run(pace=QUICK, parts=PARTS))) == set(TARGETS)
    assert len({target.name for target in TARGETS}) == len(TARGETS)


def test_of_a_ledger_that_was_not_grown_so_far_nothing_is_asked():
    run = Run(pace=QUICK, parts=("months",))
    assert falls_short(asked(run), {}, largest=QUICK.many) == []


def test_the_pieces_over_http_are_those_that_have_a_share():
    assert PIECES == ("create", "change", "deactivate")
    assert ledger.PARTS == ("http", "sql", "seals", "months")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("nothing", "pgbench says no number"),
        ("number of failed transactions: 3 (1.0%)\ntps = 10.0 (without initial connection time)\n", "3 transactions"),
    ],
)
def test_pgbench_without_a_number_or_with_failures_is_no_number(said, reason):
    with pytest.raises(Unable, match=reason):
        ledger_sql.tps(said)


def test_what_pgbench_says_is_read():
    said = "number of failed transactions: 0 (0.000%)\nlatency average = 8 ms\ntps = 970.124 (without initial connection time)\n"
    assert ledger_sql.tps(said) == 970.124


def test_the_scripts_do_the_same_effect_and_differ_in_where_the_ledger_is():
    tenant, system = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"
    made = ledger_sql.scripts(tenant=tenant, system=system)
    commits = {name: text.count("COMMIT;") for name, text in made.items()}
    ledgers = ("INSERT INTO provisioning_exchange", "INSERT INTO bench_ledger")
    rows = {name: tuple(text.count(one) for one in ledgers) for name, text in made.items()}
    assert commits == {"effect": 1, "together": 1, "apart": 2, "blind": 2}
    assert rows == {"effect": (0, 0), "together": (1, 0), "apart": (0, 1), "blind": (1, 0)}
    # Who does not say afterwards what became of it, can't know after a crash what is still to be done.
    assert {name for name, text in made.items() if "UPDATE bench_ledger SET outcome" in text} == {"apart"}
    assert {text.count("UPDATE accounts_account") for text in made.values()} == {1}
    assert {text.count("INSERT INTO audit_cause") for text in made.values()} == {1}
