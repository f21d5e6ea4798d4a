"""In SQL alone: effect and ledger in one transaction, beside the effect alone and beside two transactions.

pgbench asks, with prepared statements, as the application's role, on the product's own tables with all of their triggers,
policies and indexes. The effect is what the least change of an account is here: its cause, the row, its history. The ledger
is one row of Exchange with half a kilobyte of bodies.

Two transactions are made as cheap as they can be: the ledger's row stands for itself, without a cause of its own, in a table
without partitions. It is there before the effect, so the transaction of the effect has to say in it what became of it: without
that nobody knows after a crash what is done and what is to be done. "Blind" ones leave that out.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg

from bench import contestants
from bench.company import SPARE, account_id
from bench.measuring import Summary, Unable
from bench.serving import with_database
from local import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bench.serving import House

CLIENTS = 8
DATABASE, UNSEALED = "ledger_sql", "ledger_sql_unsealed"
_PEOPLE = 1_000
_BODY = 500
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: ([0-9]+)", re.MULTILINE)
_PREFIX = str(account_id(0))[:24]

_OPEN = """WITH scope AS MATERIALIZED (SELECT set_config('rollcall.tenant', '{tenant}', true)),
  made AS (INSERT INTO audit_cause (tenant_id, kind, actor, subject, reason)
    SELECT '{tenant}'::uuid, 'exchange', 'Directory', 'exchange', '' FROM scope RETURNING id)
  SELECT set_config('rollcall.cause', id::text, true) FROM made;
"""
_EFFECT = """UPDATE accounts_account SET purpose = :r WHERE id = ('{prefix}' || lpad(to_hex(CAST(:n AS int)), 12, '0'))::uuid;
SET CONSTRAINTS ALL IMMEDIATE;
"""
_SEE = "SELECT set_config('rollcall.tenant', '{tenant}', true);\n"
_LEDGER = """INSERT INTO provisioning_exchange (id, tenant_id, system_id, token_id, cause_id, method, path, resource_type,
  resource_id, resource_label, intent, outcome, body, body_key_id, request_digest, request_bytes, coercions, status, error,
  remote, milliseconds)
VALUES ((lpad(to_hex(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)), 12, '0') || '7'
    || substr(md5(CAST(random() AS text)), 1, 3) || '8' || substr(md5(CAST(random() AS text)), 1, 15))::uuid,
  '{tenant}', '{system}', '{system}', {cause}, 'PATCH', '/Users/{system}', 'User',
  ('{prefix}' || lpad(to_hex(CAST(:n AS int)), 12, '0'))::uuid, 'ada@example.com', 'update', 'applied',
  '\\x{body}'::bytea, '{system}', '{digest}', 200, '[]', 200, '', '127.0.0.1', 12);
"""
# The same in a plain table, before anything is known of the outcome; and the word that the effect leaves in it.
_LEDGER_FIRST = _LEDGER.replace("provisioning_exchange", "bench_ledger").replace("'applied'", "'held'").replace(
    ", 200, '', '127", ", 0, '', '127"
).replace(";\n", " RETURNING id AS row \\gset\n")  # fmt: skip
_OUTCOME = "UPDATE bench_ledger SET outcome = 'applied', status = 200 WHERE tenant_id = '{tenant}' AND id = CAST(:row AS uuid);\n"
_PLAIN = (
    "CREATE TABLE bench_ledger (LIKE provisioning_exchange INCLUDING ALL)",
    "GRANT SELECT, INSERT, UPDATE ON bench_ledger TO rollcall_app",
)
_CAUSE = "CAST(current_setting('rollcall.cause') AS bigint)"
# What nobody would need who seals nothing: the salts, and the indexes by which a seal finds its rows.
_WITHOUT_SEALS = (
    "DROP INDEX audit_cause_by_transaction",
    "DROP INDEX audit_subject_by_entry",
    "DROP INDEX provisioning_exchange_by_cause",
    "ALTER TABLE audit_cause ALTER COLUMN salt DROP DEFAULT",
    "ALTER TABLE provisioning_exchange ALTER COLUMN salt DROP DEFAULT",
    "ALTER TABLE accounts_historicalaccount ALTER COLUMN salt DROP DEFAULT",
)


def scripts(*, tenant: str, system: str) -> dict[str, str]:
    """By name, what one client does again and again."""
    told = {
        "tenant": tenant, "system": system, "prefix": _PREFIX, "body": secrets.token_hex(_BODY),
        "digest": secrets.token_hex(32),
    }  # fmt: skip
    opened, effect = _OPEN.format(**told), _EFFECT.format(**told)
    within = _LEDGER.format(**told, cause=_CAUSE)
    begin = f"\\set n random(1, {_PEOPLE + SPARE})\n\\set r random(1, 1000000000)\nBEGIN;\n"
    see, again = _SEE.format(**told), "COMMIT;\nBEGIN;\n"
    return {
        "effect": f"{begin}{opened}{effect}COMMIT;\n",
        "together": f"{begin}{opened}{effect}{within}COMMIT;\n",
        "apart": f"{begin}{see}{_LEDGER_FIRST.format(**told, cause=0)}{again}{opened}{effect}{_OUTCOME.format(**told)}COMMIT;\n",
        "blind": f"{begin}{see}{_LEDGER.format(**told, cause=0)}{again}{opened}{effect}COMMIT;\n",
    }


def measure(home: House, *, rounds: int, seconds: int, say: Callable[[str], None]) -> dict[str, Summary]:
    """Transactions a second by name, an "apart" being both of its transactions. Raises `Unable`."""
    program = _pgbench()
    contestants.empty(home, DATABASE)
    facts = home.within(DATABASE, "load", str(_PEOPLE))
    home.database(UNSEALED, template=DATABASE)
    with psycopg.connect(with_database(home.owner_url, UNSEALED), autocommit=True) as owner:
        for statement in _WITHOUT_SEALS:
            owner.execute(statement)
    with psycopg.connect(with_database(home.owner_url, DATABASE), autocommit=True) as owner:
        for statement in _PLAIN:
            owner.execute(statement)
    files = {}
    for name, text in scripts(tenant=facts["tenant"], system=facts["system"]).items():
        files[name] = home.logs / f"{name}.sql"
        files[name].write_text(text)
    turns = [(name, DATABASE, files[name]) for name in files] + [("unsealed", UNSEALED, files["together"])]
    samples: dict[str, list[float]] = {name: [] for name, _, _ in turns}
    for turn in range(rounds + 1):
        say(f"effect and ledger in SQL, round {turn} of {rounds}")
        first = turn % len(turns)
        for name, database, file in [*turns[first:], *turns[:first]]:
            found = _run(program, home.for_product(database), file, seconds=seconds if turn else 1)
            if turn:  # the first one is for warmth
                samples[name].append(found)
            home.look()
    return {name: Summary.of(values) for name, values in samples.items()}


def _pgbench() -> str:
    found = shutil.which("pgbench", path=os.pathsep.join((str(postgres.find_binaries()), os.environ.get("PATH", ""))))
    if found is None:
        raise Unable("pgbench is not here: it comes with PostgreSQL's own programs")
    return found


def _run(program: str, environment: Mapping[str, str], file: Path, *, seconds: int) -> float:
    to = urlsplit(environment["DATABASE_URL"])
    given = {
        **environment, "PGHOST": to.hostname or "", "PGPORT": str(to.port or 5432), "PGUSER": to.username or "",
        "PGPASSWORD": to.password or "", "PGDATABASE": to.path.lstrip("/"),
    }  # fmt: skip
    command = [program, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds), "-f", str(file)]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unable(f"pgbench fails: {done.stderr.strip()[-300:]}")
    return tps(done.stdout)


def tps(said: str) -> float:
    """What pgbench measured. Raises `Unable` where it says nothing, or that transactions failed."""
    found, failed = _TPS.search(said), _FAILED.search(said)
    if found is None:
        raise Unable("pgbench says no number")
    if failed is not None and int(failed[1]):
        raise Unable(f"{failed[1]} transactions failed")
    return float(found[1])
