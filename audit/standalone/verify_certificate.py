#!/usr/bin/env python3
"""Verify daily certificates by themselves: Python's standard library, and openssl for the signatures.

    python3 verify_certificate.py FILE... --key PUBLIC.pem [--key ...] [--witness WITNESS ...]

It lies beside `verify_export.py`, which it uses. Each FILE is one certificate, as the page *Certificates* gives it; give it
several of one tenant, and it looks for the nights between them too. PUBLIC.pem is the Ed25519 key of the seals, from whoever you
trust. WITNESS is the copy of every seal outside of the database: the seal that a certificate names must be in it.

Exit status: 0, all of it is as it was signed; 1, something is not, and each line says what; 2, a file can't be read;
3, nothing wrong was found, but not everything could be checked.

A certificate is `{"rollcall": "certificate", "statement": TEXT, "signature": BASE64}`. The signature is Ed25519 over the bytes
of TEXT, which is JSON with its members in order and without spaces, in ASCII. In it, `key` is the SHA-256 of the public key in
DER form, `previous` that of the statement of the certificate before (empty before the first), and `seal` the number and the
digest of the statement of the last seal; what is null was not known.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import sys
import tempfile
from datetime import date, timedelta
from typing import Any

try:
    from audit.standalone import verify_export as sealed
except ImportError:  # alone on somebody's machine, beside the other script
    import verify_export as sealed  # type: ignore[import-not-found, no-redef]

KIND, VERSION = "rollcall daily certificate", 1


class Certificate:
    """One file: what was signed, and by whom."""

    def __init__(self, path: str) -> None:
        try:
            body = json.loads(sealed.read_text(path))
            self.statement: str = body["statement"]
            self.signature = base64.b64decode(body["signature"], validate=True)
            self.said: dict[str, Any] = json.loads(self.statement)
            self.day = date.fromisoformat(self.said["day"])
            known = (body["rollcall"], self.said["kind"], self.said["version"])
            self.tenant, self.key, self.previous = (str(self.said[name]) for name in ("tenant", "key", "previous"))
            self.states = [str(one["state"]) for one in self.said["systems"]]
            self.seal: dict[str, Any] | None = self.said["seal"]
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise sealed.Unreadable(f"{path} is no certificate: {error!r}") from error
        if known != ("certificate", KIND, VERSION):
            raise sealed.Unreadable(f"{path} is no certificate that this script knows")

    @property
    def name(self) -> str:
        """What its lines begin with."""
        return f"{self.said['name']} {self.day}"

    def summary(self) -> str:
        """What it says, in one line."""
        grey, differ = self.states.count("not_measured"), self.states.count("differs")
        found = sum(self.said["findings"].values())
        return (
            f"{self.name}: {len(self.states)} systems, {grey} not measured, {differ} differing; {found} findings open,"
            f" {self.said['overdue']} overdue, {self.said['exceptions']} exceptions"
        )


class Verifier:
    """Goes through certificates in the order of their days, and says what is wrong."""

    def __init__(self, openssl: sealed.Openssl, witness: dict[tuple[str, int], str] | None) -> None:
        self.openssl, self.witness = openssl, witness
        self.faults = self.unwitnessed = 0

    def fault(self, what: str, wrong: str) -> None:
        """Say one thing that is wrong."""
        self.faults += 1
        print(f"{what}: {wrong}")

    def look(self, one: Certificate, before: Certificate | None) -> None:
        """At a certificate by itself, and after the one before it."""
        plain = json.dumps(one.said, sort_keys=True, separators=(",", ":"))
        if plain != one.statement:
            self.fault(one.name, "its statement is not written as it is signed: two programs could read it otherwise")
        if not self.openssl.missing():
            if one.key not in self.openssl.keys:
                self.fault(one.name, f"signed with a key that is not trusted ({one.key[:16]}…)")
            elif not self.openssl.says(one.key, one.statement, one.signature):
                self.fault(one.name, "its signature is wrong")
        self.look_at_seal(one)
        if before is not None:
            self.follow(one, before)

    def look_at_seal(self, one: Certificate) -> None:
        """The seal that it names is the one that the witness has."""
        if self.witness is None or one.seal is None:
            return
        told = self.witness.get((one.tenant, int(one.seal["number"])))
        if told is None:
            self.unwitnessed += 1
        elif told != one.seal["digest"]:
            self.fault(one.name, f"names another seal {one.seal['number']} than the witness has")

    def follow(self, one: Certificate, before: Certificate) -> None:
        """Every night between two files: one that is left out is told from one that never was."""
        if one.tenant != before.tenant:
            self.fault(one.name, "is of another tenant than the others")
        elif one.day == before.day:
            if one.statement != before.statement:
                self.fault(one.name, "is there twice, and says two things")
        elif one.previous != sealed.hex_of(before.statement):
            self.fault(
                one.name, f"does not follow {before.day}: a certificate between them is missing here, or was changed"
            )
        elif one.day - before.day > timedelta(days=1):
            nights = (one.day - before.day).days - 1
            print(
                f"{one.name}: {nights} night{'s' * (nights > 1)} before it had no certificate: nothing is known of then"
            )

    def finish(self, count: int) -> int:
        """What was found in all, and the exit status."""
        missing = self.openssl.missing()
        print(f"{count} certificates, {self.faults} faults")
        print(f"signatures: NOT CHECKED, {missing}" if missing else "signatures: checked")
        if self.witness is None:
            print("witness: NOT CHECKED, none was given: the seals that are named are not looked for")
        elif self.unwitnessed:
            print(f"witness: it has not got the seal of {self.unwitnessed} certificates")
        if self.faults:
            return sealed.WRONG
        return sealed.PARTLY if missing or self.witness is None or self.unwitnessed else sealed.GOOD


def read_witness(paths: list[str]) -> dict[tuple[str, int], str] | None:
    """By tenant and number, the digest of each statement. Torn lines say nothing: they are there once more."""
    if not paths:
        return None
    found: dict[tuple[str, int], str] = {}
    for path in paths:
        for raw in sealed.read_text(path).splitlines():
            try:
                statement = json.loads(raw)["statement"]
                said = json.loads(statement)
                found[str(said["tenant"]), int(said["number"])] = sealed.hex_of(statement)
            except (ValueError, KeyError, TypeError):
                continue
    return found


def verify(arguments: argparse.Namespace) -> int:
    """Go through the files. Raises `Unreadable`."""
    with tempfile.TemporaryDirectory() as folder:
        verifier = Verifier(sealed.Openssl(arguments.key, folder), read_witness(arguments.witness))
        found = sorted((Certificate(path) for path in arguments.files), key=lambda one: (one.day, one.statement))
        for number, one in enumerate(found):
            verifier.look(one, found[number - 1] if number else None)
            print(one.summary())
        return verifier.finish(len(found))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Verify daily certificates.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--key", action="append", default=[], metavar="PUBLIC.pem", help="a public key that you trust")
    parser.add_argument("--witness", action="append", default=[], metavar="FILE", help="seals kept elsewhere")
    try:
        return verify(parser.parse_args())
    except sealed.Unreadable as error:
        print(error, file=sys.stderr)
        return sealed.UNREADABLE


if __name__ == "__main__":
    sys.exit(main())
