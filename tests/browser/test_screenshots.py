"""The pictures of the README, taken from the running product: `make screenshots`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import DESKTOP, PHONE, Visitor
from tests.browser.scene import LOGINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.scene import Scene

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
README = Path(__file__).parents[2] / "README.md"
# A picture shows at most this much of a page (CSS pixels), so that it can be read beside others.
TALLEST = {DESKTOP: 1300, PHONE: 1200}
SECURITY, OWNER, ADMINISTRATOR = (LOGINS[one] for one in ("second security", "owner", "administrator"))
# File, login, address below the tenant or page of the scene, theme, width.
SHOTS = (
    ("front-light", SECURITY, "/admin/", "light", DESKTOP),
    ("front-dark", SECURITY, "/admin/", "dark", DESKTOP),
    ("front-phone", SECURITY, "/admin/", "dark", PHONE),
    ("account", SECURITY, "account-active", "light", DESKTOP),
    ("approval", SECURITY, "approval", "light", DESKTOP),
    ("plan", SECURITY, "plan", "dark", DESKTOP),
    ("run", SECURITY, "run", "light", DESKTOP),
    ("system", ADMINISTRATOR, "system", "light", DESKTOP),
    ("test-me", ADMINISTRATOR, "system-test", "light", DESKTOP),
    ("test-me-phone", ADMINISTRATOR, "system-test", "dark", PHONE),
    ("exchange", SECURITY, "exchange", "light", DESKTOP),
    ("review-phone", OWNER, "review", "light", PHONE),
)


@pytest.fixture(scope="module", autouse=True)
def _asked_for(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--screenshots"):
        pytest.skip("asked for by --screenshots (make screenshots)")


@pytest.mark.parametrize(("name", "login", "where", "theme", "width"), SHOTS)
def test_a_picture_of_the_readme_is_taken_of_a_page_without_fault(
    browser_page: Callable[..., Visitor],
    sessions: Callable[[str], Any],
    scene: Scene,
    name: str,
    login: str,
    where: str,
    theme: str,
    width: int,
) -> None:
    visitor = browser_page(storage_state=sessions(login), device_scale_factor=2 if width == PHONE else 1)
    path = scene.path(where) if where in scene.pages else f"/t/{scene.slug}{where}"
    assert visitor.open(path, theme=theme, width=width) == 200
    assert visitor.violations() == []
    assert visitor.overflow() == []
    tall = min(visitor.page.evaluate("() => document.documentElement.scrollHeight"), TALLEST[width])
    visitor.page.set_viewport_size({"width": width, "height": tall})
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = FOLDER / f"{name}.png"
    visitor.page.screenshot(path=picture, animations="disabled")
    assert visitor.complaints == []
    assert picture.stat().st_size > 10_000
    assert f"docs/screenshots/{name}.png" in README.read_text(encoding="utf-8")
