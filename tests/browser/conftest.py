"""A browser before the running pages: the product with its own database role, a small company in it, and Chromium.

Everything is made once for a module: building the company takes half a minute, and no test here changes it.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from django.db import connection
from django.test.utils import override_settings
from pytest_django.live_server_helper import LiveServer

from tests.browser import scene as company
from tests.conftest import as_owner
from tests.factories.people import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.browser.scene import Scene

DESKTOP, PHONE, NARROW = 1360, 390, 320  # CSS pixels
HEIGHTS = {DESKTOP: 900, PHONE: 844, NARROW: 640}
THEMES = ("light", "dark")
# WCAG 2.2, levels A and AA.
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_AXE = """async (tags) => (await axe.run(document, {
  runOnly: {type: "tag", values: tags}, resultTypes: ["violations"],
})).violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(" | ")}`)"""


def _go_without(reason: str, config: pytest.Config) -> NoReturn:
    if os.environ.get("ROLLCALL_REQUIRE_ALL") == "1":
        pytest.fail(f"browser tests can't run: {reason}")
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nNOTICE: BROWSER TESTS ARE SKIPPED: {reason}", file=sys.stderr)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> str:
    """The system's Chromium. Without it, or without playwright, the tests are skipped with a loud line, or fail."""
    try:
        import playwright.sync_api  # noqa: F401, PLC0415  it is in the lock for the browser alone
    except ImportError:
        _go_without("playwright is not installed: make test EXTRAS=browser", pytestconfig)
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        _go_without("there is no Chromium: install it (Debian, Ubuntu: apt install chromium)", pytestconfig)
    return found


# What `migrate` wrote, and tests of other modules read.
_KEPT = ("django_migrations", "django_content_type", "auth_permission")


def _empty() -> None:
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True)) - set(_KEPT))
    with as_owner(), connection.cursor() as cursor:
        names = ", ".join(f'"{one}"' for one in tables)
        cursor.execute("SET rollcall.erasure = '1'")
        cursor.execute(f"TRUNCATE {names}")
        cursor.execute("RESET rollcall.erasure")


@pytest.fixture(scope="module")
def scene(chromium: str, django_db_setup: None, django_db_blocker: Any) -> Iterator[Scene]:
    """The company, committed, so that the server's threads see it; taken away at the end of the module.

    The module needs the mark `django_db`: without one pytest-django makes no test database.
    """
    name = connection.settings_dict["NAME"]
    assert name.startswith("test_"), f"{name} is no test database: mark the module django_db"
    with django_db_blocker.unblock():
        try:
            yield company.build()
        finally:
            _empty()


@pytest.fixture(scope="module")
def server(scene: Scene) -> Iterator[str]:
    """The address of the running product. What it calls itself on its pages is a name that nothing resolves."""
    with override_settings(ROLLCALL_PUBLIC_URL="https://rollcall.larkfield.example"):
        running = LiveServer("127.0.0.1")
        try:
            yield str(running.url)
        finally:
            running.stop()


@pytest.fixture(scope="module")
def browser(server: str, chromium: str) -> Iterator[Any]:
    """Chromium, with fonts and colours that do not depend on a screen."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  see `chromium`

    # playwright runs an event loop in this thread, in which Django refuses queries: here nothing awaits them.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        one = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--hide-scrollbars"])
        yield one
        one.close()


@dataclass
class Visitor:
    """One page of one browser, and whatever it complained of."""

    page: Any
    server: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        # Violations of the content security policy are console errors too.
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text}")

    def _failed(self, request: Any) -> None:
        # A live list asks on its own; leaving its page cuts it off.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"not loaded: {request.url} ({request.failure})")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.server, "data:")):
            self.complaints.append(f"another host: {request.url}")

    def open(self, path: str, *, theme: str = "light", width: int = DESKTOP) -> int:
        """Go there; returns the status."""
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.resize(width)
        response = self.page.goto(self.server + path)
        assert response is not None
        return int(response.status)

    def resize(self, width: int) -> None:
        """Another width, without loading again."""
        self.page.set_viewport_size({"width": width, "height": HEIGHTS[width]})

    def sign_in(self, login: str) -> None:
        """By the form, as people do."""
        assert self.open("/login/") == 200
        self.page.get_by_label("Sign-in name").fill(login)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/login/" not in url)

    def violations(self) -> list[str]:
        """What axe-core finds, with up to three places each."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(_axe_source())
        found: list[str] = self.page.evaluate(_AXE, list(TAGS))
        return found

    def overflow(self) -> list[str]:
        """What sticks out to the right, when the page scrolls sideways."""
        found: list[str] = self.page.evaluate("""() => {
          const wide = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= wide) return [];
          return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > wide + 1)
            .slice(0, 3).map((e) => `${e.tagName.toLowerCase()}.${e.className} ${Math.round(e.getBoundingClientRect().right)} > ${wide}`);
        }""")
        return found


def _axe_source() -> str:
    import axe_playwright_python  # type: ignore[import-untyped]  # noqa: PLC0415  see `chromium`

    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def browser_page(browser: Any, server: str) -> Iterator[Callable[..., Visitor]]:
    """Opens pages, each in a browser context of its own: `browser_page()`, or signed in as `browser_page("l.chen")`."""
    contexts: list[Any] = []

    def open_one(login: str | None = None, **options: Any) -> Visitor:
        context = browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        visitor = Visitor(context.new_page(), server)
        if login is not None:
            visitor.sign_in(login)
        return visitor

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def sessions(browser: Any, server: str) -> Callable[[str], Any]:
    """The cookies of somebody who signed in once for the whole module."""
    kept: dict[str, Any] = {}

    def of(login: str) -> Any:
        if login not in kept:
            context = browser.new_context()
            Visitor(context.new_page(), server).sign_in(login)
            kept[login] = context.storage_state()
            context.close()
        return kept[login]

    return of
