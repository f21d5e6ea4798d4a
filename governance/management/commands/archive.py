"""`ROLLCALL_ROLE=eraser manage.py archive --tenant=… --out=FILE --key=PUBLIC.pem --by=… --reason=… [--before=2025-01-01] [--yes]`

Writes everything that was sealed before an instant to a file, verifies the file as an auditor would, and only then takes what
the ledger no longer has to keep out of the database: what is about resources that had ended by then, and what was refused
about none. Without `--before` the tenant's own retention says what is old (`manage.py keep_ledger`). Without `--yes` it says
how much would leave, and writes nothing.

Ends with 0 when it is done, and with 1 where it can't be done or the file does not verify; nothing has left then.
"""

import hashlib
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date, parse_datetime

from accounts.tenants import kept_since
from audit import exporting
from audit.scope import scope
from audit.standalone import verify_export
from governance.asked import Asked
from governance.erasers import asked_by
from provisioning import archives


class Command(BaseCommand):
    """Says what would leave, or lets it leave."""

    help = "Write old rows of the ledger to a file that verifies, and take them out of the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, from before when, where to, by whom and why."""
        parser.add_argument("--tenant", required=True, help="the tenant's word in addresses")
        parser.add_argument("--before", default="", help="what is from before that is old: 2025-01-01, or an instant")
        parser.add_argument("--out", type=Path, metavar="FILE", help="a file that isn't there yet")
        parser.add_argument("--key", action="append", type=Path, metavar="FILE", help="a public key that you trust")
        parser.add_argument("--witness", action="append", type=Path, metavar="FILE", help="seals kept elsewhere")
        parser.add_argument(
            "--forget", action="store_true", help="destroy the keys of what it said: nobody reads it again"
        )
        parser.add_argument("--by", default="", help="the name that you sign in with")
        parser.add_argument("--reason", default="", help="why: the policy's name, a ticket")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *_: Any, **options: Any) -> None:
        """Look, write, verify, and then take out."""
        asked = asked_by(options, command="archive")
        now = datetime.now(UTC)
        before = self._before(asked, options["before"], now=now)
        tenant = asked.tenant.pk
        with scope(tenant=tenant):
            try:
                seal = archives.until(tenant=tenant, before=before)
            except archives.NothingOld as error:
                raise CommandError(str(error)) from error
            leaving = archives.would_leave(tenant=tenant, before=before, number=seal.number)
        self.stdout.write(f"{leaving} exchanges from before {before:%Y-%m-%d %H:%M} UTC, up to seal {seal.number}.")
        if not options["yes"]:
            self.stdout.write("Nothing was changed. Say --yes, --out and --key to do it.")
            return
        if not leaving:
            return
        if options["out"] is None or not options["key"]:
            raise CommandError("say with --out where the file goes, and with --key by which key it is verified")
        written = self._write(options["out"], asked, number=seal.number, now=now)
        self._verify(options)
        with scope(tenant=tenant, cause=asked.cause()):
            row = archives.take_out(
                written=written, before=before, number=seal.number, asked_by=asked.name, reason=asked.reason,
                forget=options["forget"],
            )  # fmt: skip
        for table, count in sorted(row.counts.items()):
            self.stdout.write(f"  {count} from {table}")
        self.stdout.write(f"They are in {options['out']}, SHA-256 {written.digest}: keep it where it can't be changed.")

    def _before(self, asked: Asked, text: str, *, now: datetime) -> datetime:
        kept = kept_since(asked.tenant, at=now)
        if not text:
            if kept is None:
                raise CommandError(
                    f"{asked.tenant} keeps its ledger for ever: say --before, or set it with keep_ledger"
                )
            return kept
        try:
            day = parse_date(text)
            found = datetime(day.year, day.month, day.day, tzinfo=asked.tenant.zone) if day else parse_datetime(text)
        except ValueError:
            found = None
        if found is None:
            raise CommandError(f"{text!r} is neither a day such as 2025-01-01 nor an instant such as 2025-01-01T03:00Z")
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if found > (kept or now):
            limit = f"{asked.tenant} keeps its ledger since {kept:%Y-%m-%d}" if kept else "that is not past yet"
            raise CommandError(f"{limit}: say an earlier --before")
        return found

    def _write(self, out: Path, asked: Asked, *, number: int, now: datetime) -> archives.Written:
        digest, size = hashlib.sha256(), 0
        tenant = asked.tenant.pk
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file, scope(tenant=tenant, steady=True):
                for line in exporting.lines(tenant=tenant, at=now, until=number):
                    raw = line.encode()
                    digest.update(raw)
                    size += file.write(raw)
                file.flush()
                # It is to outlive a power cut before anything leaves the database.
                os.fsync(file.fileno())
        except OSError as error:
            raise CommandError(f"{out} can't be written: {error.strerror}") from error
        return archives.Written(name=out.name, digest=digest.hexdigest(), size=size)

    def _verify(self, options: Mapping[str, Any]) -> None:
        """By the script that an auditor has, in a process of its own."""
        command = [sys.executable, "-I", verify_export.__file__, str(options["out"])]
        command += [word for path in options["key"] for word in ("--key", str(path))]
        command += [word for path in options["witness"] or () for word in ("--witness", str(path))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own script
        self.stdout.write(done.stdout)
        # What the witness has beyond the file's end is why it can't say more than that nothing is wrong.
        if (
            done.returncode not in {verify_export.GOOD, verify_export.PARTLY}
            or "signatures: checked" not in done.stdout
        ):
            raise CommandError(f"the file does not verify, so nothing has left the database. {done.stderr}".strip())
