"""`manage.py upload_file SYSTEM PATH --rows=N --tenant=… --by=… --reason=… [--made-at=2026-11-30T03:00Z]`

Gives a system's file to the roll by hand, in the way in which the system itself would send it: signed with the secret of its
connection, refused for the same reasons, taken whole. How many rows it has is for whoever made the file to say: that is what
proves that nothing of it is missing. Without `--made-at` it was made when it was last written to.

Ends with 0 when the file is taken, with 1 where it is not; nothing has changed then.
"""

import hashlib
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models.system import System
from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.scope import scope
from governance.asked import tenant_called, who_asks
from provisioning import connections, uploads
from provisioning.connectors.file_rows import Form
from provisioning.connectors.files import Claim, instant
from provisioning.models.connection import Connection

_FORMS = {".csv": Form.CSV, ".ndjson": Form.NDJSON, ".jsonl": Form.NDJSON}
_BLOCK = 1024 * 1024


class Command(BaseCommand):
    """Takes one file, or says why not."""

    help = "Give the roll a file of a system by hand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which system, which file, what is said of it, by whom and why."""
        parser.add_argument("system", help="the name of the system")
        parser.add_argument("path", type=Path, help="the file: .csv, or .ndjson with a SCIM document on each line")
        parser.add_argument("--rows", type=int, required=True, help="how many rows it has, without its header")
        parser.add_argument("--made-at", default="", help="when it was made: 2026-11-30T03:00Z")
        parser.add_argument("--tenant", required=True, help="the tenant's word in addresses")
        parser.add_argument("--by", default="", help="the name that you sign in with")
        parser.add_argument("--reason", default="", help="why by hand")

    def handle(self, *_: Any, **options: Any) -> None:
        """Sign and send."""
        tenant = tenant_called(options["tenant"])
        user = who_asks(options["by"])
        reason = options["reason"].strip()
        if not reason:
            raise CommandError("say with --reason why it is given by hand")
        path: Path = options["path"]
        connection = self._connection(tenant, options["system"])
        at = datetime.now(UTC)

        def cause() -> Cause:
            return Cause(
                kind=CauseKind.COMMAND, actor=str(user), user_id=user.pk, identity_id=user.identity_id,
                subject="manage.py upload_file", reason=reason,
            )  # fmt: skip

        try:
            claim = self._claim(connection, path, rows=options["rows"], made_at=options["made_at"])
            signature = claim.signature(connections.secret_of(connection))
            with path.open("rb") as source:
                taken = uploads.receive(
                    connection=connection, claim=claim, signature=signature, source=source, cause=cause, at=at
                )
        except OSError as error:
            raise CommandError(f"{path} can't be read: {error.strerror}") from error
        except (uploads.Refused, connections.SecretUnreadable) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Taken: {taken.users} users and {taken.groups} groups, made {taken.made_at:%Y-%m-%d %H:%M:%S} UTC. "
            "A reading is due now."
        )

    def _connection(self, tenant: Tenant, name: str) -> Connection:
        with scope(tenant=tenant.pk):
            system = System.objects.filter(name__iexact=name).first()
            if system is None:
                raise CommandError(f"there is no system {name!r} in this tenant")
            connection = uploads.connection_for(system.pk)
        if connection is None:
            raise CommandError(f"{system.name} is not read from files now: say so on its page first")
        return connection

    def _claim(self, connection: Connection, path: Path, *, rows: int, made_at: str) -> Claim:
        form = _FORMS.get(path.suffix.lower())
        if form is None:
            raise CommandError(f"{path.name} ends in none of: {', '.join(_FORMS)}")
        made = instant(made_at) if made_at else datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
        if made is None:
            raise CommandError(f"{made_at!r} is no instant with a zone, such as 2026-11-30T03:00Z")
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return Claim(system=connection.system_id, form=form, rows=rows, made_at=made, digest=digest.hexdigest())
