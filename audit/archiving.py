"""Rows of a sealed table that leave the database for good, once a file that verifies has them.

Which rows may leave is for who knows them to say; here their keys are kept, seal by seal, so that verifiers know of each
that is not there that it left by right. Under the eraser's role alone (`audit.grants`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from audit import sealing
from audit.cause import current
from audit.chain import links
from audit.layouts import entries
from audit.models import Archived, Seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.db import models


def last_before(*, tenant: UUID, before: datetime) -> Seal | None:
    """The last seal all of whose rows, and those of all seals before it, were written before that instant."""
    # A seal is made after what it covers, and seals are made one after the other.
    first = sealing.seals(tenant).filter(at__gt=before).order_by("number").values_list("number", flat=True).first()
    older = sealing.seals(tenant) if first is None else sealing.seals(tenant).filter(number__lt=first)
    return older.defer("leaves", "shape").first()


def sealed_keys(model: type[models.Model], *, tenant: UUID, until: int) -> Iterator[tuple[int, list[UUID]]]:
    """By the number of each seal up to that one, the keys of its rows of this table. For tables whose key is a uuid."""
    for link in links(tenant):
        if link.seal.number > until:
            return
        part = link.parts.get(model._meta.db_table, b"")
        if part:
            yield link.seal.number, [UUID(bytes=key) for key, _ in entries(part, "uuid")]


def note(model: type[models.Model], keys: Iterable[UUID], *, number: int, archive_id: UUID) -> None:
    """These rows of a seal leave, in this transaction, with this archive."""
    cause: Any = current()
    Archived.objects.create(
        tenant_id=cause.tenant_id, cause_id=cause.pk, archive_id=archive_id, number=number,
        table_name=model._meta.db_table, keys=b"".join(key.bytes for key in sorted(keys)),
    )  # fmt: skip
