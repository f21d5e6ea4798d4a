"""What a command was told about whom it serves and who asks, looked up. Each raises `CommandError` in one line."""

from dataclasses import dataclass

from django.core.management.base import CommandError
from django.db.models import QuerySet

from accounts.models.tenant import Tenant
from accounts.models.user import User
from audit.models import Cause, CauseKind
from audit.scope import scope


@dataclass(frozen=True)
class Asked:
    """Whose rows, by whom, why, and by which command."""

    tenant: Tenant
    user: User
    reason: str
    command: str

    @property
    def name(self) -> str:
        """Who asked, as rows and sentences have it."""
        return str(self.user)

    def cause(self) -> Cause:
        """What explains the writes of one transaction."""
        return Cause(
            kind=CauseKind.COMMAND, actor=self.name, user_id=self.user.pk, identity_id=self.user.identity_id,
            subject=f"manage.py {self.command}", reason=self.reason,
        )  # fmt: skip


def tenant_called(slug: str) -> Tenant:
    """The tenant with that word in addresses."""
    with scope():
        found = Tenant.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"there is no tenant {slug!r}")
    return found


def who_asks(name: str, *, among: QuerySet[User] | None = None) -> User:
    """Who signs in by that name."""
    users = User.objects.all() if among is None else among
    with scope():
        found = users.filter(username_key=name.strip().casefold(), is_active=True).first()
    if found is None:
        raise CommandError(f"say with --by who you are: nobody signs in as {name!r}")
    return found
