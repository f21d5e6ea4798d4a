"""What a row of this floor can't get wrong, whoever writes it: each rule of the database, broken once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from audit.keys import uuid7
from tests.house import rows
from tests.house.rows import NOW, broken_by, changed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def twice(make: Callable[..., Any], **values: Any) -> None:
    """The same row a second time."""
    make(**values)
    make(**values)


def two_shadows(**values: Any) -> None:
    system = rows.system()
    twice(rows.shadow, system=system, **values)


def two_keys(**values: Any) -> None:
    """One key that waits, and again in another state."""
    system = rows.system()
    rows.received(system=system, key="k")
    rows.received(system=system, key="k", **values)


# Each rule by its name, and every way to break it.
BREAKS: dict[str, tuple[Callable[[], Any], ...]] = {
    "provisioning_authority_direction_is_known": (lambda: rows.authority(direction="sideways"),),
    "provisioning_authority_word_is_known": (lambda: rows.authority(authority="gospel"),),
    "provisioning_authority_source_is_known": (lambda: rows.authority(status_from="rumour"),),
    "provisioning_authority_once": (
        lambda: twice(rows.authority, system=rows.system()),
        lambda: twice(rows.authority, system=None),
        lambda: [rows.authority(system=None, field=name) for name in ("title", "Title")],
    ),
    "provisioning_erasure_says_why": (lambda: rows.erasure(reason=""),),
    "provisioning_archive_says_why_and_where": (lambda: rows.archive(reason=""), lambda: rows.archive(file="")),
    "provisioning_connection_one_per_system": (lambda: twice(rows.connection_of, system=rows.system()),),
    "provisioning_connection_connector_is_known": (lambda: rows.connection_of(connector="carrier pigeon"),),
    "provisioning_connection_read_has_url": (lambda: rows.connection_of(base_url=""),),
    "provisioning_connection_files_are_signed": (lambda: rows.connection_of(connector="file", base_url=""),),
    "provisioning_upload_form_is_known": (lambda: rows.upload(form="xls"),),
    "provisioning_upload_has_the_rows_that_were_signed": (lambda: rows.upload(rows=3), lambda: rows.upload(groups=1)),
    "provisioning_upload_one_per_instant": (lambda: twice(rows.upload, system=rows.system()),),
    "provisioning_piece_once": (lambda: twice(rows.upload_piece, upload=rows.upload()),),
    "provisioning_connection_read_has_canary": (lambda: rows.connection_of(canary_user_name=""),),
    "provisioning_connection_numbers_are_sensible": (
        lambda: rows.connection_of(cadence_minutes=0),
        lambda: rows.connection_of(freshness_minutes=0),
        lambda: rows.connection_of(page_size=0),
        lambda: rows.connection_of(page_size=1001),
    ),
    "provisioning_connection_shrink_is_percent": (lambda: rows.connection_of(shrink_percent=101),),
    "provisioning_token_expires_after_it_is_made": (
        lambda: rows.token(expires_at=NOW),
        lambda: rows.token(expires_at=NOW - dt.timedelta(days=1)),
    ),
    "provisioning_token_may_do_something": (lambda: rows.token(may=[]),),
    "provisioning_exchange_outcome_is_known": (lambda: rows.exchange(outcome="lost"),),
    "provisioning_exchange_body_has_a_key": (lambda: rows.exchange(body=b"x"),),
    "provisioning_body_key_once": (lambda: twice(rows.body_key, subject_id=uuid7()),),
    "provisioning_cursor_state_is_known": (lambda: rows.cursor(state="lost"),),
    "provisioning_cursor_follows_from_a_position": (
        lambda: rows.cursor(position=None),
        lambda: rows.cursor(gap_at=rows.NOW),
    ),
    "provisioning_cursor_gap_has_no_position": (
        lambda: rows.cursor(state="waiting"),
        lambda: rows.cursor(state="waiting", position=None),
        lambda: rows.cursor(state="waiting", gap_at=rows.NOW),
    ),
    "provisioning_cursor_names_its_stream": (lambda: rows.cursor(stream=""),),
    "provisioning_cursor_cadence_is_sensible": (
        lambda: rows.cursor(cadence_minutes=0),
        lambda: rows.cursor(cadence_minutes=10_081),
    ),
    "provisioning_cursor_one_per_stream": (lambda: twice(rows.cursor, system=rows.system(), stream="same"),),
    "provisioning_listening_one_per_cursor": (lambda: twice(rows.listening, cursor=rows.cursor()),),
    "provisioning_feed_event_once": (lambda: twice(rows.feed_event, cursor=rows.cursor(), key="same"),),
    "provisioning_exchange_key_once": (lambda: twice(rows.exchange_key, system=rows.system(), key="same"),),
    "provisioning_run_state_is_known": (lambda: rows.run(state="walking", ended_at=NOW),),
    "provisioning_run_end_has_its_time": (
        lambda: rows.run(state="closed"),
        lambda: rows.run(state="running", ended_at=NOW),
    ),
    "provisioning_run_simulated_ends_as_such": (
        lambda: rows.run(state="closed", ended_at=NOW, is_simulated=True),
        lambda: rows.run(state="incomplete", ended_at=NOW, is_simulated=True),
        lambda: rows.run(state="simulated", ended_at=NOW),
    ),
    "provisioning_run_one_per_system": (lambda: twice(rows.run, system=rows.system()),),
    "provisioning_plan_kind_is_known": (lambda: rows.plan(kind="coup"),),
    "provisioning_plan_state_is_known": (lambda: rows.plan(state="asleep", digest="d"),),
    "provisioning_plan_is_hashed_before_it_is_judged": (
        lambda: rows.plan(state="evaluated"),
        lambda: rows.plan(state="waiting"),
        lambda: rows.plan(state="done"),
    ),
    "provisioning_plan_of_one_names_account": (lambda: rows.plan(account=None), lambda: rows.plan(epoch=None)),
    "provisioning_plan_one_wish_alive": (
        lambda: twice(rows.plan, account=rows.ended()),
        lambda: (rows.plan(account=(a := rows.ended())), rows.plan(account=a, state="executing", digest="d")),
    ),
    "provisioning_change_act_is_known": (lambda: rows.change(act="sing"),),
    "provisioning_change_result_is_known": (lambda: rows.change(result="perhaps"),),
    "provisioning_change_attribution_is_known": (lambda: rows.change(attribution="fate"),),
    "provisioning_change_evidence_has_its_attribution": (lambda: rows.change(attributed_by={"kind": "cause"}),),
    "provisioning_change_position_once": (lambda: twice(rows.change, plan=rows.plan()),),
    "provisioning_replay_kind_is_known": (lambda: rows.replay(kind="all"),),
    "provisioning_replay_state_is_known": (lambda: rows.replay(state="asleep", ended_at=NOW),),
    "provisioning_replay_says_why": (lambda: rows.replay(reason=""),),
    "provisioning_replay_end_has_its_time": (
        lambda: rows.replay(state="done"),
        lambda: rows.replay(ended_at=NOW),
    ),
    "provisioning_replay_ends_after_it_begins": (lambda: rows.replay(last_id=uuid7(), first_id=uuid7()),),
    "provisioning_replay_names_its_resource": (lambda: rows.replay(kind="resource"),),
    "provisioning_replay_range_has_a_system": (lambda: rows.replay(kind="range"),),
    "provisioning_rebuild_state_is_known": (lambda: rows.rebuild(state="resting"),),
    "provisioning_rebuild_one_per_tenant": (lambda: twice(rows.rebuild),),
    "provisioning_rebuild_result_is_whole": (
        lambda: rows.rebuild(equal=1),
        lambda: rows.rebuild(compared_at=NOW, equal=1),
    ),
    "provisioning_rebuilt_once": (lambda: twice(rows.rebuilt, resource_id=uuid7()),),
    "provisioning_rebuilt_member_once": (lambda: twice(rows.rebuilt_member, group_ref=uuid7(), member_ref=uuid7()),),
    "provisioning_readback_result_is_known": (lambda: rows.readback(result="blurred"),),
    "provisioning_shadow_is_of_its_type": (
        lambda: rows.shadow(resource_type="Group", account=rows.account()),
        lambda: rows.shadow(resource_type="User", account=None),
        lambda: rows.shadow(resource_type="User", account=rows.account(), group=rows.group()),
        lambda: rows.shadow(resource_type="User", group=rows.group()),
        lambda: rows.shadow(resource_type="Robot", account=rows.account()),
        lambda: rows.shadow(resource_type="Agent", account=None),
        lambda: rows.shadow(resource_type="Agent", account=rows.account(), group=rows.group()),
        lambda: rows.shadow(resource_type="Role", account=rows.account()),
        lambda: rows.shadow(resource_type="AgenticApplication", account=None, group=rows.group()),
    ),
    "provisioning_shadow_has_a_name": (lambda: rows.shadow(name_key=""),),
    "provisioning_shadow_name_once": (lambda: two_shadows(name_key="same"),),
    "provisioning_shadow_external_id_once": (lambda: two_shadows(external_id="same"),),
    "provisioning_shadow_one_per_account": (lambda: two_shadows(account=rows.account()),),
    "provisioning_shadow_one_per_group": (lambda: two_shadows(resource_type="Group", group=rows.group()),),
    "provisioning_snapshot_state_is_known": (lambda: rows.snapshot(state="blurred"),),
    "provisioning_snapshot_one_per_run": (lambda: twice(rows.snapshot, run=rows.run()),),
    "provisioning_proof_word_is_known": (lambda: rows.proof(word="trust me"),),
    "provisioning_proof_once": (lambda: twice(rows.proof, snapshot=rows.snapshot()),),
    "provisioning_received_state_is_known": (lambda: rows.received(state="lost"),),
    "provisioning_received_source_is_known": (lambda: rows.received(source="rumour"),),
    "provisioning_received_has_a_lane": (lambda: rows.received(lane=""),),
    "provisioning_received_end_has_its_time_and_no_body": (
        lambda: rows.received(ended_at=NOW),
        lambda: rows.received(state="applied"),
        lambda: rows.received(state="given_up", ended_at=NOW, sealed="x"),
        lambda: rows.received(state="parked", error="x", ended_at=NOW),
    ),
    "provisioning_received_parked_says_why": (lambda: rows.received(state="parked"),),
    "provisioning_received_overtaken_names_by_what": (lambda: rows.received(is_overtaken_wholly=True),),
    "provisioning_received_key_once": (
        lambda: twice(rows.received, system=rows.system(), key="k"),
        lambda: two_keys(state="parked", error="x"),
    ),
}


@pytest.mark.parametrize(
    ("name", "attempt"), [(name, attempt) for name, attempts in BREAKS.items() for attempt in attempts]
)
def test_each_rule_refuses_what_breaks_it(because, name, attempt):
    assert broken_by(attempt) == name


def test_a_shadow_that_has_ended_leaves_its_names_to_the_next(because):
    system, account = rows.system(), rows.account()
    for ended_at in (NOW, NOW, None):
        rows.shadow(system=system, account=account, name_key="same", external_id="same", ended_at=ended_at)
    rows.settle()
    # Without an external id nothing collides, and a group may be called like a user.
    rows.shadow(system=system, resource_type="Group", group=rows.group(), name_key="same")
    assert system.shadows.count() == 4


def test_a_system_runs_again_when_its_run_has_ended_and_beside_other_systems(because):
    system = rows.system()
    for state, ended_at in (("closed", NOW), ("failed", NOW), ("running", None)):
        rows.run(system=system, state=state, ended_at=ended_at)
    rows.run()
    assert system.runs.count() == 3


def test_a_wish_may_be_repeated_when_the_last_has_ended_and_for_another_epoch(because):
    account = rows.ended()
    for state in ("rejected", "lapsed", "done"):
        rows.plan(account=account, state=state, digest="d")
    rows.plan(account=account)
    rows.plan(account=account, epoch=2)
    assert account.plans.count() == 5


def test_a_reading_is_not_bound_to_one_account(because):
    twice(rows.plan, kind="reading", account=None, epoch=None, system=rows.system())


# -- a plan is what was hashed


@pytest.mark.parametrize(
    ("make", "field", "other"),
    [
        (rows.plan, "kind", lambda: "undo"),
        (rows.plan, "account", rows.account),
        (rows.plan, "epoch", lambda: 7),
        (rows.plan, "system", rows.system),
        (rows.plan, "exchange_id", uuid7),
        (rows.plan, "asked_by", lambda: "somebody else"),
        (rows.change, "account", rows.account),
        (rows.change, "act", lambda: "add_member"),
        (rows.change, "before", lambda: {"state": "x"}),
        (rows.authority, "field", lambda: "title"),
        (rows.authority, "status_values", lambda: ["left"]),
    ],
)
def test_what_a_plan_is_about_and_a_rule_says_never_changes(
    because: Any, make: Callable[[], Any], field: str, other: Callable[[], Any]
) -> None:
    assert broken_by(changed(make(), **{field: other()})) == "RC006"


def test_a_plan_keeps_its_hash_its_permit_and_everybody_who_asked(because: Any) -> None:
    ada, bob = rows.identity().pk, rows.identity().pk
    plan = rows.plan(digest="a" * 64, requesters=[ada])
    assert broken_by(changed(plan, digest="b" * 64)) == "RC031"
    assert broken_by(changed(plan, requesters=[])) == "RC031"
    assert broken_by(changed(plan, requesters=[bob])) == "RC031"
    assert changed(plan, requesters=[bob, ada])() == 1
    assert changed(plan, permit_id=uuid7())() == 1
    assert broken_by(changed(plan, permit_id=uuid7())) == "RC031"
    assert broken_by(changed(plan, permit_id=None)) == "RC031"


def test_a_plan_that_was_hashed_gets_no_further_change(because: Any) -> None:
    plan = rows.plan(digest="")
    rows.change(plan=plan)
    assert changed(plan, digest="a" * 64)() == 1
    assert broken_by(lambda: rows.change(plan=plan, position=2)) == "RC032"
