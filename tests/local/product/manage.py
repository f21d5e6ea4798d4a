"""Stands in for the product: does what `local` asks of `manage.py`, and writes down what it was given.

`migrate` counts its runs in a table of the database, so that a test sees whether a second start kept the data.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psycopg

STATE = Path(os.environ["ROLLCALL_STATE_DIR"])


def migrate() -> int:
    """Count one more run, as the role that DATABASE_URL names."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS run (at timestamptz DEFAULT now(), role text, told text)")
        connection.execute("GRANT SELECT ON run TO rollcall_app")
        connection.execute("INSERT INTO run (role, told) VALUES (current_user, %s)", [os.environ["ROLLCALL_ROLE"]])
    return 0


def collectstatic() -> int:
    """Leave a file where static files belong."""
    (Path(os.environ["ROLLCALL_STATIC_ROOT"]) / "collected").write_text("yes", encoding="utf-8")
    return 0


def demo(verb: str) -> int:
    """Prepare writes the facts, load counts what the database holds. Fails, and finds tenants of somebody else, when told to."""
    if os.environ.get("PRODUCT_FAILS") == verb:
        print("the demo could not be loaded", file=sys.stderr)
        return 3
    if verb == "prepare" and os.environ.get("PRODUCT_HOLDS_TENANTS"):
        print("this database holds tenants already", file=sys.stderr)
        return 4
    if verb == "prepare":
        facts = {
            "address": os.environ["ROLLCALL_PUBLIC_URL"],
            "scim_base_url": os.environ["ROLLCALL_PUBLIC_URL"] + "/scim/v2",
            "systems": [{"name": "Sandbox", "tenant": "sandbox", "token": "token-of-the-sandbox"}],
            "logins": [{"role": "security", "username": "sam", "password": "password-of-sam"}],
        }
        (STATE / "demo.json").write_text(json.dumps(facts), encoding="utf-8")
        return 0
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT role, told FROM run ORDER BY at").fetchall()
    print(f"loaded after {len(rows)} migrations: {sorted(set(rows))}")
    return 0


def environment() -> int:
    """Show what the product was given, for `python -m local manage environment`."""
    print(json.dumps(dict(os.environ)))
    return 0


if __name__ == "__main__":
    verbs = {"migrate": migrate, "collectstatic": collectstatic, "environment": environment}
    sys.exit(demo(sys.argv[2]) if sys.argv[1] == "demo" else verbs[sys.argv[1]]())
