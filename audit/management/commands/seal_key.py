"""Print the public half of the key that signs seals: what a verifier is given by --key."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit import seal_keys


class Command(BaseCommand):
    """Read ROLLCALL_SEAL_KEY_FILE, as whoever may."""

    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *_: Any, **__: Any) -> None:
        """Print it, or say in one line why not."""
        if not settings.ROLLCALL_SEAL_KEY_FILE:
            raise CommandError("ROLLCALL_SEAL_KEY_FILE is not set: manage.py make_seal_key PATH makes a key")
        try:
            key = seal_keys.read(Path(settings.ROLLCALL_SEAL_KEY_FILE))
        except seal_keys.BadKey as error:
            raise CommandError(str(error)) from error
        self.stdout.write(key.public, ending="")
        self.stderr.write(f"The key {key.id}.")
