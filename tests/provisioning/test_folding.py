"""What one exchange makes of a resource, without a door and without a database."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import pytest

from audit.keys import uuid7
from provisioning.folding import NOT_KEPT, NOT_READ, Told, folded
from provisioning.models.authority import FieldAuthority
from provisioning.models.exchange import Exchange
from provisioning.scim.metadata.catalogue import GROUP_URN, USER_URN
from tests.factories.replays import a_patch, active, joins, leaves, title

pytestmark = pytest.mark.unit

AT = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
ADA, BOB = UUID("0198c2a0-0000-7000-8000-000000000001"), UUID("0198c2a0-0000-7000-8000-000000000002")
USER = {"schemas": [USER_URN], "userName": "ada"}


def an_exchange(method: str, kind: str = "User", **values: Any) -> Exchange:
    return Exchange(id=uuid7(), method=method, resource_type=kind, resource_id=ADA, outcome="applied", at=AT, **values)


def a_rule(**values: Any) -> FieldAuthority:
    return FieldAuthority(
        **{"field": "active", "direction": "expands", "authority": "advisory", "status_values": [], **values}
    )


def fold(before: Told | None, method: str, body: Any, *rules: FieldAuthority, kind: str = "User", **values: Any) -> Any:
    return folded(before, an_exchange(method, kind, **values), body=body, rules=rules)


def test_a_creation_without_a_word_about_active_is_wanted_active():
    told = fold(None, "POST", {**USER, "title": "Ops"}).told
    assert told == Told(document={"userName": "ada", "title": "Ops"}, label="ada", wants_active=True)
    assert fold(None, "POST", {**USER, "active": False}).told.wants_active is False


def test_a_replacement_unassigns_and_a_patch_changes_what_it_names():
    told = fold(None, "POST", {**USER, "title": "Ops", "nickName": "A"}).told
    patched = fold(told, "PATCH", a_patch(title("SRE"), active(False))).told
    assert (patched.document, patched.wants_active) == ({"userName": "ada", "title": "SRE", "nickName": "A"}, False)
    replaced = fold(patched, "PUT", USER).told
    assert (replaced.document, replaced.wants_active) == ({"userName": "ada"}, False)


def test_rules_decide_what_a_word_about_the_status_means():
    noted = a_rule()
    assert fold(None, "POST", USER, noted).told.wants_active is False
    ends = a_rule(
        field="title", direction="reduces", authority="authoritative", status_from="attribute", status_values=["Leaver"]
    )
    told = fold(None, "POST", USER, ends).told
    assert told.wants_active is True
    assert fold(told, "PATCH", a_patch(title("Leaver")), ends).told.wants_active is False


def test_a_deletion_ends_it():
    told = fold(fold(None, "POST", USER).told, "DELETE", None).told
    assert (told.is_ended, told.wants_active, told.document) == (True, False, {"userName": "ada"})


def test_what_is_masked_makes_it_unclear_until_it_is_stated_whole():
    told = fold(None, "POST", USER).told
    masked = fold(told, "PATCH", a_patch(title("***"))).told
    assert (masked.unclear, masked.document) == (NOT_KEPT, {"userName": "ada"})
    assert fold(masked, "PATCH", a_patch({"op": "add", "path": "nickName", "value": "A"})).told.unclear == NOT_KEPT
    assert fold(masked, "PUT", None).told.unclear == NOT_KEPT
    assert fold(masked, "PUT", USER).told.unclear == ""
    assert fold(told, "PATCH", a_patch({"op": "sing", "path": "title", "value": 1})).told.unclear == NOT_READ


def test_members_come_and_go_and_where_rules_hold_newcomers_back_nobody_comes():
    group = {"schemas": [GROUP_URN], "displayName": "Staff"}
    made = fold(None, "POST", {**group, "members": [{"value": str(ADA)}]}, kind="Group")
    assert (made.members.joins, made.members.stays) == ({ADA}, {ADA})
    moved = fold(made.told, "PATCH", a_patch(leaves(str(ADA)), joins(str(BOB))), kind="Group").members
    assert (moved.joins, moved.leaves, moved.stays) == ({BOB}, {ADA}, None)
    held = fold(
        made.told, "PATCH", a_patch(leaves(str(ADA)), joins(str(BOB))), a_rule(field="members"), kind="Group"
    ).members
    assert (held.joins, held.leaves) == (frozenset(), {ADA})


def test_a_group_whose_patch_is_not_kept_has_unclear_members_until_all_of_them_are_stated():
    group = {"schemas": [GROUP_URN], "displayName": "Staff"}
    told = fold(None, "POST", group, kind="Group").told
    lost = fold(told, "PATCH", None, kind="Group").told
    assert (lost.unclear, lost.members_unclear) == (NOT_KEPT, NOT_KEPT)
    silent = fold(lost, "PUT", group, kind="Group").told
    assert (silent.unclear, silent.members_unclear) == ("", NOT_KEPT)
    assert fold(lost, "PUT", {**group, "members": []}, kind="Group").told.members_unclear == ""


def replayed(before: Told | None, body: Any, took: dict[str, Any], kind: str = "User", method: str = "PATCH") -> Any:
    return fold(before, method, body, kind=kind, replays=uuid7(), took=took)


def test_of_a_replay_only_what_it_took_counts():
    told = Told(document={"userName": "ada", "title": "Lead"}, label="ada", wants_active=True)
    body = a_patch(title("SRE"), {"op": "add", "path": "nickName", "value": "A"}, active(False))
    assert replayed(told, body, {}).told == told
    some = replayed(told, body, {"names": ["nickName"]}).told
    assert (some.document, some.wants_active) == ({"userName": "ada", "title": "Lead", "nickName": "A"}, True)
    status = replayed(told, body, {"names": ["active"], "wants_active": False}).told
    assert (status.document, status.wants_active) == (told.document, False)
    assert replayed(None, USER, {"made": True, "wants_active": True}, method="POST").told.document == {
        "userName": "ada"
    }
    assert replayed(told, None, {"ended": True}, method="DELETE").told.is_ended
    assert not replayed(told, None, {}, method="DELETE").told.is_ended


def test_whom_a_replay_took_out_is_out_and_nobody_is_in_by_it():
    told = Told(document={"displayName": "Staff"}, label="Staff")
    moved = replayed(
        told, a_patch(leaves(str(ADA)), joins(str(BOB))), {"names": [], "out": [str(ADA)]}, kind="Group"
    ).members
    assert (moved.joins, moved.leaves) == (frozenset(), {ADA})
