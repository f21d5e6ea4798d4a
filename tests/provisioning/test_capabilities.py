"""How far each dimension of a system can be believed: proved by what was planted, declared, or unreadable with why."""

import datetime as dt

import pytest

from provisioning import capabilities, reconciliation
from provisioning.capabilities import BECAUSE, Dimension
from provisioning.models import Run, Snapshot
from provisioning.proofs import Word
from tests.conftest import AT
from tests.fakes.directories import a_system, known, known_group

BEFORE = AT - dt.timedelta(days=1)


@pytest.fixture
def system(tenant, acting, directory):
    """A canary that is known here by its names, and is in a group with ann."""
    with acting():
        made = a_system(tenant, at=BEFORE, directory=directory)
        canary, ann = directory.user("canary", displayName="The Canary"), directory.user("ann", displayName="Ann")
        here = known(made, "canary", at=BEFORE, remote_id=canary, display="The Canary")
        other = known(made, "ann", at=BEFORE, remote_id=ann, display="Ann")
        group = directory.group("web", canary, ann)
        known_group(made, "web", here, other, at=BEFORE, remote_id=group)
    made.canary, made.ann, made.group = canary, ann, group
    return made


def after_reading(acting, system, at=AT):
    with acting():
        run = reconciliation.start(system=system, started_by="a test", at=at)
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=lambda: at)
    with acting():
        return {one.dimension: (str(one.evidence), one.word) for one in capabilities.of_systems([system.pk])[system.pk]}


HERE = {
    Dimension.OWNERSHIP: ("proved", "here_by_database"),
    Dimension.EXPIRY: ("proved", "here_by_sweep"),
    Dimension.CREDENTIALS: ("unreadable", "nothing_reads"),
}
PROVED = {
    Dimension.EXISTENCE: ("proved", "canary_seen"),
    Dimension.STATUS: ("proved", "canary_active"),
    Dimension.ATTRIBUTES: ("proved", "canary_named"),
    Dimension.MEMBERSHIPS: ("proved", "canary_member"),
    **HERE,
}


def test_what_was_planted_and_read_back_is_proved(acting, system):
    assert after_reading(acting, system) == PROVED
    with acting():
        # It says no name of anybody, and is kept with the reading.
        assert Snapshot.objects.get().dimensions == {
            "existence": ["proved", "canary_seen"], "status": ["proved", "canary_active"],
            "attributes": ["proved", "canary_named"], "memberships": ["proved", "canary_member"],
        }  # fmt: skip
        assert {one.as_of for one in capabilities.of_systems([system.pk])[system.pk]} == {AT, None}


def never_listed(directory, system):
    directory.bend = lambda asked, document: (404, {}) if asked.path.endswith("/Groups") else document


def without_members(directory, system):
    directory.members(system.group)


def canary_out(directory, system):
    directory.members(system.group, system.ann)


def canary_off(directory, system):
    directory.change(system.canary, active=False)


def without_status(*names):
    def act(directory, system):
        def bend(asked, document):
            for one in document.get("Resources", ()):
                if one.get("userName") in names:
                    one.pop("active", None)
            return document

        directory.bend = bend

    return act


def renamed(directory, system):
    directory.change(system.canary, displayName="Somebody")


@pytest.mark.parametrize(
    ("change", "dimension", "evidence", "word"),
    [
        (canary_off, Dimension.STATUS, "unreadable", "canary_inactive"),
        (without_status("canary"), Dimension.STATUS, "declared", "status_shown"),
        (without_status("canary", "ann"), Dimension.STATUS, "unreadable", "no_status"),
        (renamed, Dimension.ATTRIBUTES, "declared", "names_shown"),
        (canary_out, Dimension.MEMBERSHIPS, "declared", "members_shown"),
        (without_members, Dimension.MEMBERSHIPS, "unreadable", "no_members"),
        (never_listed, Dimension.MEMBERSHIPS, "unreadable", "no_groups"),
    ],
)  # fmt: skip
def test_what_was_planted_and_is_not_read_back_proves_nothing_any_more(
    acting, system, directory, change, dimension, evidence, word
):
    assert after_reading(acting, system) == PROVED
    change(directory, system)
    assert after_reading(acting, system, AT + dt.timedelta(minutes=20)) == PROVED | {dimension: (evidence, word)}


def test_where_no_member_is_shown_and_none_is_known_that_is_said(tenant, acting, directory):
    with acting():
        made = a_system(tenant, at=BEFORE, directory=directory)
        directory.user("canary")
    found = after_reading(acting, made)
    assert found[Dimension.MEMBERSHIPS] == ("declared", "nothing_to_show")
    # It is not known here, so nobody knows what its name should be.
    assert found[Dimension.ATTRIBUTES] == ("declared", "names_shown")


def test_an_incomplete_reading_changes_nothing_and_one_never_made_proves_nothing(acting, system, directory):
    with acting():
        found = {one.dimension: one.word for one in capabilities.of_systems([system.pk])[system.pk]}
    assert {word for dimension, word in found.items() if dimension in capabilities.READ} == {"never_read"}
    assert after_reading(acting, system) == PROVED
    directory.delete(system.canary)
    assert after_reading(acting, system, AT + dt.timedelta(minutes=20)) == PROVED
    with acting():
        assert Run.objects.latest("started_at").state == "incomplete"
        # The incomplete one keeps for itself what it showed.
        last = Snapshot.objects.latest("started_at")
        assert last.dimensions["existence"] == ["unreadable", "canary_missing"]
        assert last.proofs.get(word=Word.CANARY).holds is False


def test_a_reading_from_before_says_that_nobody_looked(acting, system):
    after_reading(acting, system)
    with acting():
        Snapshot.objects.update(dimensions={})
        found = {one.dimension: one.word for one in capabilities.of_systems([system.pk])[system.pk]}
    assert {word for dimension, word in found.items() if dimension in capabilities.READ} == {"not_looked"}


def test_every_word_has_its_sentence_and_many_systems_are_one_query(acting, system, tenant, django_assert_num_queries):
    with acting():
        others = [a_system(tenant, at=BEFORE, name=f"system {n}") for n in range(3)]
    after_reading(acting, system)
    with acting(), django_assert_num_queries(1):
        found = capabilities.of_systems([system.pk, *[one.pk for one in others]])
    assert len(found) == 4
    assert all(one.because == str(BECAUSE[one.word]) for able in found.values() for one in able)
