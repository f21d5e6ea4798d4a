"""A tenant whose past is sealed, and both verifiers as they are called."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.db import connection

from accounts.models import Tenant
from audit import sealing
from audit.layouts import CELLS, Layout, layout_of
from audit.scope import scope
from audit.seal_keys import make
from audit.standalone import verify_export
from tests.conftest import AT, a_cause, as_owner
from tests.factories.scim import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audit.models import Seal
    from audit.seal_keys import SigningKey
    from tests.factories.scim import Idp

SCRIPT = Path(verify_export.__file__)


def first_format(model: Any) -> Layout:
    """The layout of a table as seals of the first format had it: they knew no form of their own for a boolean."""
    today = layout_of(model)
    was = [tuple((n, "text" if form == "word" else form) for n, form in kind) for kind in (today.open, today.personal)]
    return Layout(today.table, today.key, today.kind, *was, format=CELLS)


@dataclass
class Said:
    """What a verifier said, line by line, and its exit status."""

    code: int
    lines: list[str] = field(default_factory=list)

    def faults(self) -> set[str]:
        """The lines that name something, without the tenant before them and the sums after them."""
        known = (" seals, ", "signatures: ", "witness: ", "not sealed, and", "erased: ", "archived: ", "the file says ")
        bare = (line.removeprefix("sealed: ") for line in self.lines)
        return {line for line in bare if not any(word in line for word in known)}


@dataclass
class Sealed:
    """A tenant with a chain of seals, its key, and its witness."""

    idp: Idp
    key: SigningKey
    folder: Path
    made: int = 0

    @property
    def tenant(self) -> Tenant:
        """Whose chain it is."""
        return self.idp.tenant

    @property
    def public(self) -> Path:
        """The public key, as a verifier gets it."""
        path = self.folder / "public.pem"
        path.write_text(self.key.public)
        return path

    @property
    def witness(self) -> Path:
        """The witness's file."""
        return self.folder / "witness.jsonl"

    def seal(self, *, key: SigningKey | None = None, most: int = sealing.MOST) -> Seal | None:
        """One more seal, if there is something to be sealed."""
        with scope(tenant=self.tenant.pk):
            return sealing.seal(tenant=self.tenant.pk, key=key or self.key, at=AT, most=most)

    def tell_witness(self) -> int:
        """What the witness has not got is written to it."""
        with scope(tenant=self.tenant.pk):
            return sealing.tell_witness(tenant=self.tenant.pk, path=self.witness, at=AT)

    def ours(self, *, key: Path | None = None, witness: bool = True, patience: int = 10**7) -> Said:
        """What `manage.py verify_seals` says."""
        out = io.StringIO()
        words = ["--tenant", self.tenant.slug, "--key", str(key or self.public), "--patience", str(patience)]
        try:
            call_command("verify_seals", *words, *(["--witness", str(self.witness)] if witness else []), stdout=out)
        except SystemExit as end:
            return Said(int(end.code or 0), out.getvalue().splitlines())
        raise AssertionError("the command ended without a status")

    def export(self) -> Path:
        """A fresh export."""
        self.made += 1
        path = self.folder / f"export-{self.made}.jsonl"
        call_command("export_sealed", "--tenant", self.tenant.slug, "--out", str(path), stdout=io.StringIO())
        return path

    def theirs(
        self, export: Path | None = None, *, key: Path | None = None, witness: bool = True, env: Any = None
    ) -> Said:
        """What the stand-alone script says of a fresh export, without any of our modules."""
        command = [sys.executable, "-I", str(SCRIPT), str(export or self.export()), "--key", str(key or self.public)]
        if witness:
            command += ["--witness", str(self.witness)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=self.folder)
        assert done.returncode != 2, done.stderr
        return Said(done.returncode, done.stdout.splitlines())


def new_key(folder: Path, name: str = "seal.pem") -> SigningKey:
    """A key in a file of its own."""
    return make(folder / name)


def tamper(tenant: Tenant, statement: str, *values: Any, table: str = "") -> int:
    """What only the tables' owner can do: without its triggers, a table is rewritten. Returns how many rows were."""
    with scope(tenant=tenant.pk), as_owner(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        names = [table] if table else []
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(%s)", [table])
        names += [name for (name,) in cursor.fetchall()]
        for name in names:
            cursor.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        changed = cursor.rowcount
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        for name in names:
            cursor.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    return int(changed)


def edit(export: Path, what: str, change: Any) -> Path:
    """An export of which the first line with `what` was changed by somebody who has the file alone."""
    lines = export.read_text().splitlines()
    for at, line in enumerate(lines):
        body = json.loads(line)
        if what in body:
            change(body[what])
            lines[at] = json.dumps(body)
            break
    path = export.with_suffix(".edited")
    path.write_text("\n".join(lines) + "\n")
    return path


def flip(word: str) -> str:
    """Base64 of the same bytes with the last bit of the first one turned."""
    raw = bytearray(base64.b64decode(word))
    raw[0] ^= 1
    return base64.b64encode(raw).decode()


@contextmanager
def committed(blocker: Any, folders: Any, story: Callable[[Sealed], None]) -> Iterator[Sealed]:
    """A tenant with a chain of seals over what a story tells, really committed: what is not finished is never sealed."""
    with blocker.unblock():
        try:
            with scope(cause=a_cause()):
                tenant = Tenant.objects.create(slug="sealed", name="Sealed", made_at=AT)
            folder = folders.mktemp("seals")
            made = Sealed(connect(tenant), new_key(folder), folder)
            story(made)
            yield made
        finally:
            call_command("flush", interactive=False, verbosity=0)
