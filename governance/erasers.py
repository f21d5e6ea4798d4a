"""Who may run what takes evidence out, and as whom: what `manage.py erase` and `manage.py archive` begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.db import connection

from accounts.models.tenant import Tenant
from accounts.models.user import User
from audit.grants import ERASER_ROLE
from audit.scope import scope


@dataclass(frozen=True)
class Asked:
    """Whose rows, by whom, and why."""

    tenant: Tenant
    name: str
    user_id: UUID
    identity_id: UUID | None
    reason: str


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
    with scope():
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        users = User.objects.filter(username_key=options["by"].strip().casefold(), is_active=True)
        # Of a person who signs in, this role sees nothing more.
        user = users.only("id", "identity_id", "username", "display_name").first()
    if tenant is None:
        raise CommandError(f"there is no tenant {options['tenant']!r}")
    if user is None:
        raise CommandError(f"say with --by who you are: nobody signs in as {options['by']!r}")
    if not options["reason"].strip():
        raise CommandError("say with --reason why: it is kept for good, so nothing that tells of a person")
    return Asked(tenant, str(user), user.pk, user.identity_id, options["reason"].strip())
