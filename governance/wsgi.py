"""The web process. It refuses to start where starting would be unsafe, with one line that says why."""

import ipaddress
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.db import DatabaseError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
try:
    application = get_wsgi_application()
except ImproperlyConfigured as error:
    sys.exit(f"Rollcall can't start: {error}")


def _is_loopback(address: str) -> bool:
    host = address.rsplit(":", 1)[0].strip("[]")
    if address.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_unsafe_start() -> None:
    """Exit unless the database role is bound by row-level security, and a demo is served on loopback alone."""
    from accounts.tenants import has_demo  # noqa: PLC0415  models need the application above
    from audit.guards import WrongRole, refuse_wrong_role  # noqa: PLC0415

    try:
        refuse_wrong_role()
        holds_demo = has_demo()
    except WrongRole as error:
        sys.exit(f"Rollcall can't start: {error}")
    except DatabaseError as error:
        # gunicorn tries again with another worker; a traceback would end the workers that are left as well.
        sys.exit(f"Rollcall can't start: the database does not answer ({type(error).__name__})")
    bound_to = [part for part in os.environ.get("ROLLCALL_BOUND_TO", "").split(",") if part]
    if holds_demo and (not bound_to or not all(_is_loopback(address) for address in bound_to)):
        sys.exit(
            "Rollcall can't start: this database holds a demo or sandbox tenant, whose logins are in a file;"
            f" it is served on loopback only, not on {', '.join(bound_to) or 'an unknown address'}."
            " Bind to 127.0.0.1 (ROLLCALL_BIND), start it with gunicorn_conf.py, or use another database."
        )


if os.environ.get("ROLLCALL_TEST") != "1" or os.environ.get("ROLLCALL_BOUND_TO"):
    refuse_unsafe_start()
