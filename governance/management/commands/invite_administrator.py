"""`manage.py invite_administrator NAME [--email=…]`: the first two people, before there is anybody to ask."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.urls import reverse
from django.utils import timezone

from accounts import people
from accounts.models.user import RoleName, User
from audit.models import Cause, CauseKind
from audit.scope import scope


class Command(BaseCommand):
    """Makes an administrator of all tenants and prints a one-use link, until two of them live."""

    help = "Invite one of the first two administrators; prints a one-use link."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The name to sign in with, and where mail goes."""
        parser.add_argument("name", help="the name to sign in with")
        parser.add_argument("--email", default="", help="mail address, for a forgotten password")

    def handle(self, *_: Any, **options: Any) -> None:
        """Make, or invite again who has no password yet. Raises `CommandError` where two people must decide."""
        name, email = options["name"], options["email"]
        if email:
            try:
                validate_email(email)
            except ValidationError as error:
                raise CommandError(f"{email!r} is no mail address") from error
        at = timezone.now()
        with scope(cause=Cause(kind=CauseKind.COMMAND, actor="manage.py invite_administrator", reason="first people")):
            try:
                user = self._administrator(name=name, email=email, at=at)
                token = people.invite(user=user, at=at)
            except people.BadPerson as error:
                raise CommandError(str(error)) from error
        link = settings.ROLLCALL_PUBLIC_URL + reverse("welcome", kwargs={"token": token})
        self.stdout.write(
            f"{user.get_username()} is invited as administrator. The link works once, for 7 days:\n\n  {link}\n\n"
        )
        self.stdout.write("It is shown only now. Hand it over by a way that you trust.")

    def _administrator(self, *, name: str, email: str, at: Any) -> User:
        living = people.living_administrators(at=at)
        key = name.strip().casefold()
        known = next((user for user in living if user.username_key == key), None)
        if known is not None and not known.has_usable_password():
            return known
        if known is not None:
            raise CommandError(
                f"{known.get_username()} is an administrator already. A forgotten password: {settings.ROLLCALL_PUBLIC_URL}/password/reset/"
            )
        if len(living) >= people.ADMINISTRATORS_BY_SETUP:
            names = " and ".join(user.get_username() for user in living)
            raise CommandError(
                f"two administrators live already ({names}), so nobody gets that role from the command line any more:"
                " one of them asks for it on the People page of a tenant, and another person grants it there"
            )
        user = people.make_user(username=name, email=email, at=at)
        people.grant_role(user=user, name=RoleName.ADMINISTRATOR, tenant=None, at=at, by_setup=True)
        return user
