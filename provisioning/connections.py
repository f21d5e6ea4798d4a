"""Connections, by which a system is read: the only writer of Connection.

What authenticates us to another system is encrypted, and read back by `reader` alone.
"""

from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models.system import System, SystemAdministrator
from provisioning import systems, vault
from provisioning.connectors.egress import Client, EgressError, Origin, Policy
from provisioning.connectors.files import LEAST_SECRET
from provisioning.models.connection import Connection, Connector
from provisioning.states import Event
from provisioning.systems import BadSystem

Because = SystemAdministrator.Because

_CHANGEABLE = frozenset({
    "connector", "base_url", "secret", "canary_user_name", "cadence_minutes", "freshness_minutes", "shrink_percent", "page_size",
})  # fmt: skip


class SecretUnreadable(RuntimeError):
    """A stored secret was encrypted under a key that is no longer configured."""


def egress_policy() -> Policy:
    """Where the outbound client may go. The one place that turns settings into it."""
    return Policy(
        allow_loopback=settings.ROLLCALL_ALLOW_LOOPBACK,
        allowed_networks=tuple(ip_network(text) for text in settings.ROLLCALL_ALLOWED_NETWORKS),
    )


def secret_of(connection: Connection) -> str:
    """The bearer token towards the system, or what its files are signed with, in clear; empty where there is none.

    Raises `SecretUnreadable`.
    """
    try:
        return vault.opened(connection.secret)
    except vault.KeyGone:
        problem = _("The stored token can't be decrypted: put its key back into ROLLCALL_FIELD_KEYS, or enter it anew.")
    raise SecretUnreadable(problem)


def reader(connection: Connection) -> Client:
    """A client for the connection's origin with its token. Resolves the name: never call it in a transaction.

    Raises an `EgressError` where it can't be reached, and `SecretUnreadable`.
    """
    return Client(connection.base_url, policy=egress_policy(), token=secret_of(connection))


def connect(
    *,
    system: System,
    secret: str,
    canary_user_name: str,
    at: datetime,
    connector: Connector = Connector.SCIM,
    base_url: str = "",
    cadence_minutes: int = 15,
    freshness_minutes: int = 60,
    page_size: int = 100,
    shrink_percent: int = 10,
) -> Connection:
    """Read a system from now on: over SCIM at its base URL, or from files signed with the secret.

    Raises `BadSystem` with what to write instead.
    """
    values = _checked({
        "connector": connector, "base_url": base_url, "secret": secret, "canary_user_name": canary_user_name, "page_size": page_size,
        "cadence_minutes": cadence_minutes, "freshness_minutes": freshness_minutes, "shrink_percent": shrink_percent,
    }, connector=connector)  # fmt: skip
    with transaction.atomic():
        found = systems.living(system)
        if Connection.objects.filter(system=found).exists():
            raise BadSystem(_("%(system)s is connected already: change that connection.") % {"system": found.name})
        made: Connection = Connection.objects.create(tenant_id=found.tenant_id, system=found, due_at=at, **values)
        systems.administered(found, because=Because.ADMINISTERS, who=None, at=at, until=at)
        where = f"at {made.base_url}" if made.base_url else "from files that it sends,"
        systems.note(found, event=Event.CONNECTED, sentence=f"is read {where} every {cadence_minutes} minutes")
    return made


def change_connection(*, connection: Connection, at: datetime, **changes: Any) -> Connection:
    """Change how a system is read: any of the arguments of `connect`. What is already so writes nothing.

    A secret that is given is stored anew, unseen: the old one may be under a key that is lost. Another connector needs
    one of its own, and is given where it reads. Raises `BadSystem`, also for a system that has ended.
    """
    if unknown := changes.keys() - _CHANGEABLE:
        raise BadSystem(_("A connection has no %(names)s.") % {"names": ", ".join(sorted(unknown))})
    connector = Connector(changes.get("connector", connection.connector))
    values = _checked(changes, connector=connector)
    with transaction.atomic():
        systems.living(connection.system)
        found = _locked(connection)
        if found.connector != connector and not {"connector", "base_url", "secret"} <= values.keys():
            raise BadSystem(_("Another way of reading needs its own address and secret."))
        differing = sorted(name for name, value in values.items() if getattr(found, name) != value)
        if not differing:
            return found
        sentence = ", ".join(_changed(name, getattr(found, name), values[name]) for name in differing)
        for name in differing:
            setattr(found, name, values[name])
        found.due_at = at
        found.save(update_fields=[*differing, "due_at"])
        systems.administered(found.system, because=Because.ADMINISTERS, who=None, at=at, until=at)
        systems.note(found.system, event=Event.CONNECTION_CHANGED, sentence=sentence)
    return found


def pause(*, connection: Connection, reason: str, at: datetime) -> Connection:
    """Stop reading a system. It counts as not measured when its last complete reading has become too old."""
    return _pause(connection, to=at, event=Event.CONNECTION_PAUSED, sentence=f"is not read any more. {reason}", at=at)


def resume(*, connection: Connection, at: datetime, reason: str = "") -> Connection:
    """Read a system again, at once. Raises `BadSystem` for one that has ended."""
    with transaction.atomic():
        systems.living(connection.system)
        return _pause(
            connection, to=None, event=Event.CONNECTION_RESUMED, sentence=f"is read again. {reason}".strip(), at=at
        )


def _pause(connection: Connection, *, to: datetime | None, event: Event, sentence: str, at: datetime) -> Connection:
    with transaction.atomic():
        found = _locked(connection)
        if (found.paused_at is None) == (to is None):
            return found
        found.paused_at, found.due_at = to, at
        found.save(update_fields=["paused_at", "due_at"])
        systems.administered(found.system, because=Because.ADMINISTERS, who=None, at=at, until=at)
        systems.note(found.system, event=event, sentence=sentence)
    return found


def reading_begins(*, connection: Connection, at: datetime) -> None:
    """The next reading is due one cadence after this one began."""
    due = at + timedelta(minutes=connection.cadence_minutes)
    Connection.objects.filter(pk=connection.pk).update(due_at=due)


def read_soon(*, system: System, at: datetime) -> None:
    """A complete reading is due now, whatever its cadence. One that is running goes on, and another follows it."""
    Connection.objects.filter(system=system).exclude(due_at__lte=at).update(due_at=at)


def reading_ended(*, system: System, complete_at: datetime | None, problem: str) -> None:
    """What the last reading came to. `complete_at` is since when a complete one holds; None leaves the last one."""
    values: dict[str, Any] = {"last_problem": problem}
    if complete_at is not None:
        values["last_complete_at"] = complete_at
    Connection.objects.filter(system=system).update(**values)


def _changed(name: str, before: object, after: object) -> str:
    """A change in words. Of a secret, that there is another one."""
    return f"another {name}" if name == "secret" else f"{name} is {after}, was {before}"


def _locked(connection: Connection) -> Connection:
    return Connection.objects.select_for_update(of=("self",)).select_related("system").get(pk=connection.pk)


_BOUNDS: Final = {
    "cadence_minutes": (1, 1_440),
    "freshness_minutes": (1, 43_200),
    "page_size": (1, 1_000),
    "shrink_percent": (0, 100),
}


def _checked(values: dict[str, Any], *, connector: Connector) -> dict[str, Any]:
    """The columns of these arguments. Raises `BadSystem`; nothing is resolved and nothing is sent."""
    columns = dict(values)
    for name, (least, most) in _BOUNDS.items():
        if name in columns and not least <= columns[name] <= most:
            raise BadSystem(
                _("%(name)s must be from %(least)s to %(most)s.") % {"name": name, "least": least, "most": most}
            )
    if "base_url" in columns:
        columns["base_url"] = _address(columns["base_url"].strip(), connector=connector)
    if "canary_user_name" in columns:
        columns["canary_user_name"] = columns["canary_user_name"].strip()
        if not columns["canary_user_name"]:
            raise BadSystem(_("Name an account that every reading must show, as proof that it is whole."))
    if "secret" in columns:
        if connector == Connector.FILE and len(columns["secret"]) < LEAST_SECRET:
            raise BadSystem(_("The secret that signs files has at least %(n)d characters.") % {"n": LEAST_SECRET})
        columns["secret"] = vault.shut(columns["secret"])
    return columns


def _address(typed: str, *, connector: Connector) -> str:
    """Where the system is read; nowhere, where it sends files."""
    if connector == Connector.FILE:
        if typed:
            raise BadSystem(_("A system that sends files is read at no address."))
        return ""
    try:
        return Origin.parse(typed, policy=egress_policy()).url
    except EgressError as error:
        raise BadSystem(error.reason) from error
