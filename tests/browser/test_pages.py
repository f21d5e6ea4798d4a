"""Every page, as a person meets it: it loads without complaint, reads for everybody, and fits from desktop to phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import DESKTOP, NARROW, PHONE, THEMES, Visitor
from tests.browser.scene import LOGINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.scene import Scene

# `django_db` makes the database; nothing here asks it: the pages do, in the threads of their server.
pytestmark = [pytest.mark.browser, pytest.mark.django_db]

SECURITY, OWNER, AUDITOR, ADMINISTRATOR = (
    LOGINS[one] for one in ("second security", "owner", "auditor", "administrator")
)

# What the navigation shows to security, with its addresses below the tenant.
NAVIGATION = {
    "Roll": "/admin/",
    "Accounts": "/admin/accounts/",
    "Findings": "/admin/findings/",
    "Systems": "/admin/systems/",
    "Freshness": "/admin/freshness/",
    "Runs": "/admin/runs/",
    "Plans": "/admin/plans/",
    "Approvals": "/admin/approvals/",
    "Campaigns": "/admin/campaigns/",
    "Ledger": "/admin/ledger/",
    "People": "/admin/people/",
    "Records": "/admin/records/",
    "My accounts": "/my/",
}
# Login, and the address below the tenant or the name of a page of the scene.
INSIDE = [
    *[(SECURITY, path) for path in NAVIGATION.values()],
    (SECURITY, "account"),
    (SECURITY, "account-active"),
    (SECURITY, "account-suspend"),
    (SECURITY, "account-end"),
    (SECURITY, "account-offer"),
    (SECURITY, "finding"),
    (SECURITY, "run"),
    (SECURITY, "plan"),
    (SECURITY, "plan-of-one"),
    (SECURITY, "approval"),
    (SECURITY, "approval-yes"),
    (SECURITY, "campaign"),
    (SECURITY, "/admin/campaigns/new/"),
    (SECURITY, "exchange"),
    (SECURITY, "/admin/records/accounts/account/"),
    (SECURITY, "/admin/accounts/?q=nobody-of-that-name"),
    (ADMINISTRATOR, "system"),
    (ADMINISTRATOR, "system-test"),
    (ADMINISTRATOR, "/admin/systems/new/"),
    (ADMINISTRATOR, "/admin/systems/?show=ended"),
    (ADMINISTRATOR, "system-token"),
    (ADMINISTRATOR, "system-connection"),
    (ADMINISTRATOR, "system-rule"),
    (ADMINISTRATOR, "/admin/authority/"),
    (AUDITOR, "/admin/league/"),
    (AUDITOR, "/admin/certificates/"),
    (ADMINISTRATOR, "/admin/authority/rules/"),
    (ADMINISTRATOR, "system-files"),
    (ADMINISTRATOR, "system-policy"),
    (ADMINISTRATOR, "system-exception"),
    (ADMINISTRATOR, "system-administrator"),
    (ADMINISTRATOR, "person"),
    (ADMINISTRATOR, "/admin/people/invite/"),
    (OWNER, "/my/"),
    (OWNER, "review"),
    (OWNER, "review-end"),
    (AUDITOR, "/admin/"),
    (AUDITOR, "account"),
]
OUTSIDE = [
    (None, "/login/", 200),
    (None, "/password/reset/", 200),
    (SECURITY, "/?choose", 200),
    (SECURITY, "/password/change/", 200),
    (SECURITY, "/t/larkfield/admin/no-such-page/", 404),
    (OWNER, "/t/larkfield/admin/", 403),
]


def _measured(visitor: Visitor, path: str, *, status: int = 200) -> str:
    """What is wrong with a page, a line each: in both themes, on a desktop and a phone, and whether it fits 320 px."""
    wrong: list[str] = []
    for theme in THEMES:
        found = visitor.open(path, theme=theme)
        if found != status:
            wrong.append(f"status {found}")
        for width in (DESKTOP, PHONE, NARROW):
            visitor.resize(width)
            if width != NARROW:
                wrong += [f"{theme} {width}: axe {one}" for one in visitor.violations()]
            wrong += [f"{theme} {width}: overflow {one}" for one in visitor.overflow()]
    # The browser itself remarks on the status of the page.
    expected = f"the server responded with a status of {status} "
    wrong += [one for one in visitor.complaints if status == 200 or expected not in one]
    return "\n".join(wrong)


def test_a_person_signs_in_and_out_by_the_page(browser_page: Callable[..., Visitor], scene: Scene) -> None:
    visitor = browser_page(LOGINS["security"])
    assert visitor.page.url == f"{visitor.server}/t/{scene.slug}/admin/"
    assert visitor.page.get_by_role("heading", level=1).inner_text() == "Is the roll complete?"
    visitor.page.locator("details.menu summary").click()
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url(f"{visitor.server}/login/")
    assert visitor.open(f"/t/{scene.slug}/admin/") == 200
    assert visitor.page.url == f"{visitor.server}/login/?next=/t/{scene.slug}/admin/"
    assert visitor.complaints == []


def test_a_wrong_password_is_said_and_opens_nothing(browser_page: Callable[..., Visitor], scene: Scene) -> None:
    visitor = browser_page()
    visitor.open("/login/")
    visitor.page.get_by_label("Sign-in name").fill("nobody.here")
    visitor.page.get_by_label("Password").fill("not the password")
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.get_by_text("Name and password do not belong together").first.wait_for()
    assert visitor.page.url.startswith(f"{visitor.server}/login/")
    assert visitor.violations() == []
    assert visitor.open(f"/t/{scene.slug}/admin/") == 200
    assert "/login/" in visitor.page.url


def test_the_pages_are_served_under_the_role_that_row_level_security_binds(
    browser_page: Callable[..., Visitor],
) -> None:
    visitor = browser_page()
    assert visitor.open("/readyz") == 200
    assert visitor.page.evaluate("() => JSON.parse(document.body.innerText).checks.database") == "ok"


@pytest.mark.parametrize(
    ("login", "shown"),
    [
        (SECURITY, list(NAVIGATION)),
        (AUDITOR, [one for one in NAVIGATION if one != "My accounts"]),
        (ADMINISTRATOR, list(NAVIGATION)),
        (OWNER, ["My accounts"]),
    ],
)
def test_the_navigation_shows_what_a_role_may_read(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene, login: str, shown: list[str]
) -> None:
    visitor = browser_page(storage_state=sessions(login))
    visitor.open(f"/t/{scene.slug}{NAVIGATION['My accounts' if login == OWNER else 'Roll']}")
    entries = visitor.page.locator("nav.side a")
    assert entries.all_inner_texts() == shown
    hrefs = [one.get_attribute("href") for one in entries.all()]
    assert hrefs == [f"/t/{scene.slug}{NAVIGATION[one]}" for one in shown]


@pytest.mark.parametrize(("login", "where"), INSIDE)
def test_a_page_of_a_tenant_reads_for_everybody_and_fits(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene, login: str, where: str
) -> None:
    visitor = browser_page(storage_state=sessions(login))
    path = scene.path(where) if where in scene.pages else f"/t/{scene.slug}{where}"
    wrong = _measured(visitor, path)
    assert wrong == "", wrong


@pytest.mark.parametrize(("login", "path", "status"), OUTSIDE)
def test_a_page_outside_of_the_tenants_pages_reads_for_everybody_and_fits(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], login: str | None, path: str, status: int
) -> None:
    visitor = browser_page(**({} if login is None else {"storage_state": sessions(login)}))
    wrong = _measured(visitor, path, status=status)
    assert wrong == "", wrong


def test_the_menu_of_pages_opens_on_a_phone_and_leads_on(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene
) -> None:
    visitor = browser_page(storage_state=sessions(SECURITY))
    visitor.open(f"/t/{scene.slug}/admin/", width=PHONE)
    menu = visitor.page.get_by_role("button", name="Pages")
    assert menu.get_attribute("aria-expanded") == "false"
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    assert visitor.violations() == []
    visitor.page.get_by_role("link", name="Accounts", exact=True).first.click()
    visitor.page.wait_for_url(f"**/t/{scene.slug}/admin/accounts/")
    assert visitor.complaints == []


def test_a_list_is_walked_by_keys_and_the_keys_can_be_switched_off(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene
) -> None:
    visitor = browser_page(storage_state=sessions(SECURITY))
    visitor.open(f"/t/{scene.slug}/admin/")
    visitor.page.keyboard.press("g")
    visitor.page.keyboard.press("a")
    visitor.page.wait_for_url(f"**/t/{scene.slug}/admin/accounts/")
    assert visitor.page.locator("table[data-rows]").count() == 1, "the list has no rows for the keys"
    visitor.page.keyboard.press("j")
    first = visitor.page.locator("table[data-rows] tbody tr").first.locator("a").first
    assert first.evaluate("(e) => e === document.activeElement")
    visitor.page.keyboard.press("?")
    assert visitor.page.locator("dialog#help").is_visible()
    assert visitor.violations() == []
    visitor.page.get_by_label("Keys are on").uncheck()
    visitor.page.get_by_role("button", name="Close").click()
    before = visitor.page.url
    visitor.page.keyboard.press("g")
    visitor.page.keyboard.press("f")
    visitor.page.wait_for_timeout(300)
    assert visitor.page.url == before
    assert visitor.complaints == []


def test_a_page_is_worked_by_keys_alone(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene
) -> None:
    visitor = browser_page(storage_state=sessions(SECURITY))
    page = visitor.page

    def focused(script: str) -> Any:
        return page.evaluate(f"() => {{ const e = document.activeElement; return {script}; }}")

    visitor.open(f"/t/{scene.slug}/admin/accounts/")
    # The first stop leads past the navigation, and is seen when it is reached.
    page.keyboard.press("Tab")
    assert focused("e.className") == "skip"
    assert focused("e.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused("document.getElementById('main').contains(e)")
    page.keyboard.press("Escape")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("/")
    assert focused("e.id") == "q"
    # Typed in a field, a key is a letter.
    page.keyboard.type("svc-b?jk")
    assert page.locator("#q").input_value() == "svc-b?jk"
    assert not page.locator("dialog#help").is_visible()
    page.locator("#q").fill("svc-b")
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/accounts/?q=svc-b*")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = focused("e.textContent")
    assert first.startswith("svc-b")
    assert focused("getComputedStyle(e.closest('tr')).outlineStyle") == "solid"
    page.keyboard.press("o")
    page.wait_for_url("**/admin/accounts/*-*/")
    for key, part in (("h", "timeline"), ("w", "why")):
        page.keyboard.press(key)
        assert focused("e.id") == part
    page.keyboard.press(".")
    assert focused("e.closest('.verbs') !== null")
    # The heading of what is asked is the first thing read; nothing was changed by a key.
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/admin/findings/")
    assert visitor.complaints == []


def test_the_live_list_rests_while_somebody_is_in_it_and_says_so(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene
) -> None:
    visitor = browser_page(storage_state=sessions(ADMINISTRATOR))
    visitor.open(scene.path("system"))
    page = visitor.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    page.locator("[data-live-url] a").first.focus()
    page.get_by_text("Live list: resting while you are in it.").wait_for()
    assert asked == []
    page.evaluate("() => document.activeElement.blur()")
    page.wait_for_timeout(2_600)
    assert len(asked) >= 1
    assert page.get_by_text("resting while you are in it").count() == 0
    assert visitor.complaints == []


# What is drawn of a table's cells, in whole pixels: the first line of text of each.
_BASELINES = """() => [...document.querySelectorAll("main table tbody tr")].map((row) => [...row.children].map((cell) => {
  const range = document.createRange(), walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    // A button is drawn around its words, and a screen reader's words are not drawn at all.
    if (!node.data.trim() || node.parentElement.closest("button, .button, .hidden-words, svg, code, b")) continue;
    range.selectNodeContents(node);
    const box = range.getClientRects()[0], size = parseFloat(getComputedStyle(node.parentElement).fontSize);
    // The baseline of a line of one font: its bottom, less what hangs below.
    return box.bottom - 0.212 * size;
  }
  return null;
}).filter((bottom) => bottom !== null)).map((line) => Math.round(Math.max(...line) - Math.min(...line)))"""


@pytest.mark.parametrize(
    "where",
    [
        "/admin/",
        "/admin/accounts/",
        "/admin/findings/",
        "/admin/runs/",
        "/admin/ledger/",
        "/admin/systems/",
        "campaign",
    ],
)
def test_what_stands_in_one_row_stands_on_one_line(
    browser_page: Callable[..., Visitor], sessions: Callable[[str], Any], scene: Scene, where: str
) -> None:
    visitor = browser_page(storage_state=sessions(SECURITY))
    visitor.open(scene.path(where) if where in scene.pages else f"/t/{scene.slug}{where}")
    off = visitor.page.evaluate(_BASELINES)
    assert len(off) > 1
    assert max(off) <= 1, off
