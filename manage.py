#!/usr/bin/env python3
"""Django's command line for Rollcall."""

import os
import sys


def main() -> None:
    """Run one management command; a broken setting ends with one readable line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415  Django may not be installed yet
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Rollcall can't start: {error}")


if __name__ == "__main__":
    main()
