"""Stands in for the product's web application: answers with the environment it was given."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer 200 with the names and values of the environment, as JSON."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"path": environ["PATH_INFO"], "environment": dict(os.environ)}).encode()]
