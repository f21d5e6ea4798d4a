"""What seals cost in the database, as the application: `python -m bench.within sealing_inside ROWS`.

The rows are copies of what one request really wrote: a cause, an exchange, a journal entry with its subject, and a history
row. Verifying is compared with the least that anybody must do: read all of it, as text, and hash it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection

from accounts import lifecycle
from accounts.models import Account, AccountKind, System, Tenant
from audit import exporting, sealing, verifying, witness
from audit.journal import Subject, record
from audit.layouts import sealed_models
from audit.models import Cause, CauseKind, JournalEntry, JournalSubject, history_of
from audit.scope import scope
from audit.seal_keys import SigningKey, make, trust
from audit.standalone import verify_export
from bench.measuring import Summary
from local.state import ROOT
from provisioning.models.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.db import models

AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
DOCUMENT = {
    "userName": "ada@example.com", "name": {"givenName": "Ada", "familyName": "Byron"}, "title": "Engineer",
    "emails": [{"value": "ada@example.com", "type": "work", "primary": True}], "active": True,
    "phoneNumbers": [{"value": "+31 20 123 4567", "type": "work"}], "department": "Research" * 20,
}  # fmt: skip
COPIED = (Cause, Exchange, JournalEntry, JournalSubject, history_of(Account))
_TRANSACTIONS = 500


class _Event(StrEnum):
    CHANGED = "account.changed"


def main(rows: str) -> dict[str, Any]:
    """Everything that is measured, in seconds unless the name says otherwise."""
    units = int(rows) // len(COPIED)
    tenant = _one_of_each()
    _copy(tenant, units)
    with tempfile.TemporaryDirectory() as folder:
        key = make(Path(folder) / "seal.pem")
        (Path(folder) / "public.pem").write_text(key.public)
        found = _measure(tenant, key, Path(folder))
    return {"units": units} | found


def _cause(reason: str) -> Cause:
    return Cause(kind=CauseKind.EXCHANGE, actor="Entra", reason=reason)


def _one_of_each() -> UUID:
    with scope(cause=_cause("a tenant")):
        tenant = Tenant.objects.create(slug="bench", name="Bench", made_at=AT)
    with scope(tenant=tenant.pk, cause=_cause("POST /Users")) as cause:
        system = System.objects.create(tenant=tenant, name="Entra", kind="directory", made_at=AT)
        account = lifecycle.create(
            tenant_id=tenant.pk, kind=AccountKind.PERSON, user_name="ada@example.com", user_name_key="ada@example.com",
            is_active=True, at=AT, document=DOCUMENT,
        )  # fmt: skip
        Exchange.objects.create(
            tenant=tenant, system=system, token_id=account.pk, cause_id=cause.pk, method="PATCH", path=f"/Users/{account.pk}",
            resource_type="User", resource_id=account.pk, resource_label="ada@example.com", intent="update",
            outcome="applied", request=DOCUMENT, request_digest="0" * 64, request_bytes=700, status=200, answer=DOCUMENT,
        )  # fmt: skip
    return tenant.pk


def _copy(tenant: UUID, units: int) -> None:
    """As the owner: the application can't write history. Keys grow as they do when they are made one after the other."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("SELECT set_config('rollcall.tenant', %s, false)", [str(tenant)])
        first = owner.execute("SELECT max(id) + 1000 FROM audit_cause").fetchone()[0]  # type: ignore[index]
        made = f"lpad(to_hex({int(time.time() * 1000) - units} + n), 12, '0') || '7' || substr(md5(n::text), 1, 3)"
        uuid = f"({made} || '8' || substr(md5(n::text), 4, 15))::uuid"
        own = {
            Cause: {"id": f"{first} + n", "xid": "3 + (n - 1) / 400"},
            Exchange: {"id": uuid, "cause_id": f"{first} + n"},
            JournalEntry: {"id": uuid, "cause_id": f"{first} + n"},
            JournalSubject: {"id": f"{first} + n", "entry_id": uuid},
            history_of(Account): {"history_id": f"{first} + n", "cause_id": f"{first} + n"},
        }
        for model, special in own.items():
            _copy_one(owner, model, special, units)
        owner.execute("VACUUM (ANALYZE)")


def _copy_one(owner: Any, model: type[models.Model], special: dict[str, str], units: int) -> None:
    columns = [str(f.column) for f in model._meta.local_fields if f.column != "salt"]
    values = ", ".join(special.get(column, f'r."{column}"') for column in columns)
    table, key = model._meta.db_table, model._meta.pk.column
    listed = ", ".join(f'"{c}"' for c in columns)
    owner.execute(
        f"INSERT INTO {table} ({listed}) SELECT {values} FROM (SELECT * FROM {table} ORDER BY {key} LIMIT 1) r,"  # noqa: S608  names of our models
        f" generate_series(1, {units}) n ORDER BY n"
    )


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = act()
    return time.perf_counter() - started, found


def _measure(tenant: UUID, key: SigningKey, folder: Path) -> dict[str, Any]:
    write = [_timed(lambda: _a_write(tenant))[0] for _ in range(_TRANSACTIONS)]
    sealed, seals = _timed(lambda: _seal(tenant, key, folder))
    streamed, _ = _timed(lambda: _stream(tenant))
    verified, report = _timed(lambda: _verify(tenant, folder))
    exported, size = _timed(lambda: _export(tenant, folder / "export"))
    alone, code = _timed(lambda: _stand_alone(folder))
    if report.faults or code:
        raise AssertionError(f"what nobody touched does not verify: {report.faults[:3]}, {code}")
    return {
        "rows": report.rows, "seals": seals, "write": Summary.of(write).median, "seal": sealed,
        "seal of a unit / write": sealed / (report.rows / len(COPIED)) / Summary.of(write).median,
        "stream and hash": streamed, "verify": verified, "verify / stream": verified / streamed,
        "export": exported, "export MB": size / 1e6, "stand-alone": alone, "leaves MB": _leaves(tenant) / 1e6,
    }  # fmt: skip


def _a_write(tenant: UUID) -> None:
    """The least that a change costs here: its cause, its row with history, its journal entry; committed."""
    with scope(tenant=tenant, cause=_cause("PATCH")):
        account = Account.objects.only("pk", "purpose").get(user_name_key="ada@example.com")
        Account.objects.filter(pk=account.pk).update(purpose=f"{time.perf_counter_ns()}")
        record(
            event=_Event.CHANGED, sentence="Entra: changed",
            subjects=[Subject("account", str(account.pk), "ada@example.com")],
        )  # fmt: skip


def _seal(tenant: UUID, key: SigningKey, folder: Path) -> int:
    made = 0
    while True:
        with scope(tenant=tenant):
            if sealing.seal(tenant=tenant, key=key, at=AT) is None:
                break
            made += 1
    with scope(tenant=tenant):
        while sealing.tell_witness(tenant=tenant, path=folder / "witness", at=AT):
            pass
    return made


def _stream(tenant: UUID) -> None:
    """Every row of every sealed table, as PostgreSQL writes it, through one digest each."""
    with scope(tenant=tenant, steady=True), connection.cursor() as cursor:
        for model in sealed_models():
            with cursor.copy(f"COPY (SELECT * FROM {model._meta.db_table}) TO STDOUT") as rows:  # noqa: S608
                for row in rows:
                    sha256(bytes(row)).digest()


def _verify(tenant: UUID, folder: Path) -> verifying.Report:
    with scope(tenant=tenant, steady=True):
        return verifying.verify(
            tenant=tenant, trusted=trust([folder / "public.pem"]),
            witness=witness.read(folder / "witness", tenant=str(tenant)), at=AT, patience=timedelta(days=1),
        )  # fmt: skip


def _export(tenant: UUID, path: Path) -> int:
    with scope(tenant=tenant, steady=True), path.open("w") as file:
        file.writelines(exporting.lines(tenant=tenant, at=AT))
    return path.stat().st_size


def _stand_alone(folder: Path) -> int:
    script = str(ROOT / Path(verify_export.__file__).relative_to(ROOT))
    command = [sys.executable, "-I", script, str(folder / "export"), "--key", str(folder / "public.pem")]
    return subprocess.run(
        [*command, "--witness", str(folder / "witness")], stdout=subprocess.DEVNULL, check=False
    ).returncode


def _leaves(tenant: UUID) -> int:
    with scope(tenant=tenant), connection.cursor() as cursor:
        cursor.execute("SELECT sum(pg_column_size(leaves) + pg_column_size(shape)) FROM audit_seal")
        return int(cursor.fetchone()[0])
