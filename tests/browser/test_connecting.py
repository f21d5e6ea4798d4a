"""Whoever connects an identity provider has two windows open: ours renews itself, says so, and gives nothing away."""

from __future__ import annotations

import json
import re
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import PHONE, Visitor
from tests.browser.scene import LOGINS
from tests.factories.scim import PATCH_URN, a_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.scene import Scene

pytestmark = [pytest.mark.browser, pytest.mark.django_db]

ADMINISTRATOR = LOGINS["administrator"]
TOKEN = re.compile(r"rc_[0-9a-f]{32}_[A-Za-z0-9_-]{20,100}")
# How soon a row must be there after its request was answered, in seconds; and how seldom something is announced.
SOON, SELDOM = 2, 10


@pytest.fixture
def visitor(browser_page: Callable[..., Visitor], sessions: Callable[[str], Any]) -> Visitor:
    return browser_page(storage_state=sessions(ADMINISTRATOR), permissions=["clipboard-read", "clipboard-write"])


def send(visitor: Visitor, scene: Scene, method: str, path: str, body: Any = None) -> Any:
    """One request as an identity provider sends it, over HTTP."""
    line = HTTPConnection(urlsplit(visitor.server).netloc, timeout=20)
    sent = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {scene.token}", "Content-Type": "application/scim+json"}
    line.request(method, f"/scim/v2{path}", sent, headers)
    answer = line.getresponse()
    text = answer.read()
    line.close()
    assert answer.status < 300, text
    return json.loads(text) if text else None


def begun(visitor: Visitor, scene: Scene) -> str:
    """A test that begins now; the name of its account."""
    visitor.open(scene.path("system-test").partition("?")[0] + "?idp=entra")
    assert "since=" in visitor.page.url
    return str(visitor.page.locator("dt", has_text="The test user name").locator("+ dd code").inner_text())


def test_a_row_is_ticked_soon_after_its_request_and_the_sentence_of_the_page_with_it(
    visitor: Visitor, scene: Scene
) -> None:
    name = begun(visitor, scene)
    page = visitor.page
    sentence = page.locator(".sentence")
    assert sentence.inner_text() == "Nothing has arrived yet: begin with the first click."
    row = page.locator("table.test tbody tr").nth(1)
    assert "not yet" in row.inner_text()
    # The next is awaited with the page at its pace.
    page.wait_for_timeout(1_500)
    send(visitor, scene, "POST", "/Users", a_user(name))
    answered = time.monotonic()
    row.get_by_text("applied").wait_for()
    assert time.monotonic() - answered < SOON
    assert sentence.inner_text() == "2 of 10 have arrived and were taken in. Last: create, applied."
    assert "It is still active here" in page.locator("[data-live-url]").inner_text()
    assert visitor.violations() == []
    assert visitor.complaints == []


def test_what_arrives_is_announced_politely_and_seldom(visitor: Visitor, scene: Scene) -> None:
    name = begun(visitor, scene)
    page = visitor.page
    page.evaluate("""() => {
      window.told = [];
      for (const one of document.querySelectorAll("[role=status]")) new MutationObserver(() => {
        if (one.textContent) window.told.push([Math.round(performance.now()), one.textContent]);
      }).observe(one, {childList: true, characterData: true, subtree: true});
    }""")
    made = send(visitor, scene, "POST", "/Users", a_user(f"second-{name}"))
    page.wait_for_function("() => window.told.length === 1")
    for title in ("Lead", "Head", "Chief"):
        operation = {"op": "replace", "path": "title", "value": title}
        send(visitor, scene, "PATCH", f"/Users/{made['id']}", {"schemas": [PATCH_URN], "Operations": [operation]})
        page.wait_for_timeout(1_300)
    page.wait_for_function("() => window.told.length === 2", timeout=2 * SELDOM * 1000)
    told = page.evaluate("() => window.told")
    assert [words for _at, words in told] == [
        "2 of 10 have arrived and were taken in. Last: create, applied.",
        "3 of 10 have arrived and were taken in. Last: change, applied.",
    ]
    # The page's own clock ran a moment before the observer was asked: a twentieth of a second is no haste.
    assert told[1][0] - told[0][0] >= SELDOM * 1000 - 50
    assert page.locator("[role=status]").first.get_attribute("aria-live") in {None, "polite"}
    assert visitor.complaints == []


def test_the_part_rests_while_somebody_reads_a_link_in_it(visitor: Visitor, scene: Scene) -> None:
    visitor.open(scene.path("system-test"))
    page = visitor.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    page.locator("table.test a").first.focus()
    page.get_by_text("Live list: resting while you are in it.").wait_for()
    asked.clear()
    page.wait_for_timeout(2_300)
    assert asked == []
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_timeout(2_300)
    assert asked
    assert visitor.complaints == []


def test_without_scripts_a_link_looks_again(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene
) -> None:
    visitor = browser_page(storage_state=sessions(ADMINISTRATOR), java_script_enabled=False)
    begun(visitor, scene)
    send(visitor, scene, "GET", "/ServiceProviderConfig")
    link = visitor.page.get_by_role("link", name="Look again")
    assert link.is_visible()
    link.click()
    assert "1 of 10 have arrived" in visitor.page.locator(".sentence").inner_text()


def test_a_name_is_copied_by_keys_alone(visitor: Visitor, scene: Scene) -> None:
    name = begun(visitor, scene)
    page = visitor.page
    page.get_by_role("button", name="Copy Test user name").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copied Test user name").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == name
    assert visitor.complaints == []


def test_a_token_is_gone_from_the_page_when_its_reader_has_left(visitor: Visitor, scene: Scene) -> None:
    visitor.open(scene.path("system-token") + "?idp=entra", width=PHONE)
    page = visitor.page
    page.get_by_label("Label").fill("second")
    page.get_by_label("Reason").fill("CHG-77")
    page.get_by_role("button", name="Make 1 token").click()
    page.get_by_text("Copy into Microsoft Entra ID").wait_for()
    (text,) = set(TOKEN.findall(page.content()))
    assert visitor.violations() == []
    assert visitor.overflow() == []
    page.get_by_role("link", name="I have copied it: test it").click()
    page.wait_for_url("**/test/?idp=entra&since=*")
    assert text not in page.content()
    kept = page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert text not in kept
    # The answer to a POST that must not be stored: the browser has nothing to go back to, and asks for nothing by itself.
    # Asked for a moment later: a page that is left while it answers has no answer.
    page.evaluate("() => { setTimeout(() => history.back(), 0) }")
    page.wait_for_timeout(1_500)
    assert text not in page.content()
