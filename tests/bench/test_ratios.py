"""From summaries to the numbers that have targets: a peer that does half of the work never flatters anybody."""

from __future__ import annotations

import pytest

from bench.company import SPARE, Company, named_uuid, user_id
from bench.contestants import ROLLCALL, STOCK
from bench.course import Results
from bench.measuring import Summary
from bench.memory import Weight
from bench.ratios import ratios
from bench.targets import TARGETS

pytestmark = pytest.mark.unit

K = 1_000


def _results(**medians: float) -> Results:
    """Each `piece__who` with one sample, in a company of a thousand."""
    results = Results()
    for key, seconds in medians.items():
        piece, _, who = key.partition("__")
        name = {"ours": ROLLCALL, "stock": STOCK}[who]
        results.found[piece, name, K] = Summary.of([seconds])
    return results


def _of(results: Results) -> dict[str, float]:
    return ratios(results, {}, [Company(people=K)])


def test_a_ratio_says_how_many_times_as_long_the_peer_takes():
    assert _of(_results(list__ours=0.01, list__stock=0.5))["list_1k_vs_stock"] == pytest.approx(50)


def test_a_piece_that_one_side_cannot_do_has_no_ratio():
    assert _of(_results(get_user__ours=0.01)) == {}


def test_a_put_is_compared_with_the_faster_of_the_two_things_that_stock_does():
    results = _results(put_group_1000__ours=0.1, put_group_1000__stock=0.5, patch_group_1000__stock=0.3)
    found = _of(results)
    assert found["put_group_1k_vs_stock_dropping_members"] == pytest.approx(5)
    assert found["put_group_1k_vs_stock_patch"] == pytest.approx(3)
    assert found["put_group_1k_vs_stock"] == pytest.approx(3)


def test_without_both_of_them_there_is_no_ratio_that_counts():
    assert "put_group_1k_vs_stock" not in _of(_results(put_group_1000__ours=0.1, put_group_1000__stock=0.5))


def test_what_stock_cannot_look_for_stands_beside_the_look_up_that_it_can_do():
    found = _of(_results(filter_external_id__ours=0.01, filter_user_name__stock=0.2))
    assert found == {"filter_external_id_1k_vs_stock_user_name": pytest.approx(20)}


def test_no_two_targets_have_one_name():
    assert len({target.name for target in TARGETS}) == len(TARGETS)


def test_a_worker_that_climbs_at_the_end_is_not_flat_nor_one_that_grew_since_the_middle():
    def weight(middle: float, soak: list[float]) -> Weight:
        points = [(float(n), middle) for n in range(10)]
        return Weight(pid=0, points=points, soak=[(10.0 + 100 * n, value) for n, value in enumerate(soak)])

    assert weight(100.0, [101.0] * 8).is_flat()
    assert not weight(100.0, [120.0] * 8).is_flat()
    assert not weight(100.0, [100.0, 100.2, 100.4, 100.6, 100.8, 101.0, 101.2, 101.4]).is_flat()


def test_everybody_is_in_one_block_and_a_big_group_is_spread_over_the_whole_company():
    company = Company(people=100 * K)
    blocks = [team for team in company.teams if team.name.startswith("Block")]
    assert [n for team in blocks for n in team.members] == list(range(1, 100 * K + 1))
    big = company.team(10 * K)
    assert big is not None
    assert (len(big.members), big.members[0], big.members[-1]) == (10 * K, 1, 100 * K - 9)
    assert len(company.spare) == SPARE
    assert not set(company.spare) & {n for team in company.teams for n in team.members}


def test_ids_keep_the_order_of_people_and_are_uuid7():
    ids = [user_id(n) for n in (1, 2, 1_000_000)]
    assert ids == sorted(ids)
    assert {one.version for one in ids} == {7}
    assert named_uuid("user", 1) == named_uuid("user", 1) != named_uuid("user", 2)
