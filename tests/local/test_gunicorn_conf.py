"""gunicorn tells the product where it can be reached, whoever changed that."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local import ports
from local.ports import LOOPBACK
from tests.local.conftest import newcomers_environment, until
from tests.local.test_up import web_environment

if TYPE_CHECKING:
    from tests.local.conftest import Product

pytestmark = pytest.mark.local


@pytest.mark.parametrize("other_host", ["127.0.0.2", "[::1]"])
def test_the_product_learns_the_addresses_that_are_really_bound(product: Product, other_host: str) -> None:
    other = ports.pick()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-c", "gunicorn_conf.py"),
            *(
                "--bind",
                f"{LOOPBACK}:{product.port}",
                "--bind",
                f"{other_host}:{other}",
            ),  # instead of the configured one
            "governance.wsgi",
        ],
        cwd=product.root,
        env=newcomers_environment(ROLLCALL_BIND="127.0.0.1:1", REDIS_URL="redis://127.0.0.1:1/0"),
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: ports.answers_ok(product.port, "/", host=LOOPBACK, called="127.0.0.1"))
        bound = web_environment(product)["ROLLCALL_BOUND_TO"]
    finally:
        process.terminate()
        process.wait(timeout=10)

    assert bound == f"{LOOPBACK}:{product.port},{other_host.strip('[]')}:{other}"
