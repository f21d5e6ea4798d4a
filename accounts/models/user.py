"""Who signs in here: staff and owners, their roles, and the one-use links that begin both."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.models.identity import Identity
from accounts.models.tenant import Tenant
from audit.history import track
from audit.keys import uuid7
from audit.models import Rights


class UserManager(BaseUserManager["User"]):
    """Finds people by the name they sign in with, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user of that name. Raises `User.DoesNotExist`."""
        return self.get(username_key=(username or "").strip().casefold())


class User(AbstractBaseUser):
    """Somebody who signs in. No superuser: what a person may do is said by their roles, in our own words."""

    personal: ClassVar = ("username", "username_key", "display_name", "email")
    frozen: ClassVar = ("identity", "made_at")
    rights: ClassVar = Rights.NOUN
    global_because: ClassVar = "a person may serve several tenants"
    # Who erases says who they are; what signs people in stays out of its sight.
    for_eraser: ClassVar = tuple(
        f"SELECT ({column})"
        for column in ("display_name", "id", "identity_id", "is_active", "username", "username_key")
    )
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(max_length=150, unique=True)
    username_key = models.CharField(max_length=150, unique=True)
    display_name = models.CharField(max_length=200, blank=True, default="")
    email = models.EmailField(blank=True, default="")
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="users")
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False, editable=False)
    session_epoch = models.PositiveIntegerField(default=0)
    made_at = models.DateTimeField()

    objects: ClassVar[UserManager] = UserManager()
    history = track(excluded_fields=("password", "last_login"))

    class Meta:
        default_permissions = ()
        constraints = (
            models.CheckConstraint(condition=Q(is_superuser=False), name="accounts_user_is_never_superuser"),
            models.CheckConstraint(condition=~Q(username=""), name="accounts_user_has_a_name"),
        )

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def is_staff(self) -> bool:
        """Django's admin asks. Which tenant's pages are open is decided by roles, per tenant."""
        return self.is_active

    def has_perm(self, perm: str, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """Django's automatic permissions are not used: `accounts.rules` answers, with a reason."""
        return False

    def has_perms(self, perm_list: Any, obj: Any = None) -> bool:  # noqa: ARG002  Django's signature
        """See `has_perm`."""
        return False

    def has_module_perms(self, app_label: str) -> bool:  # noqa: ARG002  Django's signature
        """See `has_perm`."""
        return self.is_active

    def get_session_auth_hash(self) -> str:
        """Changes with the password and with `session_epoch`, so that ending a person ends their sessions."""
        return salted_hmac("rollcall.session", f"{self.password}:{self.session_epoch}", algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> Any:
        """Sessions made under a rotated SECRET_KEY are not carried over."""
        return iter(())


class RoleName(models.TextChoices):
    """What somebody is in a tenant."""

    SECURITY = "security", _("security")
    OWNER = "owner", _("owner")
    AUDITOR = "auditor", _("auditor")
    ADMINISTRATOR = "administrator", _("administrator")


class Role(models.Model):
    """A user's role in one tenant (an administrator without a tenant makes tenants). Asked by one, granted by another.

    The first two administrators are made by the command line (`made_by_setup`); after that two people are needed.
    """

    personal: ClassVar = ()
    frozen: ClassVar = ("user", "tenant", "name", "since", "asked_by", "granted_by", "made_by_setup")
    rights: ClassVar = Rights.NOUN
    global_because: ClassVar = "sign-in asks for the roles before a tenant is chosen"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="roles")
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="roles")
    name = models.CharField(max_length=16, choices=RoleName.choices)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    asked_by = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    granted_by = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    made_by_setup = models.BooleanField(default=False)

    history = track()

    class Meta:
        default_permissions = ()
        constraints = (
            models.CheckConstraint(condition=Q(name__in=RoleName.values), name="accounts_role_name_is_known"),
            models.CheckConstraint(
                condition=Q(tenant__isnull=False) | Q(name="administrator"),
                name="accounts_role_without_tenant_is_administrator",
            ),
            models.CheckConstraint(
                condition=Q(made_by_setup=True)
                | (Q(asked_by__isnull=False, granted_by__isnull=False) & ~Q(asked_by=models.F("granted_by"))),
                name="accounts_role_granted_by_another",
            ),
            models.UniqueConstraint(
                fields=["tenant", "user", "name"],
                condition=Q(until__isnull=True),
                nulls_distinct=False,
                name="accounts_role_once_alive",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_name_display()} ({self.tenant or 'all tenants'})"


class Invitation(models.Model):
    """A one-use link with which a user sets a password. Only a hash of it is kept."""

    personal: ClassVar = ()
    rights: ClassVar = Rights.NOUN
    global_because: ClassVar = "sign-in begins before a tenant is chosen"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="invitations")
    token_hash = models.CharField(max_length=64, unique=True)
    made_at = models.DateTimeField()
    until = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    history = track(excluded_fields=("token_hash",))

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"invitation for {self.user}"


def identity_of(user: User) -> UUID:
    """The identity that decisions compare people by."""
    return user.identity_id
