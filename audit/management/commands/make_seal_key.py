"""Make the key that signs seals: a new file that only its owner can read. Prints the public half, for verifiers."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import seal_keys


class Command(BaseCommand):
    """Draw an Ed25519 key. Never replaces a file."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where it goes."""
        parser.add_argument("path", type=Path, help="a file that isn't there yet; name it in ROLLCALL_SEAL_KEY_FILE")

    def handle(self, *_: Any, **options: Any) -> None:
        """Make it, or say in one line why not."""
        try:
            made = seal_keys.make(options["path"])
        except seal_keys.BadKey as error:
            raise CommandError(str(error)) from error
        self.stdout.write(made.public, ending="")
        self.stderr.write(
            f"The key {made.id} is made. Keep what was printed where the database's owner can't change it."
        )
