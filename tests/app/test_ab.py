"""The page *A/B*, without a browser."""

from __future__ import annotations

import pytest

from mfdask.app.ab import AB
from mfdask.app.site import Shown, Site
from mfdask.evaluation.abtest import ABOptions, compare_by_clicks
from mfdask.evaluation.click_test import ClickModel
from tests.app.serving import page_at


def test_it_shows_what_is_measured(small_site):
    page = page_at(AB, small_site, "a=ranks&b=stars&days=7&lift=10")
    assert page.notice.text == ""
    shown = small_site.fixed
    wanted = compare_by_clicks(
        (shown.models["ranks"], shown.models["stars"]),
        shown.data,
        ABOptions(n_users=2000, lift=0.1),
        ClickModel(days=7),
    )
    assert page.daily.table().equals(wanted.daily)
    assert page.decided.table().equals(wanted.decided)
    assert f"{wanted.rates[0]:.2%} with ranks" in page.test.text
    assert page.query.value == ""  # nothing has been done yet
    page.swap._trigger_event(_clicked(page))
    assert "seed=43" in page.query.value
    assert "a=ranks&b=stars" in page.query.value
    again = page_at(AB, small_site, page.query.value)
    assert again.daily.table().equals(page.daily.table())
    assert not page.daily.table().equals(wanted.daily)


def _clicked(page):
    from bokeh.events import ButtonClick

    return ButtonClick(page.swap)


@pytest.mark.parametrize("lacking", ["models", "data"])
def test_what_it_lacks(small_site, lacking):
    shown = small_site.fixed
    models = dict(list(shown.models.items())[: 1 if lacking == "models" else 2])
    page = page_at(AB, Site(Shown(models, shown.data if lacking == "models" else None)))
    assert {"models": "two models are needed", "data": "data set is needed"}[lacking] in (
        page.notice.text.replace("&#x27;", "'")
    )
