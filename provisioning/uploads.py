"""Files that a system sends of itself: the only writer of Upload and its pieces.

What is said of a file is signed, and is checked before a byte of it is read; its bytes, its form and its rows are checked
while it is written into pieces, all in one transaction: a file is taken whole, or nothing has changed. The newest is
kept until a newer one is taken. Nothing holds a file whole: neither its taking nor its reading.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

from django.conf import settings
from django.db import transaction

from audit.models import Cause
from audit.scope import scope
from provisioning import connections, shelves, systems, vault
from provisioning.connectors.contract import Kind
from provisioning.connectors.file_rows import BadFile, Row, rows
from provisioning.connectors.files import Claim
from provisioning.models.connection import Connection, Connector
from provisioning.models.upload import Upload, UploadPiece
from provisioning.states import Event

# A piece ends when it has so many rows or so many characters, whichever comes first.
PIECE_ROWS = 500
PIECE_SIZE = 512 * 1024
# How far ahead of ours a sender's clock may be.
AHEAD = timedelta(minutes=5)
# How soon after a file another one is taken.
PACE = timedelta(seconds=10)
MOST_ROWS = 10_000_000
_BLOCK = 1024 * 1024


class Refused(ValueError):
    """The file is not taken, and nothing has changed; the message says why."""


class NotSigned(Refused):
    """Nobody who knows the secret says so."""


class NotNewer(Refused):
    """The last file is as new, or newer."""


class TooOften(Refused):
    """Another file has only just been taken."""

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def connection_for(system: UUID) -> Connection | None:
    """How that system's files are taken, if they are: a living system that is read from files, and not paused."""
    found = Connection.objects.select_related("system").filter(system=system, connector=Connector.FILE)
    return found.filter(system__ended_at__isnull=True, paused_at__isnull=True).first()


def check(*, connection: Connection, claim: Claim, signature: str, at: datetime) -> None:
    """Whether such a file would be taken now, judged by what is said of it alone. Raises `Refused` or `SecretUnreadable`."""
    secret = connections.secret_of(connection)
    if not secret or claim.system != connection.system_id or not claim.is_signed_by(signature, secret=secret):
        raise NotSigned("The signature is not that of this system's secret over what is said of the file.")
    if claim.made_at > at + AHEAD:
        raise Refused("The file says that it was made in the future: set the clock of its sender right.")
    if not 0 <= claim.rows <= MOST_ROWS:
        raise Refused(f"A file has from 0 to {MOST_ROWS:,} rows.")
    last = shelves.newest(system=connection.system_id)
    if last is None:
        return
    if claim.made_at <= last.made_at:
        made = f"{last.made_at:%Y-%m-%d %H:%M:%S} UTC"
        raise NotNewer(f"The file is not newer than the last one, which was made {made}.")
    since = at - last.received_at
    if since < PACE:
        wait = int((PACE - since).total_seconds()) + 1
        raise TooOften("Another file has only just been taken.", retry_after=wait)


def copy(source: IO[bytes], to: IO[bytes], *, claim: Claim) -> int:
    """Copy a file to where it is read from, and return its size. Raises `Refused` unless its bytes are those that were signed."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > settings.ROLLCALL_FILE_MAX_BYTES:
            raise Refused(f"A file has at most {settings.ROLLCALL_FILE_MAX_BYTES:,} bytes.")
        digest.update(block)
        to.write(block)
    if digest.hexdigest() != claim.digest:
        raise Refused("The bytes are not those whose digest was signed.")
    return size


def take(*, connection: Connection, claim: Claim, file: IO[bytes], size: int, at: datetime) -> Upload:
    """Keep a file that was checked and copied, in the place of the one before. Raises `Refused`, and changes nothing then.

    A reading is due at once.
    """
    with transaction.atomic():
        system = systems.living(connection.system)
        # Judged again, now that nobody else can take one.
        last = shelves.newest(system=system.pk)
        if last is not None and claim.made_at <= last.made_at:
            raise NotNewer("A newer file was taken meanwhile.")
        upload = Upload(
            tenant_id=system.tenant_id, system=system, form=claim.form.value, made_at=claim.made_at, received_at=at,
            rows=claim.rows, size=size, digest=claim.digest,
        )  # fmt: skip
        _write(upload, file, claim=claim)
        upload.save()
        UploadPiece.objects.filter(upload__in=Upload.objects.filter(system=system).exclude(pk=upload.pk)).delete()
        connections.read_soon(system=system, at=at)
        made = f"{claim.made_at:%Y-%m-%d %H:%M:%S} UTC"
        systems.note(system, event=Event.FILE_TAKEN, sentence=f"a file of {claim.rows} rows, made {made}, was taken")
    return upload


def receive(
    *, connection: Connection, claim: Claim, signature: str, source: IO[bytes], cause: Callable[[], Cause], at: datetime
) -> Upload:
    """Check, copy and take a file, or write down why one that was signed is not taken. Opens its own scopes.

    `cause` makes why it is written, once for each transaction. Raises `Refused` or `SecretUnreadable`.
    """
    try:
        with scope(tenant=connection.tenant_id):
            check(connection=connection, claim=claim, signature=signature, at=at)
        with TemporaryFile() as file:
            size = copy(source, file, claim=claim)
            file.seek(0)
            with scope(tenant=connection.tenant_id, cause=cause()):
                return take(connection=connection, claim=claim, file=file, size=size, at=at)
    except (NotSigned, TooOften):
        raise
    except Refused as error:
        with scope(tenant=connection.tenant_id, cause=cause()):
            _note_refused(connection=connection, claim=claim, because=str(error))
        raise


def _note_refused(*, connection: Connection, claim: Claim, because: str) -> None:
    """Write down that a file which this system did sign was not taken, and why."""
    made = f"{claim.made_at:%Y-%m-%d %H:%M:%S} UTC"
    systems.note(
        connection.system,
        event=Event.FILE_REFUSED,
        sentence=f"a file of {claim.rows} rows, made {made}, was not taken. {because}",
    )


# -- writing


def _write(upload: Upload, file: IO[bytes], *, claim: Claim) -> None:
    """The file in pieces, and what the upload counts of them. Raises `Refused`."""
    kinds: Mapping[Kind, _Kind] = {"User": _Kind(upload, "User"), "Group": _Kind(upload, "Group")}
    came = 0
    try:
        for row in rows(file, form=claim.form):
            came += 1
            if came > claim.rows:
                raise Refused(f"The file has more than the {claim.rows} rows that were signed.")
            kinds[row.kind].add(row)
    except BadFile as error:
        raise Refused(error.reason) from None
    if came != claim.rows:
        raise Refused(f"The file has {came} rows, and {claim.rows} were signed: a part of it is missing.")
    for kind in kinds.values():
        kind.close()
    upload.users, upload.user_pieces = kinds["User"].rows, kinds["User"].pieces
    upload.groups, upload.group_pieces = kinds["Group"].rows, kinds["Group"].pieces


@dataclass
class _Kind:
    """The pieces of one kind: the one at hand, and how many went before."""

    upload: Upload
    kind: Kind
    rows: int = 0
    pieces: int = 0
    _ids: list[str] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _size: int = 0

    def add(self, row: Row) -> None:
        self._ids.append(row.id)
        self._texts.append(row.text)
        self._size += len(row.text)
        self.rows += 1
        if len(self._texts) >= PIECE_ROWS or self._size >= PIECE_SIZE:
            self.close()

    def close(self) -> None:
        if not self._texts:
            return
        UploadPiece.objects.create(
            tenant_id=self.upload.tenant_id, upload=self.upload, kind=self.kind, number=self.pieces, ids=self._ids,
            body=vault.shut("\n".join(self._texts)),
        )  # fmt: skip
        self.pieces += 1
        self._ids, self._texts, self._size = [], [], 0
