"""Starting afresh: asked for twice, and never under a running Rollcall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.local.conftest import Product

pytestmark = pytest.mark.local


@pytest.fixture
def kept(product: Product) -> Product:
    """A tree with something to lose."""
    product.state.prepare()
    product.state.secrets()
    return product


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "yes\n", "Reset\n"])
def test_whoever_types_anything_else_keeps_everything(kept: Product, typed: str) -> None:
    before = kept.state.secrets()

    done = kept.local("reset", typed=typed)

    assert done.returncode == 1
    assert f"This deletes {kept.state.path.resolve()}: its database with all accounts and history" in done.stdout
    assert done.stdout.endswith("Nothing was deleted.\n")
    assert kept.state.secrets() == before


def test_whoever_types_reset_starts_afresh(kept: Product) -> None:
    done = kept.local("reset", typed="reset\n")

    assert done.returncode == 0
    assert done.stdout.endswith(f"Deleted {kept.state.path.resolve()}. `make run` starts afresh.\n")
    assert not kept.state.path.exists()


def test_scripts_are_not_asked(kept: Product) -> None:
    done = kept.local("reset", "--yes")

    assert done.returncode == 0
    assert done.stdout == f"Deleted {kept.state.path.resolve()}. `make run` starts afresh.\n"
    assert not kept.state.path.exists()


def test_nothing_is_deleted_under_a_running_rollcall(kept: Product) -> None:
    with kept.state.locked():
        done = kept.local("reset", "--yes")

    assert done.returncode == 1
    assert done.stderr.startswith("rollcall: Rollcall already runs here (pid ")
    assert (kept.state.path / "secrets.json").exists()


def test_where_nothing_is_there_is_nothing_to_delete(product: Product) -> None:
    done = product.local("reset")

    assert done.returncode == 0
    assert done.stdout == f"There is nothing to delete: {product.state.path.resolve()} does not exist.\n"
    assert not product.state.path.exists()
