"""The newest file of a system, as it lies in pieces: what its connector reads from."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from audit.scope import scope
from provisioning import vault
from provisioning.connectors.contract import Kind
from provisioning.connectors.readings import BadAnswer
from provisioning.models.connection import Connection
from provisioning.models.upload import Upload, UploadPiece


def newest(*, system: UUID) -> Upload | None:
    """The file that the system is read from, if one was ever taken."""
    return Upload.objects.filter(system=system).order_by("-made_at").first()


class Shelf:
    """The newest file of one system, as `provisioning.connectors.files` reads it. Opens a scope for each piece."""

    def __init__(self, connection: Connection) -> None:
        """Raises `BadAnswer` where no file has come yet. Opens a scope of its own: never call it in one."""
        self._tenant = connection.tenant_id
        self._last: tuple[Kind, int, tuple[Mapping[str, Any], ...]] | None = None
        with scope(tenant=self._tenant):
            upload = newest(system=connection.system_id)
        if upload is None:
            raise BadAnswer("No file of it has come yet.")
        self.id, self.made_at = upload.pk, upload.made_at
        self.totals: Mapping[Kind, int] = {"User": upload.users, "Group": upload.groups}
        self.pieces: Mapping[Kind, int] = {"User": upload.user_pieces, "Group": upload.group_pieces}

    def piece(self, kind: Kind, number: int) -> tuple[Mapping[str, Any], ...] | None:
        """The resources of one piece; several pages may be made of it."""
        if self._last is not None and self._last[:2] == (kind, number):
            return self._last[2]
        with scope(tenant=self._tenant):
            row = UploadPiece.objects.filter(upload=self.id, kind=kind, number=number).first()
        if row is None:
            return None
        self._last = kind, number, tuple(_opened(row))
        return self._last[2]

    def one(self, kind: Kind, remote_id: str) -> tuple[Mapping[str, Any], ...]:
        """The resources with that id, of all the pieces."""
        with scope(tenant=self._tenant):
            pieces = UploadPiece.objects.filter(upload=self.id, kind=kind)
            if pieces.count() != self.pieces[kind]:
                raise BadAnswer("A part of the file is not there any more: send it again.")
            holding = list(pieces.filter(ids__contains=[remote_id])[:2])
        return tuple(one for row in holding for one in _opened(row) if one.get("id") == remote_id)


def _opened(row: UploadPiece) -> Iterator[Mapping[str, Any]]:
    try:
        text = vault.opened(row.body)
    except vault.KeyGone:
        raise BadAnswer(
            "The file can't be decrypted: put its key back into ROLLCALL_FIELD_KEYS, or send it again."
        ) from None
    for line in text.split("\n"):
        yield json.loads(line)
