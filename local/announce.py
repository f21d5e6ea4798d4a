"""What a person reads when everything runs: where it is, how to sign in, how to connect a client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local import external
from local.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RULE = "-" * 78


def demo(path: Path, *, mail: Path) -> str:
    """Return the block about a running demo, from the file that `manage.py demo prepare` wrote.

    Raises `CannotRun` when the file is missing or lacks something.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        lines = _demo_lines(facts)
    except FileNotFoundError as error:
        raise CannotRun(f"{path} was not written by `manage.py demo prepare`.") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise CannotRun(f"{path} is not what `manage.py demo prepare` writes: {error!r}") from error
    lines += [f"The same facts are in {path}; mail is written to {mail}.", "Ctrl-C stops everything."]
    return _block(lines)


def _demo_lines(facts: Mapping[str, Any]) -> list[str]:
    rows = [("role", "user name", "password")]
    rows += [(login["role"], login["username"], login["password"]) for login in facts["logins"]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    first = facts["systems"][0]
    return [
        f"Rollcall runs at {facts['address']}",
        "",
        *table,
        "",
        f"SCIM base URL  {facts['scim_base_url']}",
        f"SCIM token     {first['token']}  (system {first['name']} of {first['tenant']})",
        "",
    ]


def without_demo(environment: Mapping[str, str]) -> str:
    """Return the block about an installation on servers of somebody else, which has no logins yet."""
    return _block(
        [
            f"Rollcall runs at {environment['ROLLCALL_PUBLIC_URL']}",
            "",
            "The first administrator gets a one-use link from (.venv/bin/python -m local manage ... does the same):",
            "  manage.py invite_administrator NAME",
            "The roles that PostgreSQL needs, if you have to make them again:",
            external.statements(environment),
            "",
            "Ctrl-C stops everything.",
        ],
    )


def _block(lines: list[str]) -> str:
    return "\n".join(["", _RULE, *lines, _RULE])
