"""A system that is read from the newest file that it sent: how such a file is signed, and how it is read.

A file is whole or refused when it arrives, so the proofs of its reading are what was signed with it: how many rows there
are, and when it was made. What it shows was so then, and nothing it lacks says anything about later.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from provisioning.connectors.contract import Absent, Answer, Found, Kind, Page, Unknown, Unreadable
from provisioning.connectors.file_rows import Form
from provisioning.connectors.readings import BadAnswer

LEAST_SECRET = 32
"""Characters of the secret that signs."""


def instant(text: str) -> datetime | None:
    """An instant of ISO 8601 with its zone, to the second, as it is signed; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
        return None if found.tzinfo is None else found.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is said of a file, and signed: for which system it is, its form, its rows, when it was made, its bytes.

    `digest` is the SHA-256 of its bytes, in hexadecimal; by it the signature covers them, and can be checked before they
    are read.
    """

    system: UUID
    form: Form
    rows: int
    made_at: datetime
    digest: str

    def signed_text(self) -> str:
        """The six lines that are signed, without one at the end."""
        made = self.made_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return "\n".join(["rollcall-file-1", str(self.system), self.form.value, str(self.rows), made, self.digest])

    def signature(self, secret: str) -> str:
        """HMAC-SHA256 (RFC 2104) of those lines with the connection's secret, in hexadecimal."""
        return hmac.new(secret.encode(), self.signed_text().encode(), hashlib.sha256).hexdigest()

    def is_signed_by(self, signature: str, *, secret: str) -> bool:
        """Whether the signature is that secret's, compared in constant time."""
        return hmac.compare_digest(self.signature(secret).encode(), signature.encode())


class Shelf(Protocol):
    """Where the newest file lies in pieces, each with some resources of one kind."""

    id: UUID
    made_at: datetime
    totals: Mapping[Kind, int]
    pieces: Mapping[Kind, int]

    def piece(self, kind: Kind, number: int) -> tuple[Mapping[str, Any], ...] | None:
        """The resources of one piece, counted from 0; None where there is no such piece."""
        ...

    def one(self, kind: Kind, remote_id: str) -> tuple[Mapping[str, Any], ...]:
        """The resources with that id. Raises `BadAnswer` where not every piece is there."""
        ...


@dataclass(frozen=True)
class FileReader:
    """The newest file of one system."""

    shelf: Shelf
    resumes: Final = True

    def page(self, kind: Kind, *, position: str, count: int) -> Page | Unreadable:
        """Some rows; a position names the file, the piece, and the row in it. A file without groups says nothing about them."""
        total = self.shelf.totals[kind]
        if kind == "Group" and not total:
            return Unreadable("The file has no groups.")
        number, row = self._place(position)
        if not total:
            return Page(resources=(), position=None, total=0, as_of=self.shelf.made_at)
        piece = self.shelf.piece(kind, number)
        if piece is None or row >= len(piece):
            raise BadAnswer("A part of the file is not there any more: send it again.")
        shown = piece[row : row + count]
        following = (number, row + count) if row + count < len(piece) else (number + 1, 0)
        is_last = following == (self.shelf.pieces[kind], 0)
        position_after = None if is_last else f"{self.shelf.id.hex}.{following[0]}.{following[1]}"
        return Page(resources=shown, position=position_after, total=total, as_of=self.shelf.made_at)

    def get(self, kind: Kind, remote_id: str) -> Answer:
        """By its id. That it is absent was so when the file was made."""
        if kind == "Group" and not self.shelf.totals[kind]:
            return Unknown("The file has no groups.")
        try:
            found = self.shelf.one(kind, remote_id)
        except BadAnswer as error:
            return Unknown(error.reason)
        if len(found) > 1:
            return Unknown("The file has this id more than once.")
        return Found(found[0]) if found else Absent()

    def named(self, kind: Kind, name: str) -> Answer:  # noqa: ARG002  the contract's signature
        """A file lies in no order of names."""
        return Unknown("A file is looked through by ids, not by names.")

    def _place(self, position: str) -> tuple[int, int]:
        if position == "":
            return 0, 0
        name, _, place = position.partition(".")
        number, _, row = place.partition(".")
        if not all(one.isascii() and one.isdigit() for one in (number, row)):
            raise BadAnswer("The position of this listing is not one of a file.")
        if name != self.shelf.id.hex:
            raise BadAnswer("A newer file came while this one was read: that one is read next.")
        return int(number), int(row)
