"""The page *Nights*, and a site that follows what the nights publish."""

from __future__ import annotations

import shutil

import pytest

from mfdask.app.for_you import ForYou
from mfdask.app.nights import Nights
from mfdask.app.pages import pages_of
from mfdask.app.site import Site
from mfdask.nightly import journal
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current, published_version, releases, remove
from tests.app.serving import page_at, served
from tests.app.test_frame import answer_to
from tests.app.test_in_browser import check_quiet
from tests.app.test_tables import cells
from tests.nightly.conftest import Nights as Home
from tests.nightly.conftest import ratings  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def home(ratings, client, tmp_path_factory):  # noqa: F811
    """Return a home of two published nights, and one whose candidate is refused."""
    made = Home(tmp_path_factory.mktemp("nights-of-app"), ratings, client)
    for name, begin, end in (("a.csv", 0, 9000), ("b.csv", 9000, 12000)):
        made.arrive(name, begin, end)
        made.run()
    made.arrive("c.csv", 12000, 15000)
    made.run(gate={"max_rmse": 0.01})
    return made


def test_the_page(home):
    site = Site(home=home.home)
    page = page_at(Nights, site)
    assert page.notice.text == ""
    runs = cells(page.tables["runs"]._html.text)
    lines = journal.read(home.home.journal)
    assert [line[0] for line in runs] == [str(line["run"]) for line in reversed(lines)]
    assert [line[2] for line in runs] == ["refused", "published", "published"]
    assert runs[1][6] == "1"  # files taken
    shown = cells(page.tables["releases"]._html.text)
    assert [line[1] for line in shown] == ["refused", "published", ""]
    assert "held out" in page.compared.text
    assert {card.name for card in page.cards} >= {"history-rmse", "steps", "checks"}
    first, second = (choice.value for choice in page.choices.values())
    assert first < second
    page.choices["first"].value = page.choices["second"].value
    assert page.notice.text == ""
    assert f"first={second}" in page.query.value
    assert page_at(Nights, site, page.query.value).compared.text == page.compared.text
    site.close()


def test_a_new_release_is_shown_and_the_one_shown_is_kept(home, tmp_path):
    folder = tmp_path / "home"
    shutil.copytree(home.home.root, folder, symlinks=True)
    own = type(home.home)(folder)
    site = Site(home=own)
    before = site.now()
    published = current(own)
    assert before.version == published.version
    assert not remove(published)  # it is held
    old_page = page_at(ForYou, site)
    other = next(one for one in releases(own.models) if one.version != published.version)
    link = own.models / "current"
    link.unlink()
    link.symlink_to(other.version)
    after = site.now()
    assert after.version == other.version
    assert site.now() is after
    assert page_at(ForYou, site).notice.text == ""
    assert remove(published)  # no more held; a page of before says what is missing
    user = before.models["model"].users["user_id"].tolist()[0]
    old_page.known.value = str(user)
    assert "the file is missing" in old_page.notice.text
    assert "load the page again" in old_page.notice.text
    site.close()


def test_a_home_without_anything(tmp_path):
    assert pages_of(Site()) == []
    assert "give home" in page_at(Nights, Site()).notice.text
    page = page_at(Nights, Site(home=NightlyPaths(tmp_path)))
    assert page.notice.text == ""
    assert "There are no releases yet" in page.compared.text


@pytest.fixture
def own_home(home, tmp_path):
    """Return a home of its own to publish in: two releases, and a refused candidate."""
    shutil.copytree(home.home.root, tmp_path / "home", symlinks=True)
    return NightlyPaths(tmp_path / "home")


def test_nothing_is_published_unless_it_is_allowed(own_home):
    page = page_at(Nights, Site(home=own_home))
    before = published_version(own_home)
    assert "publish" not in {card.name for card in page.cards}
    other = next(one.version for one in releases(own_home.models) if one.version != before)
    for said in ({"do": "promote-ask"}, {"do": "publish-yes", "version": other}):
        page.act(said)
    assert published_version(own_home) == before


def test_publishing_asks_first(own_home):
    page = page_at(Nights, Site(home=own_home, allow_promote=True))
    before = published_version(own_home)
    older = next(one.version for one in releases(own_home.models) if one.version != before)
    (candidate,) = (one.version for one in releases(own_home.candidates))
    page.act({"do": "publish-yes", "version": older})
    assert "was not asked here" in page.notice.text
    assert published_version(own_home) == before
    assert set(page.publishing.choice.options) == {older, candidate}
    page.publishing.choice.value = candidate
    page.act({"do": "promote-ask"})
    assert "The gate has refused it." in page.publishing._html.text
    page.act({"do": "publish-no"})
    assert published_version(own_home) == before
    page.act({"do": "promote-ask"})
    page.act({"do": "publish-yes", "version": older})  # of another question
    assert published_version(own_home) == before
    page.act({"do": "publish-yes", "version": candidate})
    assert published_version(own_home) == candidate
    assert candidate in page.facts.text
    assert "published" in cells(page.tables["releases"]._html.text)[0]
    page.act({"do": "rollback-ask"})
    page.act({"do": "publish-yes", "version": before})
    assert published_version(own_home) == before
    assert page.notice.text == ""
    with own_home.alone():
        page.act({"do": "rollback-ask"})
        page.act({"do": "publish-yes", "version": older})
        assert "another night is running" in page.notice.text
    assert published_version(own_home) == before


def test_publishing_by_clicks(own_home, browser):
    site = Site(home=own_home, allow_promote=True)
    before = published_version(own_home)
    older = next(one.version for one in releases(own_home.models) if one.version != before)
    with served(site) as url:
        assert answer_to(f"{url}/nights", Origin="http://evil.org")[0] == 403
        assert answer_to(f"{url}/nights/ws", Origin="http://evil.org")[0] == 403
        browser.open(f"{url}/nights")
        browser.click("button[data-do='rollback-ask']")
        browser.wait_for(f"Publish {older} in place of {before}?")
        assert published_version(own_home) == before
        browser.click("button[data-do='publish-yes']")
        browser.wait_for("(() => true)()")
        browser.wait_for("Roll back to the one before…")
        assert published_version(own_home) == older
        check_quiet(browser, url)
    site.close()
