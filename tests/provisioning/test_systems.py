"""Systems, their tokens and connections: made and ended through one door, and whoever does so counts as a requester."""

import datetime as dt
import hashlib
import hmac
import re

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection as database

from accounts.exceptions import make_for_setup
from accounts.models import ExceptionKind, Identity, ReactivationPolicy, System, SystemAdministrator, SystemKind
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import systems
from provisioning.models import Connection, ReadRecord, RefusedToken, SystemToken
from provisioning.systems import BadSystem, Refusal, Refused
from tests.conftest import AT, a_cause

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
    return systems.make_token(
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
    return systems.connect(
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
    assert systems.find_token(text, at=AT + HOUR) == Refused(Refusal.ENDED, token.pk)
    with pytest.raises(BadSystem, match="Okta has ended"):
        token_of(system)
    before = events()
    systems.end_system(system=system, reason="again", at=AT + 2 * HOUR)
    assert events() == before


def test_a_policy_without_a_live_exception_says_that_it_has_no_effect(system):
    systems.change_policy(system=system, policy=ReactivationPolicy.AUTOMATIC, reason="a test bed", at=AT)
    assert "(no effect: no exception is live). a test bed" in JournalEntry.objects.order_by("id").last().sentence
    make_for_setup(kind=ExceptionKind.REACTIVATION, system=system, reason="tests", until=AT + YEAR, at=AT)
    systems.change_policy(system=system, policy=ReactivationPolicy.GRACE, grace_hours=2, reason="less", at=AT)
    assert "no effect" not in JournalEntry.objects.order_by("id").last().sentence
    system.refresh_from_db()
    assert (system.reactivation_policy, system.grace_hours) == ("grace", 2)
    before = events()
    systems.change_policy(system=system, policy=ReactivationPolicy.GRACE, reason="same", at=AT)
    assert events() == before


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
            systems.pause(connection=connection, reason="x", at=AT)
        token, _ = token_of(system)
        before = len(events())
    acts = {
        "connect": lambda: connect(system),
        "change": lambda: systems.change_connection(connection=connection, at=AT, page_size=7),
        "pause": lambda: systems.pause(connection=connection, reason="x", at=AT),
        "resume": lambda: systems.resume(connection=connection, at=AT),
        "end_token": lambda: systems.end_token(token=token, reason="x", at=AT),
        "rotate": lambda: systems.rotate_token(token=token, expires_at=AT + YEAR, ends_in=HOUR, made_by=None, at=AT),
        "end": lambda: systems.end_system(system=system, reason="x", at=AT),
    }
    with scope(tenant=tenant.pk, cause=a_cause(identity_id=who)):
        acts[verb]()
        assert systems.requesters(system=system, at=AT + HOUR) == {who}
        assert len(events()) > before


# -- tokens


def test_a_token_is_shown_once_and_only_its_keyed_digest_is_kept(system):
    token, text = token_of(system)
    assert re.fullmatch(rf"rc_{token.pk.hex}_[A-Za-z0-9_-]{{43}}", text)
    token.refresh_from_db()
    assert token.digest == hmac.new(settings.ROLLCALL_TOKEN_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
    with database.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, '') FROM provisioning_systemtoken t")
        kept = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(h::text, '') FROM provisioning_historicalsystemtoken h")
        kept += cursor.fetchone()[0]
    assert text.rpartition("_")[2] not in kept
    assert text[-43:] not in kept


def test_a_live_token_is_found_without_a_tenant(tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        token, text = token_of(make(tenant))
    found = systems.find_token(text, at=AT)
    assert isinstance(found, SystemToken)
    assert (found.pk, found.tenant_id) == (token.pk, tenant.pk)


def test_what_is_no_live_token_is_refused_with_its_reason(system):
    token, text = token_of(system, expires_at=AT + HOUR)
    other, other_text = token_of(system)
    systems.end_token(token=other, reason="leaked", at=AT + HOUR)
    swapped = f"rc_{token.pk.hex}_{other_text.split('_', 2)[2]}"
    unknown = f"rc_{'0' * 32}_{text.split('_', 2)[2]}"
    refused = {
        "": Refused(Refusal.MALFORMED),
        "Bearer": Refused(Refusal.MALFORMED),
        text + "\n": Refused(Refusal.MALFORMED),
        text + "x": Refused(Refusal.WRONG, token.pk),
        text.upper(): Refused(Refusal.MALFORMED),
        swapped: Refused(Refusal.WRONG, token.pk),
        text: Refused(Refusal.EXPIRED, token.pk),
        other_text: Refused(Refusal.ENDED, other.pk),
    }
    assert {one: systems.find_token(one, at=AT + HOUR) for one in refused} == refused
    assert systems.find_token(unknown, at=AT).why == Refusal.UNKNOWN


@pytest.mark.parametrize("text", ["", "junk", "rc_" + "0" * 32 + "_" + "a" * 43, "known"])
def test_every_look_up_does_the_same_work(system, text, django_assert_num_queries, monkeypatch):
    _, known = token_of(system)
    compared = []
    original = hmac.compare_digest
    monkeypatch.setattr(
        systems.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or original(a, b)
    )
    with django_assert_num_queries(1):
        systems.find_token(known if text == "known" else text, at=AT)
    assert compared == [(64, 64)]


def test_two_tokens_live_at_a_time_and_the_error_says_what_to_do(system):
    first, _ = token_of(system)
    token_of(system)
    with pytest.raises(BadSystem, match="Okta has 2 live tokens: end the one that is no longer used"):
        token_of(system)
    systems.end_token(token=first, reason="old", at=AT)
    third, _ = token_of(system)
    assert set(SystemToken.objects.filter(ended_at__isnull=True).values_list("pk", flat=True)) >= {third.pk}


@pytest.mark.parametrize("may", [[], ["read", "approve"], ["everything"]])
def test_a_token_may_do_only_what_tokens_may(system, may):
    with pytest.raises(BadSystem, match="A token may be used to read, write"):
        token_of(system, may=may)


def test_a_token_needs_an_end_that_lies_ahead(system):
    with pytest.raises(BadSystem, match="must lie ahead"):
        token_of(system, expires_at=AT)
    assert SystemToken.objects.count() == 0


def test_a_rotated_token_goes_on_for_the_hours_given_and_no_longer(system):
    old, old_text = token_of(system, may=["read"])
    new, new_text = systems.rotate_token(token=old, expires_at=AT + YEAR, ends_in=3 * HOUR, made_by=None, at=AT)
    assert (new.may, new.label) == (["read"], "prod")
    just_before = AT + 3 * HOUR - dt.timedelta(seconds=1)
    assert systems.find_token(old_text, at=just_before) == old
    assert systems.find_token(old_text, at=AT + 3 * HOUR) == Refused(Refusal.ENDED, old.pk)
    assert systems.find_token(new_text, at=AT + 3 * HOUR) == new
    old.refresh_from_db()
    systems.end_token(token=old, reason="later", at=AT + 5 * HOUR)
    old.refresh_from_db()
    assert old.ended_at == AT + 3 * HOUR


# -- connections


def test_a_connection_keeps_its_secret_encrypted_and_gives_it_back(system):
    connection = connect(system)
    connection.refresh_from_db()
    assert connection.base_url == "https://idp.example/scim/v2"
    assert "towards-them" not in connection.secret
    assert systems.secret_of(connection) == "towards-them"
    assert systems.secret_of(systems.change_connection(connection=connection, at=AT, secret="")) == ""


def test_a_secret_outlives_a_new_key_and_not_the_loss_of_its_own(system, settings):
    connection = connect(system)
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode(), *settings.ROLLCALL_FIELD_KEYS]
    assert systems.secret_of(connection) == "towards-them"
    settings.ROLLCALL_FIELD_KEYS = settings.ROLLCALL_FIELD_KEYS[:1]
    with pytest.raises(systems.SecretUnreadable, match="enter it anew"):
        systems.secret_of(connection)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_url": "http://192.0.2.1/"}, "https"),
        ({"base_url": "https://user:pw@idp.example/"}, "user name or password"),
        ({"canary_user_name": " "}, "Name an account that every reading must show"),
        ({"page_size": 0}, "page_size must be from 1 to 1000"),
        ({"cadence_minutes": 0}, "cadence_minutes must be from 1 to 1440"),
        ({"freshness_minutes": 0}, "freshness_minutes must be"),
        ({"shrink_percent": 101}, "shrink_percent must be from 0 to 100"),
    ],
)
def test_what_a_connection_can_not_be_is_said_and_writes_nothing(system, values, message):
    with pytest.raises(BadSystem, match=message):
        connect(system, **values)
    assert Connection.objects.count() == 0


def test_a_change_that_changes_nothing_writes_nothing(system):
    connection = connect(system)
    before = events(), SystemAdministrator.objects.count(), Connection.history.count()
    systems.change_connection(
        connection=connection, at=AT, secret="towards-them", base_url="https://idp.example/scim/v2", page_size=100
    )
    assert (events(), SystemAdministrator.objects.count(), Connection.history.count()) == before
    with pytest.raises(BadSystem, match="A connection has no due_at"):
        systems.change_connection(connection=connection, at=AT, due_at=AT)
    with pytest.raises(BadSystem, match="connected already"):
        connect(system)


def test_a_paused_connection_is_due_again_when_it_is_resumed(system):
    connection = connect(system)
    systems.pause(connection=connection, reason="maintenance", at=AT)
    systems.pause(connection=connection, reason="twice", at=AT + HOUR)
    connection.refresh_from_db()
    assert connection.paused_at == AT
    systems.resume(connection=connection, at=AT + 2 * HOUR)
    connection.refresh_from_db()
    assert (connection.paused_at, connection.due_at) == (None, AT + 2 * HOUR)
    assert events()[-2:] == ["connection.paused", "connection.resumed"]


# -- rings


def test_the_ring_of_reads_keeps_the_newest_of_each_system(tenant, system, monkeypatch):
    monkeypatch.setattr(systems, "READS_KEPT", 5)
    token, _ = token_of(system)
    other, _ = token_of(make(tenant, name="Other"))
    systems.record_read(token=other, method="GET", path="/Users", status=200)
    for number in range(12):
        systems.record_read(token=token, method="GET", path=f"/Users/{number}", status=200, note="n" * 400)
    kept = ReadRecord.objects.filter(system=system).order_by("id")
    assert [one.path for one in kept] == [f"/Users/{number}" for number in range(7, 12)]
    assert {len(one.note) for one in kept} == {300}
    assert ReadRecord.objects.filter(system=other.system_id).count() == 1
    monkeypatch.setattr(systems, "READS_KEPT", 2)
    assert systems.trim_reads() == 3


def test_the_ring_of_refused_tokens_keeps_the_newest_and_never_a_token(system, monkeypatch):
    monkeypatch.setattr(systems, "REFUSED_KEPT", 5)
    token, text = token_of(system)
    for number in range(9):
        refused = systems.find_token(text + "x", at=AT) if number % 2 else systems.find_token("junk", at=AT)
        systems.record_refused(refused=refused, method="POST", path=f"/Users/{number}", remote="192.0.2.7")
    assert [one.path for one in RefusedToken.objects.order_by("id")] == [f"/Users/{n}" for n in range(4, 9)]
    assert [(one.token_id, one.because) for one in systems.refused_at(system)] == [(token.pk, "wrong secret")] * 2
    with database.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, '') FROM provisioning_refusedtoken t")
        assert text.split("_", 2)[2] not in cursor.fetchone()[0]
    monkeypatch.setattr(systems, "REFUSED_KEPT", 2)
    assert systems.trim_refused() == 3


def test_the_rings_are_as_long_as_promised():
    assert (systems.READS_KEPT, systems.REFUSED_KEPT) == (200, 1_000)
