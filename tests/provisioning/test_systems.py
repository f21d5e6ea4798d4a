"""Systems: made and ended through one door, and whoever does anything of it counts as a requester."""

import datetime as dt

import pytest

from accounts.exceptions import make_for_setup
from accounts.models import ExceptionKind, Identity, ReactivationPolicy, System, SystemKind
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import connections, systems, tokens
from provisioning.systems import BadSystem
from provisioning.tokens import Refusal, Refused
from tests.conftest import AT, a_cause, as_setup

YEAR = dt.timedelta(days=365)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def someone(because):
    return Identity.objects.create(made_at=AT).pk


@pytest.fixture
def system(tenant, because):
    return make(tenant)


def make(tenant, name="Okta", **values):
    return systems.make_system(
        **{"tenant_id": tenant.pk, "name": name, "kind": SystemKind.DIRECTORY, "made_by": None, "at": AT} | values
    )


def token_of(system, *, at=AT, **values):
    return tokens.make_token(
        **{
            "system": system,
            "label": "prod",
            "may": ["read", "write"],
            "expires_at": at + YEAR,
            "made_by": None,
            "at": at,
        }
        | values
    )


def connect(system, **values):
    return connections.connect(
        **{
            "system": system, "base_url": "https://idp.example/scim/v2/", "secret": "towards-them",
            "canary_user_name": "canary@acme", "at": AT,
        } | values
    )  # fmt: skip


def events():
    return list(JournalEntry.objects.order_by("id").values_list("event", flat=True))


# -- systems


def test_a_system_is_made_once_with_its_journal_entry_and_whoever_made_it_administers_it(tenant, someone):
    made = make(tenant, made_by=someone)
    assert (made.name, made.reactivation_policy, made.grace_hours) == ("Okta", "approval", 24)
    assert [(a.identity_id, a.because, a.since, a.until) for a in made.administrators.all()] == [
        (someone, "administers", AT, None)
    ]
    assert events() == ["system.made"]
    with pytest.raises(BadSystem, match="There is a system Okta already: choose another name"):
        make(tenant, name=" Okta ")
    with pytest.raises(BadSystem, match="There is a system Okta already"):
        make(tenant, name="oKTA")
    with pytest.raises(BadSystem, match="needs a name"):
        make(tenant, name="  ")
    with pytest.raises(BadSystem, match="from 1 to 720"):
        make(tenant, name="Other", grace_hours=0)
    assert System.objects.count() == 1


def test_an_ended_system_takes_its_tokens_and_its_reading_with_it(system):
    token, text = token_of(system)
    connection = connect(system)
    systems.end_system(system=system, reason="replaced", at=AT + HOUR)
    connection.refresh_from_db()
    assert connection.paused_at == AT + HOUR
    assert tokens.find_token(text, at=AT + HOUR) == Refused(Refusal.ENDED, token.pk)
    with pytest.raises(BadSystem, match="Okta has ended"):
        token_of(system)
    before = events()
    systems.end_system(system=system, reason="again", at=AT + 2 * HOUR)
    assert events() == before


def test_a_policy_without_a_live_exception_says_that_it_has_no_effect(system):
    systems.change_policy(system=system, policy=ReactivationPolicy.AUTOMATIC, reason="a test bed", at=AT)
    assert "(no effect: no exception is live). a test bed" in JournalEntry.objects.order_by("id").last().sentence
    with as_setup():
        make_for_setup(kind=ExceptionKind.REACTIVATION, system=system, reason="tests", until=AT + YEAR, at=AT)
    systems.change_policy(system=system, policy=ReactivationPolicy.GRACE, grace_hours=2, reason="less", at=AT)
    assert "no effect" not in JournalEntry.objects.order_by("id").last().sentence
    system.refresh_from_db()
    assert (system.reactivation_policy, system.grace_hours) == ("grace", 2)
    before = events()
    systems.change_policy(system=system, policy=ReactivationPolicy.GRACE, reason="same", at=AT)
    assert events() == before


def test_it_is_made_strict_once_with_an_entry_and_whoever_does_counts_as_for_a_policy(tenant, someone):
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = make(tenant)
    with scope(tenant=tenant.pk, cause=a_cause(identity_id=someone)):
        assert not system.is_strict
        assert systems.change_strictness(system=system, is_strict=True, reason="CHG-1", at=AT).is_strict
        said = JournalEntry.objects.order_by("id").last().sentence
        assert said.endswith("Okta: now strict: what is not plain SCIM is refused. CHG-1")
        before = events()
        systems.change_strictness(system=system, is_strict=True, reason="again", at=AT)
        assert events() == before
        assert system.history.count() == 2
        assert someone in systems.requesters(system=system, at=AT + HOUR)
        systems.end_system(system=system, reason="replaced", at=AT)
        with pytest.raises(BadSystem, match="has ended"):
            systems.change_strictness(system=system, is_strict=False, reason="x", at=AT)


def test_an_ended_system_takes_no_other_policy_and_nobody_administers_it_from_then_on(system, someone):
    systems.add_administrator(system=system, identity=someone, at=AT)
    systems.end_system(system=system, reason="replaced", at=AT)
    before = events()
    with pytest.raises(BadSystem, match="Okta has ended: nothing of it can be changed any more"):
        systems.change_policy(system=system, policy=ReactivationPolicy.AUTOMATIC, reason="x", at=AT)
    with pytest.raises(BadSystem, match="has ended"):
        systems.add_administrator(system=system, identity=someone, at=AT)
    assert events() == before
    system.refresh_from_db()
    assert system.reactivation_policy == "approval"
    with as_setup():
        systems.end_administrator(system=system, identity=someone, at=AT + HOUR)
    assert systems.requesters(system=system, at=AT + dt.timedelta(days=40)) == set()


# -- who counts as having asked


def test_requesters_are_who_administers_and_who_made_a_token_or_changed_the_policy_within_thirty_days(tenant):
    with scope(cause=a_cause()):
        people = [Identity.objects.create(made_at=AT).pk for _ in range(6)]
    administers, token_maker, changer, connector, former, stranger = people
    later = AT + dt.timedelta(days=29, hours=23)
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = make(tenant, made_by=administers)
        make(tenant, name="Another", made_by=stranger)
        systems.add_administrator(system=system, identity=former, at=AT)
        token_of(system, made_by=token_maker)
        with as_setup():
            systems.end_administrator(system=system, identity=former, at=AT)
    with scope(tenant=tenant.pk, cause=a_cause(identity_id=changer)):
        systems.change_policy(system=system, policy=ReactivationPolicy.AUTOMATIC, reason="x", at=AT)
    with scope(tenant=tenant.pk, cause=a_cause(identity_id=connector)):
        connect(system)
    with scope(tenant=tenant.pk):
        assert systems.requesters(system=system, at=later) == {administers, token_maker, changer, connector, former}
        assert systems.requesters(system=system, at=AT + dt.timedelta(days=30)) == {administers}


@pytest.mark.parametrize("verb", ["connect", "change", "pause", "resume", "end_token", "rotate", "end"])
def test_every_administering_verb_counts_whoever_is_behind_the_cause(tenant, verb):
    with scope(cause=a_cause()):
        who = Identity.objects.create(made_at=AT).pk
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = make(tenant)
        connection = None if verb == "connect" else connect(system)
        if verb == "resume":
            connections.pause(connection=connection, reason="x", at=AT)
        token, _ = token_of(system)
        before = len(events())
    acts = {
        "connect": lambda: connect(system),
        "change": lambda: connections.change_connection(connection=connection, at=AT, page_size=7),
        "pause": lambda: connections.pause(connection=connection, reason="x", at=AT),
        "resume": lambda: connections.resume(connection=connection, at=AT),
        "end_token": lambda: tokens.end_token(token=token, reason="x", at=AT),
        "rotate": lambda: tokens.rotate_token(token=token, expires_at=AT + YEAR, ends_in=HOUR, made_by=None, at=AT),
        "end": lambda: systems.end_system(system=system, reason="x", at=AT),
    }
    with scope(tenant=tenant.pk, cause=a_cause(identity_id=who)):
        acts[verb]()
        assert systems.requesters(system=system, at=AT + HOUR) == {who}
        assert len(events()) > before
