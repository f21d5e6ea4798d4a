"""What an auditor takes along: the seals of a tenant, and the rows that they cover, as lines of JSON.

`audit.standalone.verify_export` reads them without us. Nothing is held in memory but one row of each table.
"""

from __future__ import annotations

import base64
import heapq
import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django.db import connections

from audit import erased, sealing
from audit.chain import Link, Run, links, runs
from audit.guards import tenant_field
from audit.layouts import key_text, sealed_models
from audit.leaves import reach_of, texts
from audit.models import Archived, Cause
from audit.strays import strays

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from django.db import models

    from audit.leaves import Reach

VERSION = 1
_ROWS = 1_000


def lines(*, tenant: UUID | None, at: datetime, until: int | None = None) -> Iterator[str]:
    """The export, line by line, inside the tenant's scope: a `steady` one, since it must all be of one moment.

    With `until` it ends with the seal of that number, and says so.
    """
    yield _line({"rollcall": "sealed", "version": VERSION, "tenant": str(tenant) if tenant else None, "at": str(at)})
    seals = rows = 0
    has_archives = Archived.objects.exists()
    chain = links(tenant)
    if until is not None:
        chain = takewhile(lambda link: link.seal.number <= until, chain)
    for run in runs(chain):
        reach = reach_of(run.batch)
        found = heapq.merge(*(_rows_of(model, run, reach) for model in sealed_models()))
        waiting = next(found, None)
        for place, link in enumerate(run.links, 1):
            yield _seal(link)
            if has_archives:
                yield from _archived(link)
            seals += 1
            while waiting is not None and waiting[0] == place:
                yield waiting[-1]
                rows += 1
                waiting = next(found, None)
    yield from _strays()
    since = sealing.unsealed_since(tenant=tenant)
    end = {"seals": seals, "rows": rows, "unsealed_since": str(since) if since else None}
    yield _line({"end": end if until is None else {**end, "until": until}})


def _strays() -> Iterator[str]:
    for model in sealed_models():
        if model is not Cause and tenant_field(model) is not None:
            for key in strays(model):
                yield _line({"stray": {"table": model._meta.db_table, "key": key}})


def _line(body: dict[str, Any]) -> str:
    return json.dumps(body) + "\n"


def _seal(link: Link) -> str:
    seal = link.seal
    return _line(
        {
            "seal": {
                "number": seal.number,
                "statement": seal.statement,
                "signature": base64.b64encode(seal.signature).decode("ascii"),
                "shape": seal.shape,
                "leaves": base64.b64encode(seal.leaves).decode("ascii"),
                "columns": {
                    "after": seal.after_id,
                    "from": seal.from_xid,
                    "key": seal.key_id,
                    "last": seal.last_id,
                    "root": seal.root,
                    "rows": seal.rows,
                    "to": seal.to_xid,
                },
            }
        }
    )


def _archived(link: Link) -> Iterator[str]:
    """Which of the seal's rows are not in the database any more, since an archive has them."""
    tables = link.shape.tables if link.shape is not None else {}
    for table, keys in erased.archived_of(link.seal.number):
        if table in tables:
            kind = tables[table][0].kind
            said = [key_text(key, kind) for key in sorted(erased.split(keys, kind))]
            yield _line({"archived": {"table": table, "keys": said}})


def _rows_of(model: type[models.Model], run: Run, reach: Reach) -> Iterator[tuple[int, str, bytes, str]]:
    """Place, table, key and line of each row of a table."""
    layout = run.layout(model._meta.db_table)
    statement, values = texts(model, layout, reach)
    with connections["default"].chunked_cursor() as cursor:
        cursor.itersize = _ROWS  # type: ignore[attr-defined]  # psycopg has it
        cursor.execute(statement, values)
        for place, raw, salt, cells, digest in cursor:
            key = bytes(raw)
            said = {"table": layout.table, "key": key_text(key, layout.kind), "salt": salt}
            head = json.dumps(said if digest is None else {**said, "erased": digest})
            # The texts come as JSON from the database: they are passed on as they are.
            yield place, layout.table, key, f'{{"row": {head[:-1]}, "cells": {cells}}}}}\n'
