"""Pages as a reader sees and uses them, in a headless Chromium."""

from __future__ import annotations

import itertools

import pytest

from mfdask.app.pages import pages_of
from mfdask.figures import theme
from tests.app.serving import served
from tests.report.hostile import SCRIPT

_WIDTH = "[document.documentElement.scrollWidth, innerWidth]"
_FITS = "(() => document.documentElement.scrollWidth <= innerWidth)()"
_PAPER = "(() => getComputedStyle(document.body).backgroundColor)()"
_FOCUS = """(() => {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  return `${found.tagName} ${found.dataset.item ?? ""} ${found.dataset.rating ?? ""}`;
})()"""

_WIDER = """(() => {
  const found = [];
  const walk = (root) => root.querySelectorAll("*").forEach((part) => {
    const room = part.closest(".toggles, td, svg");
    if (part.tagName === "BUTTON" && room && part.offsetWidth > room.clientWidth + 1)
      found.push(part.textContent.slice(0, 40));
    if (part.shadowRoot) walk(part.shadowRoot);
  });
  walk(document);
  return found;
})()"""


def check_quiet(browser, url):
    """Check that nothing was complained of, and nobody else was asked."""
    assert browser.errors == []
    here = url.removeprefix("http")
    others = [u for u in browser.requests if not u.startswith(("data:", "blob:", f"http{here}"))]
    assert others == []


@pytest.fixture(scope="module")
def address(movielens_site):
    with served(movielens_site) as url:
        yield url


def test_every_page_fits_in_light_and_dark(address, movielens_site, browser):
    grounds = (("light", theme.LIGHT, 1400), ("dark", theme.DARK, 420))
    for page in pages_of(movielens_site):
        browser.open(f"{address}/{page.path}")
        for ground, colours, width in grounds:
            browser.resize(width, 900)
            browser.prefer(ground)
            red, green, blue = (int(colours["page"][k : k + 2], 16) for k in (1, 3, 5))
            assert browser.run(_PAPER) == f"rgb({red}, {green}, {blue})"
            wide, room = browser.run(_WIDTH)
            assert wide <= room, (page.path, width)
    check_quiet(browser, address)


def test_typing_and_rating(address, browser):
    browser.open(f"{address}/for-you?least=20")
    browser.click("input[type=text]")
    browser.write("toy st")
    browser.wait_for("(() => location.search.includes('q=toy+st'))()")
    browser.click("button.star[data-item='1'][data-rating='5']")
    browser.wait_for("because of Toy Story (1995)")
    browser.wait_for("(() => location.search.includes('rated=1%3A5'))()")
    before = browser.text()
    browser.open(browser.run("location.href"))
    browser.wait_for("because of Toy Story (1995)")
    ranked = [line for line in before.split("\n") if line.startswith("because of")]
    assert ranked == [line for line in browser.text().split("\n") if line.startswith("because of")]
    browser.click("button[data-name='Horror']")
    browser.wait_for("(() => location.search.includes('genre=Horror'))()")
    check_quiet(browser, address)


def test_by_the_keyboard_alone(address, browser):
    browser.open(f"{address}/for-you")
    for _ in range(30):
        browser.press("Tab")
        if browser.run(_FOCUS).startswith("INPUT"):
            break
    browser.write("matrix, the")
    browser.wait_for("(() => location.search.endsWith('q=matrix%2C+the'))()")
    browser.press("Tab")
    browser.wait_for(f"({_FOCUS} === 'BUTTON 2571 1')")
    for _ in range(4):
        browser.press("Tab")
    browser.press("Enter")
    browser.wait_for("because of Matrix, The (1999)")
    browser.wait_for(f"({_FOCUS} === 'BUTTON 2571 5')")  # whoever goes on keeps their place
    check_quiet(browser, address)


def test_hostile_titles_are_shown_as_they_are(hostile_site, browser):
    with served(hostile_site) as url:
        for page in pages_of(hostile_site):
            browser.open(f"{url}/{page.path}")
            assert "taken" not in browser.run("document.title")
            for width in (1400, 420):
                browser.resize(width, 900)
                browser.wait_for(_FITS)  # a figure follows the window when it is next drawn
                assert browser.run(_WIDER) == [], (page.path, width)
        browser.open(f"{url}/for-you")
        assert SCRIPT in browser.text()
        browser.click("button.star")
        browser.wait_for("You have rated:")
        assert browser.run("document.title").startswith("For you")
        check_quiet(browser, url)


def test_tables_of_a_night_by_clicks(home_site, browser):
    with served(home_site) as url:
        for page in pages_of(home_site):
            browser.resize(420, 900)
            browser.open(f"{url}/{page.path}")
            wide, room = browser.run(_WIDTH)
            assert wide <= room, page.path
        browser.resize(1400, 1000)
        browser.open(f"{url}/customers")
        browser.click("button[data-column='score']")
        browser.wait_for("(() => location.search.includes('lines-sort=score'))()")
        browser.click("button[data-do='lines-pick']")
        browser.wait_for("(() => location.search.includes('chosen=user'))()")
        browser.click("button[data-do='lines-leaf'][data-first='15']")
        browser.wait_for("16 to 30 of 40 lines")
        browser.click("button[data-do='band'][data-band='high']")
        browser.wait_for("1 to 10 of 10 lines")
        browser.wait_for("(() => location.search.includes('lines-where=risk'))()")
        check_quiet(browser, url)


def test_groups_and_bands_by_clicks(more_tables, browser):
    with served(more_tables) as url:
        for width, ground in itertools.product((1400, 420), ("light", "dark")):
            browser.resize(width, 900)
            browser.prefer(ground)
            browser.open(f"{url}/suspects")
            browser.click("button[data-do='lines-pick']")
            browser.wait_for("Group 7: 150 accounts")
            wide, room = browser.run(_WIDTH)
            assert wide <= room, width
            browser.open(f"{url}/customers")
            assert browser.ink()["bands"] > 50
            assert browser.cut() == []
            browser.click("button[data-do='band'][data-band='medium']")
            browser.wait_for("1 to 5 of 5 lines")
            browser.click("button[data-do='band'][data-band='medium']")
            browser.wait_for("1 to 15 of 30 lines")
            wide, room = browser.run(_WIDTH)
            assert wide <= room, width
        check_quiet(browser, url)


def test_a_server_that_has_gone_is_said(small_site, browser):
    with served(small_site) as url:
        browser.open(f"{url}/for-you")
    browser.wait_for("(document.documentElement.classList.contains('silent'))")


def test_the_map_by_clicks(address, browser):
    browser.open(f"{address}/map")
    browser.click("button[data-by='0.6']")
    browser.wait_for("(() => location.search.includes('view='))()")
    browser.click("input[type=text]")
    browser.write("toy st")
    browser.wait_for("(() => location.search.includes('q=toy+st'))()")
    browser.click("button[data-item='1']")
    browser.wait_for("(() => location.search.includes('item=1'))()")
    browser.wait_for("Most like it")
    check_quiet(browser, address)


def test_genres_of_a_new_item(address, browser):
    browser.open(f"{address}/new-item")
    browser.click("button[data-name='Horror']")
    browser.wait_for("(() => location.search.includes('Horror'))()")
    browser.wait_for("stars on average over 610 users")
    check_quiet(browser, address)


def test_a_slider_is_dragged(address, browser):
    browser.open(f"{address}/for-you?rated=1:5")
    browser.wait_for("because of Toy Story (1995)")
    before = browser.text()
    browser.drag(".noUi-handle", 120)
    browser.wait_for("(() => /least=|variety=|weight=/.test(location.search))()")
    dragged = browser.run("location.search")
    browser.wait_for("because of Toy Story (1995)")
    assert browser.text() != before
    browser.open(f"{address}/for-you{dragged}")
    assert browser.run("location.search") == dragged
    check_quiet(browser, address)
