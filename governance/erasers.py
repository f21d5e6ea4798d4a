"""Who may run what takes evidence out, and as whom: what the commands of the eraser's role begin with."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError
from django.db import connection

from accounts.models.user import User
from audit.grants import ERASER_ROLE
from governance.asked import Asked, tenant_called, who_asks


def asked_by(options: Mapping[str, Any], *, command: str) -> Asked:
    """What the command line says. Raises `CommandError`, which says what is missing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (role,) = cursor.fetchone()
    if role != ERASER_ROLE:
        raise CommandError(
            f"this takes evidence out, which {role} may not: run it as ROLLCALL_ROLE=eraser manage.py {command} …"
            " with DATABASE_ERASER_URL set"
        )
    tenant = tenant_called(options["tenant"])
    # Of a person who signs in, this role sees nothing more.
    seen = User.objects.only("id", "identity_id", "username", "display_name")
    user, reason = who_asks(options["by"], among=seen), options["reason"].strip()
    if not reason:
        raise CommandError("say with --reason why: it is kept for good, so nothing that tells of a person")
    return Asked(tenant, user, reason, command)
