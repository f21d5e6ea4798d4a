"""Runs one module of the bench inside the product: `python -m bench.within MODULE ARGUMENT…`, in its environment.

Django is set up before the module is imported. What its `main` returns is printed as JSON, on the last line: the product
writes its own log lines before it.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

import django


def run(module: str, *arguments: str) -> None:
    """Set up, call, print."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "governance.settings")
    django.setup()
    print(json.dumps(import_module(f"bench.{module}").main(*arguments)))


if __name__ == "__main__":
    run(*sys.argv[1:])
