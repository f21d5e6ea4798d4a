"""What systems say about groups: a row for each member that comes or goes; who leaves a status group has ended."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import memberships
from accounts.memberships import Member
from accounts.models import Account, Finding, Group, Membership, System
from provisioning import group_intake, intake, shadows
from provisioning.models.authority import FieldAuthority
from provisioning.models.shadow import Shadow
from provisioning.shadows import BadValue, Conflict, Taken
from tests.conftest import AT
from tests.factories import governance as make
from tests.factories.words import a_group_word, a_sender, a_word, step, written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause
    from provisioning.changes import MemberStep

HOUR = dt.timedelta(hours=1)
MODELS = (Group, Membership, Shadow, Account)


@pytest.fixture
def system(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, at=AT)


@pytest.fixture
def users(system: System) -> list[UUID]:
    return [user(system, name) for name in ("ada", "bob", "cyd")]


def user(system: System, name: str) -> UUID:
    return intake.create_account(sender=a_sender(system), change=a_word(name), at=AT).shadow.pk


def create(system: System, *args: Any, **values: Any) -> Taken:
    return group_intake.create_group(sender=a_sender(system), change=a_group_word(*args, **values), at=AT)


def locked(shadow: Shadow) -> Shadow:
    found = shadows.lock_shadow(system=shadow.system, resource_type="Group", id=shadow.pk)
    assert found is not None
    return found


def change(
    shadow: Shadow, *steps: MemberStep, name: str = "Staff", at: dt.datetime = AT + HOUR, **values: Any
) -> Taken:
    word = a_group_word(name, *steps, **values)
    return group_intake.change_group(sender=a_sender(shadow.system), shadow=locked(shadow), change=word, at=at)


def inside(taken: Taken) -> set[UUID | None]:
    assert taken.shadow.group is not None
    live = memberships.of_system(group=taken.shadow.group, system=taken.shadow.system)
    return set(live.values_list("origin_ref", flat=True))


def said(taken: Taken) -> tuple[str, str, tuple[str, ...]]:
    return taken.outcome.value, taken.intent.value, taken.held_by


def states(users: list[UUID]) -> list[str]:
    found = {s.pk: s.account.state for s in Shadow.objects.select_related("account") if s.account is not None}
    return [found[u] for u in users]


def ends_by(system: System, group: str) -> None:
    FieldAuthority.objects.create(
        tenant=system.tenant, system=system, resource_type="Group", field="members", direction="reduces",
        authority="authoritative", status_from="group", status_values=[group],
    )  # fmt: skip


def no_expansion(system: System) -> None:
    FieldAuthority.objects.create(
        tenant=system.tenant, system=system, resource_type="Group", field="members", direction="expands",
        authority="needs_approval",
    )  # fmt: skip


def test_a_group_is_made_with_its_members_and_named_accounts(system: System, users: list[UUID]) -> None:
    written = written_from_here(*MODELS)
    taken = create(system, "Staff", step("replace", *users[:2]), external_id="g1")
    assert (said(taken), taken.created) == (("applied", "create", ()), True)
    shadow = taken.shadow
    assert (shadow.name, shadow.name_key, shadow.external_id, shadow.version) == ("Staff", "staff", "g1", 1)
    assert inside(taken) == set(users[:2])
    assert written.history(*MODELS) == {"Group": 1, "Membership": 2, "Shadow": 1}
    assert written.sentences() == ["a test: group Staff made", "a test: Staff: 2 added, 0 ended."]
    accounts = Shadow.objects.filter(pk__in=users[:2]).values_list("account_id", flat=True)
    assert written.subjects("account") == {str(a) for a in accounts}


@pytest.mark.parametrize("op", ["add", "replace"])
def test_the_same_members_again_write_no_row(system: System, users: list[UUID], op: str) -> None:
    shadow = create(system, "Staff", step("replace", *users)).shadow
    written = written_from_here(*MODELS)
    taken = change(shadow, step(op, *reversed(users)))
    assert taken.outcome.value == "same"
    assert taken.shadow.version == 1
    assert (written.history(*MODELS), written.entries()) == ({}, [])


def test_steps_apply_in_order_and_only_the_difference_is_written(system: System, users: list[UUID]) -> None:
    ada, bob, cyd = users
    shadow = create(system, "Staff", step("add", ada, bob)).shadow
    written = written_from_here(*MODELS)
    taken = change(shadow, step("add", cyd), step("remove", ada), step("add", cyd))
    assert (said(taken), inside(taken), taken.shadow.version) == (("applied", "member_remove", ()), {bob, cyd}, 2)
    assert written.history(*MODELS) == {"Membership": 2, "Shadow": 1}
    assert written.sentences() == ["a test: Staff: 1 added, 1 ended."]
    both = Shadow.objects.filter(pk__in=[ada, cyd]).values_list("account_id", flat=True)
    assert written.subjects("account") == {str(a) for a in both}
    assert states(users) == ["active"] * 3


def test_a_request_costs_as_many_queries_however_many_steps_it_has(system: System, users: list[UUID]) -> None:
    ada, bob, _ = users
    many = [user(system, f"p{n}") for n in range(40)]
    shadow = create(system, "Staff", step("add", ada, *many[:20])).shadow
    with CaptureQueriesContext(connection) as few:
        change(shadow, step("add", bob), step("remove", ada))
    alternating = [step("add" if n >= 20 else "remove", one) for n, one in enumerate(many)]
    with CaptureQueriesContext(connection) as lots:
        taken = change(shadow, *(one for pair in zip(alternating[:20], alternating[20:], strict=True) for one in pair))
    assert inside(taken) == {bob, *many[20:]}
    assert len(lots) == len(few)


def test_who_is_put_in_and_taken_out_again_by_one_request_is_no_change(system: System, users: list[UUID]) -> None:
    ada, bob, cyd = users
    shadow = create(system, "Staff", step("add", ada, bob)).shadow
    written = written_from_here(*MODELS)
    taken = change(shadow, step("remove", ada), step("add", cyd), step("remove", cyd), step("add", ada))
    assert (taken.outcome.value, inside(taken), taken.shadow.version) == ("same", {ada, bob}, 1)
    assert (written.history(*MODELS), written.entries()) == ({}, [])
    with pytest.raises(BadValue), transaction.atomic():
        change(shadow, step("add", stranger := uuid4()), step("remove", stranger))


@pytest.mark.parametrize("seed", range(6))
def test_one_request_with_many_steps_ends_where_as_many_requests_end(system: System, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  a test's choices
    no_expansion(system) if seed % 2 else None
    many = [user(system, f"p{n}") for n in range(6)]
    whole, apart = (create(system, name, step("add")).shadow for name in ("Whole", "Apart"))
    for shadow in (whole, apart):
        members = [Member(ref=s.pk, account=s.account_id) for s in Shadow.objects.filter(pk__in=many[:4])]
        assert shadow.group is not None
        memberships.add(group=shadow.group, system=system, members=members, at=AT)
    sent = [
        step(op, *(() if op == "remove_all" else rng.sample(many, rng.randint(0, 3))))
        for op in rng.choices(["add", "remove", "replace", "remove_all"], [4, 4, 1, 1], k=8)
    ]
    together = change(whole, *sent, name="Whole")
    held = [change(apart, one, name="Apart") for one in sent]
    assert inside(together) == inside(held[-1])
    assert set(together.held_by) == {note for one in held for note in one.held_by}


def test_members_that_stay_are_neither_read_nor_written(system: System, users: list[UUID]) -> None:
    ada, bob, cyd = users
    shadow = create(system, "Staff", step("add", ada, bob)).shadow
    found = locked(shadow)
    with CaptureQueriesContext(connection) as queries:
        word = a_group_word("Staff", step("replace", bob, cyd))
        group_intake.change_group(sender=a_sender(system), shadow=found, change=word, at=AT + HOUR)
    on_members = [one["sql"] for one in queries if '"accounts_membership"' in one["sql"]]
    assert on_members == []
    by_hand = [one["sql"].split()[0] for one in queries if " accounts_membership" in one["sql"]]
    assert by_hand == ["SELECT", "WITH", "INSERT"]


def test_everybody_who_leaves_a_status_group_has_ended_not_only_the_named(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memberships, "NAMED", 2)
    monkeypatch.setattr(group_intake, "SLICE", 3)
    ends_by(system, "employees")
    many = [user(system, f"p{n}") for n in range(7)]
    shadow = create(system, "Employees", step("add", *many)).shadow
    written = written_from_here()
    change(shadow, step("replace", many[0]), name="Employees")
    assert states(many) == ["active", *["deprovisioned"] * 6]
    assert written.sentences()[0] == "a test: Employees: 0 added, 6 ended."
    assert written.entries().count("account.ended") == 2
    finding = Finding.objects.get()
    assert (finding.kind, finding.evidence["count"]) == ("mass_reduction", 6)


def test_replacing_and_emptying(system: System, users: list[UUID]) -> None:
    ada, bob, cyd = users
    shadow = create(system, "Staff", step("add", ada, bob)).shadow
    taken = change(shadow, step("replace", bob, cyd))
    assert (said(taken), inside(taken)) == (("applied", "member_replace", ()), {bob, cyd})
    taken = change(shadow, step("remove_all"))
    assert (said(taken), inside(taken)) == (("applied", "member_remove", ()), set())
    assert said(change(shadow, step("remove_all"))) == ("same", "member_remove", ())
    assert said(change(shadow, step("add", ada))) == ("applied", "member_add", ())
    assert inside(change(shadow, step("replace"))) == set()


def test_a_member_who_comes_back_has_a_row_for_each_time(system: System, users: list[UUID]) -> None:
    shadow = create(system, "Staff", step("add", users[0])).shadow
    change(shadow, step("remove", users[0]))
    change(shadow, step("add", users[0]), at=AT + 2 * HOUR)
    assert list(Membership.objects.order_by("since").values_list("since", "ended_at")) == [
        (AT, AT + HOUR), (AT + 2 * HOUR, None),
    ]  # fmt: skip


def test_a_rename_is_written_once(system: System) -> None:
    shadow = create(system, "Staff").shadow
    written = written_from_here(*MODELS)
    taken = change(shadow, name="People")
    assert (said(taken), taken.shadow.name, taken.shadow.version) == (("applied", "update", ()), "People", 2)
    assert Group.objects.get().display_name_key == "people"
    assert said(change(shadow, name="People")) == ("same", "update", ())
    assert written.history(*MODELS) == {"Group": 1, "Shadow": 1}
    assert written.sentences() == ["a test: group Staff is People now"]


@pytest.mark.parametrize("op", ["add", "replace"])
def test_who_is_no_living_resource_of_this_system_can_not_be_put_in_and_nothing_is_written(
    tenant: Tenant, system: System, users: list[UUID], op: str
) -> None:
    foreign = user(make.a_system(tenant, "Entra", at=AT), "zed")
    gone = user(system, "gone")
    found = shadows.lock_shadow(system=system, resource_type="User", id=gone)
    assert found is not None
    intake.end_account(sender=a_sender(system), shadow=found, at=AT)
    shadow = create(system, "Staff", step("add", users[0])).shadow
    written = written_from_here(*MODELS)
    for stranger in (foreign, gone, uuid4()):
        with pytest.raises(BadValue, match=f"this system has no resource {stranger}"), transaction.atomic():
            change(shadow, step("remove_all"), step(op, users[1], stranger), name="Renamed")
        with pytest.raises(BadValue), transaction.atomic():
            create(system, "Other", step(op, stranger))
    with pytest.raises(BadValue, match="a group can't be a member of itself"), transaction.atomic():
        change(shadow, step(op, shadow.pk))
    assert (written.history(*MODELS), written.entries()) == ({}, [])


def test_a_group_is_a_member_like_any_other_and_out_when_it_ends(system: System) -> None:
    inner = create(system, "Inner").shadow
    outer = create(system, "Outer", step("add", inner.pk))
    assert Membership.objects.get().member_group_id == inner.group_id
    taken = group_intake.end_group(sender=a_sender(system), shadow=locked(inner), at=AT + HOUR)
    assert said(taken) == ("applied", "delete", ())
    assert inside(outer) == set()
    assert shadows.lock_shadow(system=system, resource_type="Group", id=inner.pk) is None


def test_an_ended_groups_name_is_free(system: System, users: list[UUID]) -> None:
    shadow = create(system, "Staff", step("add", *users), external_id="g1").shadow
    for name, values, field in (("STAFF ", {}, "displayName"), ("Other", {"external_id": "g1"}, "externalId")):
        with pytest.raises(Conflict) as raised, transaction.atomic():
            create(system, name, **values)
        assert raised.value.field == field
    group_intake.end_group(sender=a_sender(system), shadow=locked(shadow), at=AT + HOUR)
    assert set(Membership.objects.values_list("ended_at", flat=True)) == {AT + HOUR}
    assert Group.objects.get().ended_at == AT + HOUR
    assert states(users) == ["active"] * 3
    assert create(system, "Staff", external_id="g1").shadow.pk != shadow.pk


@pytest.mark.parametrize(
    ("name", "values", "attribute"),
    [
        ("x" * 401, {}, "displayName"),
        (" \u3000", {}, "displayName"),
        ("Staff", {"external_id": "x" * 401}, "externalId"),
    ],
)
def test_a_name_or_external_id_that_can_not_be_kept_is_refused(
    system: System, name: str, values: dict[str, Any], attribute: str
) -> None:
    shadow = create(system, "Other").shadow
    for call in (lambda: create(system, name, **values), lambda: change(shadow, name=name, **values)):
        with pytest.raises(BadValue) as raised, transaction.atomic():
            call()
        assert raised.value.attribute == attribute


# -- a group that the status is derived from


@pytest.mark.parametrize("how", ["remove", "replace", "remove_all", "end"])
def test_membership_of_a_status_group_lost_ends_the_account(system: System, users: list[UUID], how: str) -> None:
    ends_by(system, "EMPLOYEES")
    ada, bob, cyd = users
    shadow = create(system, "Employees", step("add", ada, bob)).shadow
    if how == "end":
        group_intake.end_group(sender=a_sender(system), shadow=locked(shadow), at=AT + HOUR)
    else:
        values = {"remove": [ada], "replace": [bob], "remove_all": []}[how]
        change(shadow, step(how, *values), name="Employees")
    stays = "active" if how in {"remove", "replace"} else "deprovisioned"
    assert states(users) == ["deprovisioned", stays, "active"]
    row = Account.objects.get(user_name="ada")
    assert (row.epoch, row.cutoff_at) == (1, AT + HOUR)
    assert cyd in users


def test_who_leaves_and_is_back_in_the_same_request_has_not_ended(system: System, users: list[UUID]) -> None:
    ends_by(system, "employees")
    shadow = create(system, "Employees", step("add", *users)).shadow
    change(shadow, step("remove_all"), step("add", *users[:2]), name="Employees")
    assert states(users) == ["active", "active", "deprovisioned"]


def test_another_groups_loss_ends_nobody(system: System, users: list[UUID]) -> None:
    ends_by(system, "employees")
    shadow = create(system, "Staff", step("add", *users)).shadow
    change(shadow, step("remove_all"))
    assert states(users) == ["active"] * 3


def test_many_who_leave_a_status_group_at_once_have_ended_and_raise_the_alarm(system: System) -> None:
    ends_by(system, "employees")
    many = [user(system, f"p{n}") for n in range(8)]
    shadow = create(system, "Employees", step("add", *many)).shadow
    change(shadow, step("remove", *many[:5]), name="Employees")
    assert not Finding.objects.exists()
    change(shadow, step("add", *many[:5]), name="Employees")
    late = [user(system, f"q{n}") for n in range(6)]
    change(shadow, step("add", *late), name="Employees")
    change(shadow, step("remove", *late), name="Employees")
    assert states(late) == ["deprovisioned"] * 6
    finding = Finding.objects.get()
    assert (finding.kind, finding.evidence["count"], finding.evidence["of"]) == ("mass_reduction", 6, 14)


# -- a rule that members need approval


@pytest.mark.parametrize("op", ["add", "replace"])
def test_where_members_need_approval_nobody_new_comes_in_and_who_is_left_out_is_out(
    system: System, users: list[UUID], op: str
) -> None:
    ada, bob, cyd = users
    shadow = create(system, "Staff", step("add", ada, bob)).shadow
    no_expansion(system)
    taken = change(shadow, step(op, bob, cyd))
    note = "who is put into this group needs approval here"
    assert (taken.outcome.value, taken.held_by) == ("held", (note,))
    assert inside(taken) == ({ada, bob} if op == "add" else {bob})
    same = change(shadow, step("add", bob))
    assert (said(same), inside(same) >= {bob}) == (("same", "member_add", ()), True)
    assert said(change(shadow, step("remove", bob))) == ("applied", "member_remove", ())
    made = create(system, "New", step("replace", cyd))
    assert (said(made), inside(made)) == (("held", "create", (note,)), set())
