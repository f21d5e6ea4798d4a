#!/usr/bin/env python3
"""Verify an export of sealed records by itself: Python's standard library, and openssl for the signatures.

    python3 verify_export.py EXPORT --key PUBLIC.pem [--key ...] [--witness FILE ...]

EXPORT is what `manage.py export_sealed` wrote. PUBLIC.pem is the Ed25519 key that you were given by whoever you trust, and
not by the database. FILE is the witness: a copy of every seal that is kept outside of the database.

Exit status: 0, all of it is as it was sealed; 1, something is not, and each line says what; 2, a file can't be read;
3, nothing wrong was found, but not everything could be checked.

How it is sealed. A row's leaf is

    SHA-256(0x00, table and a newline, line of the open columns, SHA-256(salt, line of the personal columns))

where a line is the texts of the columns in the order of their names, divided by tabs: what divides or ends lines, and the
backslash, escaped as PostgreSQL's COPY does, and \\N for a column without a value. Where its shape names no format, a seal is
of the first: instead of a line, a cell for each column with a value, `name:bytes:text` and a newline, where bytes is the
length of the text in UTF-8. The root is a Merkle tree over the
leaves, table by table and within a table by key: an inner node is SHA-256(0x01, left, right), divided as in RFC 6962,
section 2.1. A seal's statement holds the root, the digests of its list of leaves, of its shape (which columns it hashed),
and of the statement before it; its signature is Ed25519 over the statement's bytes.

What was erased of a row is blank, its salt is gone, and `erased` is the digest of its personal columns in its leaf. What
was archived is not in the database any more: an earlier file has it, and verifies by itself.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD, WRONG, UNREADABLE, PARTLY = 0, 1, 2, 3
KEY_SIZES = {"bigint": 8, "uuid": 16}
DIGEST = 32
ESCAPES = str.maketrans({"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"})
BLANK = re.compile(r"\[erased\]( [0-9a-f-]{1,36})?|\{\}|\[\]")
PEM = re.compile(r"-----BEGIN PUBLIC KEY-----(.+?)-----END PUBLIC KEY-----", re.DOTALL)


class Unreadable(Exception):
    """A file is not what it should be."""


def sha256(data: bytes) -> bytes:
    """The digest of bytes."""
    return hashlib.sha256(data).digest()


def hex_of(text: str) -> str:
    """The digest of a text, as statements spell it."""
    return hashlib.sha256(text.encode()).hexdigest()


def cells(columns: Any, values: dict[str, str]) -> bytes:
    """The cells of these columns that have a value, as seals of the first format have them."""
    found = [(name.encode(), values[name].encode()) for name in sorted(columns) if values.get(name) is not None]
    return b"".join(b"%s:%d:%s\n" % (name, len(text), text) for name, text in found)


def line(columns: Any, values: dict[str, str]) -> bytes:
    """The line of these columns."""
    texts = (values.get(name) for name in sorted(columns))
    return "\t".join("\\N" if text is None else text.translate(ESCAPES) for text in texts).encode()


def written(shape: dict[str, Any], which: str, row: dict[str, Any]) -> bytes:
    """What is hashed of the open or the personal columns of a row, by the shape of its table in its seal."""
    return {1: cells, 2: line}[shape.get("format", 1)](shape[which], row["cells"])


def leaf(table: str, shape: dict[str, Any], row: dict[str, Any]) -> bytes:
    """The leaf of one row, by the shape of its table in its seal."""
    return leaf_over(table, shape, row, sha256((row["salt"] or "").encode() + written(shape, "personal", row)))


def leaf_over(table: str, shape: dict[str, Any], row: dict[str, Any], personal: bytes) -> bytes:
    """The same with this digest of the personal columns."""
    return sha256(b"\x00" + table.encode() + b"\n" + written(shape, "open", row) + personal)


def root(leaves: list[bytes]) -> bytes:
    """The root over the leaves: the left tree is the largest power of two that leaves something for the right one."""
    level = list(leaves)
    while len(level) > 1:
        # Pair by pair; who is alone goes up as it is, which divides as the RFC does.
        pairs = [sha256(b"\x01" + level[at] + level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0] if level else sha256(b"")


def key_text(key: bytes, kind: str) -> str:
    """A key as rows spell it."""
    return str(int.from_bytes(key, "big", signed=True) if kind == "bigint" else uuid.UUID(bytes=key))


def split(shape: dict[str, Any], leaves: bytes) -> dict[str, list[tuple[str, bytes]]]:
    """Key and digest of each row, by table. Raises `Unreadable` where shape and list don't fit."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    at = 0
    for table in sorted(shape):
        kind, rows = shape[table]["key"]["kind"], shape[table]["rows"]
        size = KEY_SIZES[kind] + DIGEST
        part = leaves[at : at + size * rows]
        if len(part) != size * rows:
            raise Unreadable("the list is too short")
        found[table] = [
            (key_text(part[i : i + size - DIGEST], kind), part[i + size - DIGEST : i + size])
            for i in range(0, len(part), size)
        ]
        at += size * rows
    if at != len(leaves):
        raise Unreadable("the list is too long")
    return found


class Openssl:
    """Checks signatures with the openssl program."""

    def __init__(self, paths: list[str], folder: str) -> None:
        self.folder, self.program = Path(folder), shutil.which("openssl") or ""
        self.keys: dict[str, Path] = {}
        for path in paths:
            bodies = PEM.findall(read_text(path))
            if not bodies:
                raise Unreadable(f"{path} holds no public key as PEM")
            for body in bodies:
                # A key is called by the digest of its DER form.
                name = hashlib.sha256(base64.b64decode(body)).hexdigest()
                self.keys[name] = self.folder / f"{name}.pem"
                self.keys[name].write_text(f"-----BEGIN PUBLIC KEY-----{body}-----END PUBLIC KEY-----\n")

    def missing(self) -> str:
        """Why signatures can't be checked, if so."""
        if not self.keys:
            return "no key was given"
        return "" if self.program else "there is no openssl here"

    def says(self, key: str, statement: str, signature: bytes) -> bool:
        """Whether the key signed it."""
        (self.folder / "statement").write_bytes(statement.encode())
        (self.folder / "signature").write_bytes(signature)
        command = [self.program, "pkeyutl", "-verify", "-pubin", "-inkey", str(self.keys[key]), "-rawin"]
        command += ["-in", str(self.folder / "statement"), "-sigfile", str(self.folder / "signature")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def read_text(path: str) -> str:
    """A whole small file. Raises `Unreadable`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path} can't be read: {error}") from error


class Verifier:
    """Goes through an export once, and says what is wrong."""

    def __init__(self, openssl: Openssl, witness: dict[int, str] | None) -> None:
        self.openssl = openssl
        self.witness = witness
        self.tenant: str | None = None
        self.faults = self.seals = self.rows = self.unwitnessed = self.erased = self.archived = 0
        self.before: dict[str, Any] | None = None
        self.before_digest = ""
        self.name = ""
        self.shape: dict[str, Any] = {}
        self.left: dict[str, dict[str, bytes]] = {}
        self.readable = False
        self.end: dict[str, Any] | None = None

    def fault(self, what: str, wrong: str) -> None:
        """Say one thing that is wrong."""
        self.faults += 1
        print(f"{what}: {wrong}")

    def line(self, body: dict[str, Any]) -> None:
        """Look at one line of the export."""
        if self.end is not None:
            self.fault("the export", "goes on after its end")
        if "row" in body:
            self.row(body["row"])
        elif "seal" in body:
            self.close()
            self.seal(body["seal"])
        elif "archived" in body:
            self.archive(body["archived"])
        elif "stray" in body:
            self.fault(f"{body['stray']['table']} {body['stray']['key']}", "names no cause that there is")
        elif "end" in body:
            self.close()
            self.end = body["end"]
        else:
            raise Unreadable("a line of the export is none of ours")

    def seal(self, seal: dict[str, Any]) -> None:
        """A seal by itself, and after the one before it."""
        statement, said = seal["statement"], json.loads(seal["statement"])
        self.name = f"seal {said['number']}"
        self.seals += 1
        leaves = base64.b64decode(seal["leaves"])
        if said["tenant"] != self.tenant or said["number"] != seal["number"]:
            self.fault(self.name, "its statement is about another tenant or number")
        if any(said.get(name) != value for name, value in seal["columns"].items()):
            self.fault(self.name, "its columns are not those of its statement")
        self.check_place(said)
        self.check_signature(said["key"], statement, base64.b64decode(seal["signature"]))
        if hashlib.sha256(leaves).hexdigest() != said["leaves"] or hex_of(seal["shape"]) != said["shape"]:
            self.fault(self.name, "its list of leaves or its shape is not that of its statement")
        self.read_leaves(seal["shape"], leaves, said)
        self.check_witness(said["number"], statement)
        self.before, self.before_digest = said, hex_of(statement)

    def read_leaves(self, shape: str, leaves: bytes, said: dict[str, Any]) -> None:
        """The list of leaves, for the rows that follow."""
        self.readable, self.shape, self.left = False, {}, {}
        try:
            self.shape = json.loads(shape)
            parts = split(self.shape, leaves)
        except (Unreadable, ValueError, KeyError, TypeError):
            self.fault(self.name, "its list of leaves can't be read")
            return
        self.readable = True
        listed = [digest for table in sorted(parts) for _, digest in parts[table]]
        if root(listed).hex() != said["root"] or len(listed) != said["rows"]:
            self.fault(self.name, "its list of leaves has another root")
        self.left = {table: dict(part) for table, part in parts.items()}

    def check_place(self, said: dict[str, Any]) -> None:
        """Does it follow the one before it, without a gap?"""
        expected = self.before["number"] + 1 if self.before else 1
        goes_on = {(self.before["after"], self.before["to"]), (self.before["last"], 0)} if self.before else {(0, 0)}
        if said["number"] < expected:
            self.fault(self.name, "is there twice, or before the first")
        elif said["number"] > expected:
            gone = f"seals {expected} to {said['number'] - 1}" if said["number"] - expected > 1 else f"seal {expected}"
            self.fault(gone, "missing from the chain")
        elif said["previous"] != self.before_digest:
            self.fault(self.name, f"does not follow {f'seal {expected - 1}' if self.before else 'the beginning'}")
        elif (said["after"], said["from"]) not in goes_on:
            self.fault(self.name, "leaves transactions out that came after the seal before it")

    def check_signature(self, key: str, statement: str, signature: bytes) -> None:
        """Did a trusted key sign it?"""
        if self.openssl.missing():
            return
        if key not in self.openssl.keys:
            self.fault(self.name, f"signed with a key that is not trusted ({key[:16]}…)")
        elif not self.openssl.says(key, statement, signature):
            self.fault(self.name, "its signature is wrong")

    def check_witness(self, number: int, statement: str) -> None:
        """Has the witness the same?"""
        told = self.witness.pop(number, None) if self.witness is not None else ""
        if told is None:
            self.unwitnessed += 1
        elif told and told != hex_of(statement):
            self.fault(self.name, "the witness has another one of this number")

    def row(self, row: dict[str, Any]) -> None:
        """Is it one of the seal's, and as it was?"""
        self.rows += 1
        if not self.readable:
            return
        table, key = row["table"], row["key"]
        sealed = self.left.get(table, {}).pop(key, None)
        if sealed is None:
            self.fault(f"{table} {key}", f"added later ({self.name})")
        elif leaf(table, self.shape[table], row) != sealed and not self.is_erased(self.shape[table], row, sealed):
            self.fault(f"{table} {key}", f"changed ({self.name})")
        elif set(row["cells"]) - set(self.shape[table]["open"]) - set(self.shape[table]["personal"]):
            self.fault(f"{table} {key}", f"shows columns that were not sealed ({self.name})")

    def is_erased(self, shape: dict[str, Any], row: dict[str, Any], sealed: bytes) -> bool:
        """Is it blank, and as it was sealed but for what was erased?"""
        is_blank = row["salt"] is None and all(BLANK.fullmatch(row["cells"].get(n) or "{}") for n in shape["personal"])
        kept = bytes.fromhex(row.get("erased", ""))
        found = is_blank and bool(kept) and leaf_over(row["table"], shape, row, kept) == sealed
        self.erased += found
        return found

    def archive(self, body: dict[str, Any]) -> None:
        """Rows of the seal that an earlier file has."""
        for key in body["keys"]:
            self.archived += 1
            if self.readable and self.left.get(body["table"], {}).pop(key, None) is None:
                self.fault(f"{body['table']} {key}", f"said to be archived, and was not sealed ({self.name})")

    def close(self) -> None:
        """The rows of a seal are through: what is left is missing."""
        for table in sorted(self.left):
            for key in self.left[table]:
                self.fault(f"{table} {key}", f"missing ({self.name})")
        self.left = {}

    def finish(self) -> int:
        """What was found in all, and the exit status."""
        end, missing, told = self.end or {}, self.openssl.missing(), self.witness is not None
        if (end.get("seals"), end.get("rows")) != (self.seals, self.rows):
            self.fault("the export", "is cut short: it does not end as it should")
        until = end.get("until")
        later = [number for number in self.witness or () if until is not None and number > until]
        for number in sorted(set(self.witness or ()) - set(later)):
            self.fault(f"seal {number}", "the witness has it, and it is not in the chain")
        print(f"{self.seals} seals, {self.rows} rows, {self.faults} faults")
        for is_so, text in (
            (True, f"signatures: NOT CHECKED, {missing}" if missing else "signatures: checked"),
            (not told, "witness: NOT CHECKED, none was given: a chain that was cut short looks whole"),
            (self.unwitnessed, f"witness: it has not got {self.unwitnessed} of {self.seals} seals"),
            (self.erased, f"erased: {self.erased} rows are blank where they told of a person, by a recorded act"),
            (self.archived, f"archived: {self.archived} rows are in earlier files, not in this one: verify those too"),
            (until is not None, f"the file says that it ends with seal {until}; the witness has {len(later)} more"),
            (
                end.get("unsealed_since"),
                f"not sealed, and not here: what was written since {end.get('unsealed_since')}",
            ),
        ):
            if is_so:
                print(text)
        return WRONG if self.faults else PARTLY if missing or not told or self.unwitnessed or later else GOOD


def read_witness(paths: list[str], tenant: str | None, verifier: Verifier) -> None:
    """By number, the digest of each statement of this tenant. Torn lines say nothing: they are there once more."""
    if not paths:
        return
    found: dict[int, str] = {}
    for path in paths:
        for raw in read_text(path).splitlines():
            try:
                statement = json.loads(raw)["statement"]
                said = json.loads(statement)
                number, whose = int(said["number"]), said["tenant"]
            except (ValueError, KeyError, TypeError):
                continue
            if whose == tenant and found.setdefault(number, hex_of(statement)) != hex_of(statement):
                verifier.fault(f"seal {number}", "the witness has two different ones")
    verifier.witness = found


def objects(path: str) -> Iterator[dict[str, Any]]:
    """The lines of the export. Raises `Unreadable`."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            for raw in file:
                body = json.loads(raw)
                if not isinstance(body, dict):
                    raise Unreadable(f"a line of {path} is none of ours")
                yield body
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} can't be read: {error}") from error


def verify(arguments: argparse.Namespace) -> int:
    """Go through the export. Raises `Unreadable`."""
    with tempfile.TemporaryDirectory() as folder:
        verifier = Verifier(Openssl(arguments.key, folder), None)
        lines = objects(arguments.export)
        head = next(lines, {})
        if head.get("rollcall") != "sealed" or head.get("version") != 1:
            raise Unreadable(f"{arguments.export} is no export of sealed records that this script knows")
        verifier.tenant = head["tenant"]
        read_witness(arguments.witness, verifier.tenant, verifier)
        for body in lines:
            try:
                verifier.line(body)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise Unreadable(f"a line of {arguments.export} is none of ours: {error!r}") from error
        return verifier.finish()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Verify an export of sealed records.")
    parser.add_argument("export", metavar="EXPORT")
    parser.add_argument("--key", action="append", default=[], metavar="PUBLIC.pem", help="a public key that you trust")
    parser.add_argument("--witness", action="append", default=[], metavar="FILE", help="seals kept elsewhere")
    try:
        return verify(parser.parse_args())
    except Unreadable as error:
        print(error, file=sys.stderr)
        return UNREADABLE


if __name__ == "__main__":
    sys.exit(main())
