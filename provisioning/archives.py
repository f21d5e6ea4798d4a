"""Old rows of the ledger leave the database, after a file that verifies has them: retention, tenant by tenant.

What a resource that is still there was told stays, however old it is: the roll is proved from it (`rebuilding`). What goes
is what is about resources that ended before the given instant, and what was refused about none; what is parked stays until
somebody has decided. The bodies in the file are as the ledger had them, encrypted under keys that stay in the database until
they are erased, or are forgotten with the archive.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from audit import archiving, erasing
from audit.cause import current
from audit.journal import Subject, record
from audit.keys import uuid7
from provisioning.changes import Outcome
from provisioning.models.erasure import Archive
from provisioning.models.exchange import BodyKey, Exchange, ExchangeKey
from provisioning.states import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from audit.models import Seal

# Of these rows, those that may leave.
_OLD = """
SELECT e.id FROM provisioning_exchange e
WHERE e.id = ANY(%(keys)s) AND e.at < %(before)s AND e.outcome <> %(parked)s
  AND NOT EXISTS (
    SELECT FROM provisioning_shadow s
    WHERE s.tenant_id = e.tenant_id AND s.id = e.resource_id AND (s.ended_at IS NULL OR s.ended_at >= %(before)s))
"""
# Of the keys that these rows had, those under which nothing in the ledger is encrypted any more.
_ORPHANS = """
SELECT k.id FROM provisioning_bodykey k WHERE k.id = ANY(%(keys)s)
  AND NOT EXISTS (SELECT FROM provisioning_exchange e WHERE e.tenant_id = k.tenant_id AND e.body_key_id = k.id)
"""


class NothingOld(ValueError):
    """There is nothing to be archived; the message says why."""


@dataclass(frozen=True)
class Written:
    """The file that has everything up to a seal, as it was verified."""

    name: str
    digest: str
    size: int


def until(*, tenant: UUID, before: datetime) -> Seal:
    """The seal with which the file ends. Raises `NothingOld`."""
    seal = archiving.last_before(tenant=tenant, before=before)
    if seal is None:
        raise NothingOld(f"nothing was sealed before {before:%Y-%m-%d}: only what is sealed can be archived")
    return seal


def would_leave(*, tenant: UUID, before: datetime, number: int) -> int:
    """How many exchanges would leave."""
    return sum(len(keys) for _, keys in _old(tenant, before, number))


def take_out(*, written: Written, before: datetime, number: int, asked_by: str, reason: str, forget: bool) -> Archive:
    """Take them out, inside the tenant's scope and in one transaction: all of them, or nothing. Returns the record of it.

    `forget` destroys the keys of their bodies too: then nobody reads what they said, in the file either.
    """
    cause = current()
    tenant = cause.tenant_id
    if tenant is None:
        raise ValueError("an archive belongs to a tenant: open its scope first")
    archive_id, taken, body_keys = uuid7(), Counter[str](), set[UUID]()
    with erasing.unlocked():
        for place, keys in _old(tenant, before, number):
            archiving.note(Exchange, keys, number=place, archive_id=archive_id)
            gone = Exchange.objects.filter(pk__in=keys)
            body_keys |= {key for key in gone.values_list("body_key_id", flat=True) if key is not None}
            taken[ExchangeKey._meta.db_table] += ExchangeKey.objects.filter(exchange_id__in=keys).delete()[0]
            taken[Exchange._meta.db_table] += gone.delete()[0]
        if forget:
            orphans = [pk for (pk,) in _rows(_ORPHANS, keys=list(body_keys))]
            taken[BodyKey._meta.db_table] += BodyKey.objects.filter(pk__in=orphans).delete()[0]
    counts = dict(+taken)  # without the tables of which nothing left
    row = Archive.objects.create(
        pk=archive_id, tenant_id=tenant, cause_id=cause.pk, kept_since=before, until_number=number, file=written.name,
        digest=written.digest, size=written.size, asked_by=asked_by, reason=reason, counts=counts,
    )  # fmt: skip
    exchanges = taken[Exchange._meta.db_table]
    record(
        event=Event.ARCHIVED,
        sentence=f"{asked_by}: {exchanges} exchanges from before {before:%Y-%m-%d} left for the file {written.name}. {reason}",
        subjects=[Subject("archive", str(row.pk), written.name)],
        facts={**counts, "sha256": written.digest},
    )
    return row


def holding(exchange_id: UUID) -> Archive | None:
    """The archive into which an exchange went, inside the tenant's scope; nothing for one that was never there."""
    # Keys stand one after the other: one that begins in the middle of another is nobody's.
    found = _rows(
        "SELECT archive_id FROM audit_archived"
        " WHERE table_name = %(table)s AND (position(%(key)s::bytea IN keys) - 1) %% 16 = 0 AND position(%(key)s::bytea IN keys) > 0"
        " LIMIT 1",
        table=Exchange._meta.db_table, key=exchange_id.bytes,
    )  # fmt: skip
    return Archive.objects.filter(pk=found[0][0]).first() if found else None


def _old(tenant: UUID, before: datetime, number: int) -> Iterator[tuple[int, list[UUID]]]:
    """Seal by seal, the keys of what may leave."""
    for place, keys in archiving.sealed_keys(Exchange, tenant=tenant, until=number):
        old = [pk for (pk,) in _rows(_OLD, keys=keys, before=before, parked=Outcome.PARKED)]
        if old:
            yield place, old


def _rows(statement: str, **values: Any) -> list[tuple[UUID]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
