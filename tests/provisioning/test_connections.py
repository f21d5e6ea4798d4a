"""Connections: how a system is read, with a secret that is kept encrypted and is seen by its reader alone."""

import datetime as dt

import pytest
from cryptography.fernet import Fernet

from accounts.models import SystemAdministrator, SystemKind
from audit.models import JournalEntry
from provisioning import connections, systems
from provisioning.models import Connection
from provisioning.systems import BadSystem
from tests.conftest import AT

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def system(tenant, because):
    return make(tenant)


def make(tenant, name="Okta", **values):
    return systems.make_system(
        **{"tenant_id": tenant.pk, "name": name, "kind": SystemKind.DIRECTORY, "made_by": None, "at": AT} | values
    )


def connect(system, **values):
    return connections.connect(
        **{
            "system": system, "base_url": "https://idp.example/scim/v2/", "secret": "towards-them",
            "canary_user_name": "canary@acme", "at": AT,
        } | values
    )  # fmt: skip


def sentences():
    return list(JournalEntry.objects.order_by("id").values_list("sentence", flat=True))


def events():
    return list(JournalEntry.objects.order_by("id").values_list("event", flat=True))


def test_a_connection_keeps_its_secret_encrypted_and_gives_it_back(system):
    connection = connect(system)
    connection.refresh_from_db()
    assert connection.base_url == "https://idp.example/scim/v2"
    assert "towards-them" not in connection.secret
    assert connections.secret_of(connection) == "towards-them"
    assert connections.secret_of(connections.change_connection(connection=connection, at=AT, secret="")) == ""


def test_a_secret_outlives_a_new_key_and_not_the_loss_of_its_own(system, settings):
    connection = connect(system)
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode(), *settings.ROLLCALL_FIELD_KEYS]
    assert connections.secret_of(connection) == "towards-them"
    settings.ROLLCALL_FIELD_KEYS = settings.ROLLCALL_FIELD_KEYS[:1]
    with pytest.raises(connections.SecretUnreadable, match="enter it anew"):
        connections.secret_of(connection)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_url": "http://192.0.2.1/"}, "https"),
        ({"base_url": "https://169.254.169.254/latest"}, "an address of a cloud's metadata service"),
        ({"base_url": "https://[fe80::1]/"}, "a link-local address"),
        ({"base_url": "https://10.0.0.1/"}, "a private address outside the allowed networks"),
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
    connections.change_connection(connection=connection, at=AT, base_url="https://idp.example/scim/v2", page_size=100)
    assert (events(), SystemAdministrator.objects.count(), Connection.history.count()) == before
    with pytest.raises(BadSystem, match="A connection has no due_at"):
        connections.change_connection(connection=connection, at=AT, due_at=AT)
    with pytest.raises(BadSystem, match="connected already"):
        connect(system)


def test_a_secret_whose_key_is_lost_is_entered_anew_without_being_read(system, settings):
    connection = connect(system)
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode()]
    changed = connections.change_connection(connection=connection, at=AT, secret="towards-them-2", page_size=7)
    assert (connections.secret_of(changed), changed.page_size) == ("towards-them-2", 7)
    assert sentences()[-1] == "a test: Okta: page_size is 7, was 100, another secret"


def test_a_raised_limit_is_journaled_with_what_it_was(system):
    connection = connect(system)
    connections.change_connection(connection=connection, at=AT, shrink_percent=60)
    assert sentences()[-1] == "a test: Okta: shrink_percent is 60, was 10"


def test_nothing_is_changed_in_how_an_ended_system_is_read(tenant, system):
    connection = connect(system)
    unread = make(tenant, name="Entra")
    for one in (system, unread):
        systems.end_system(system=one, reason="replaced", at=AT)
    before = events(), Connection.history.count()
    for call in (
        lambda: connect(unread),
        lambda: connections.change_connection(connection=connection, at=AT, page_size=7),
        lambda: connections.resume(connection=connection, at=AT),
    ):
        with pytest.raises(BadSystem, match="has ended: nothing of it can be changed any more"):
            call()
    # It is paused already, and stays so.
    assert connections.pause(connection=connection, reason="again", at=AT + HOUR).paused_at == AT
    assert (events(), Connection.history.count()) == before


def test_a_paused_connection_is_due_again_when_it_is_resumed(system):
    connection = connect(system)
    connections.pause(connection=connection, reason="maintenance", at=AT)
    connections.pause(connection=connection, reason="twice", at=AT + HOUR)
    connection.refresh_from_db()
    assert connection.paused_at == AT
    connections.resume(connection=connection, at=AT + 2 * HOUR)
    connection.refresh_from_db()
    assert (connection.paused_at, connection.due_at) == (None, AT + 2 * HOUR)
    assert events()[-2:] == ["connection.paused", "connection.resumed"]
