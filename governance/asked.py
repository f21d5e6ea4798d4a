"""What a command was told about whom it serves and who asks, looked up. Each raises `CommandError` in one line."""

from dataclasses import dataclass
from uuid import UUID

from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.utils.text import slugify

from accounts.models.system import System
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


def the_tenant(slug: str) -> Tenant:
    """The tenant with that word, or, where no word was said, the only one."""
    if slug:
        return tenant_called(slug)
    with scope():
        first = list(Tenant.objects.order_by("slug")[:20])
    if len(first) != 1:
        known = ", ".join(tenant.slug for tenant in first) or "there is none yet"
        raise CommandError(f"say with --tenant whose: {known}")
    return first[0]


def system_called(text: str) -> System:
    """A system of the tenant in force: by its id, its name, or its name as a word in addresses (`okta-prod`)."""
    named = System.objects.filter(name__iexact=text).first()
    if named is not None:
        return named
    try:
        found = list(System.objects.filter(pk=UUID(text)))
    except ValueError:
        found = [one for one in System.objects.order_by("name") if slugify(one.name) == text.lower()]
    if not found:
        raise CommandError(f"there is no system {text!r} in this tenant")
    if len(found) > 1:
        names = ", ".join(repr(one.name) for one in found)
        raise CommandError(f"{text!r} is said of {names}: say the whole name")
    return found[0]


def who_asks(name: str, *, among: QuerySet[User] | None = None) -> User:
    """Who signs in by that name."""
    users = User.objects.all() if among is None else among
    with scope():
        found = users.filter(username_key=name.strip().casefold(), is_active=True).first()
    if found is None:
        raise CommandError(f"say with --by who you are: nobody signs in as {name!r}")
    return found
