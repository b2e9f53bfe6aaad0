"""Reports by reader as they are seen, in a headless Chromium where one is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.figures import theme
from mfdask.nightly import journal
from mfdask.nightly.paths import NightlyPaths
from mfdask.report.browser import find_browser
from mfdask.report.inputs import Inputs
from mfdask.report.page import write_page
from mfdask.report.readers.sections import READERS, sections_for
from mfdask.report.report import figures_of
from tests.report.chromium import WALK, Chromium

try:
    find_browser()
except InputError as error:
    pytest.skip(str(error), allow_module_level=True)

_PAPER = "getComputedStyle(document.body).backgroundColor"
#: The height of the highest line of any table, in pixels.
_HIGHEST = f"""(() => {{ {WALK}
  let most = 0;
  walk(document, (element) => {{
    if (element.tagName === "TR") most = Math.max(most, element.getBoundingClientRect().height);
  }});
  return most;
}})()"""


@pytest.fixture(scope="module")
def tables(data, tmp_path_factory):
    """Return a folder with tables of suspects, of churn and value, and of a night."""
    folder = tmp_path_factory.mktemp("tables")
    users, items = data.users()["user_id"][:40], data.items()
    reason = "active on 15 days (+0.08); last active 3 days ago (-0.13); first active 1,029 ago"
    churn = pd.DataFrame({"user_id": users, "p_churn": np.linspace(0.95, 0.05, 40)})
    churn["risk"] = ["high"] * 10 + ["medium"] * 10 + ["low"] * 20
    churn["reason"] = reason
    churn["suggested_titles"] = ["A long title, The (1999); another one (2001)", None] * 20
    churn.assign(scored_by="logistic, rfm").to_parquet(folder / "churn.parquet")
    value = pd.DataFrame({"user_id": users, "expected_value": np.linspace(0, 9, 40)})
    value["segment"] = ["low"] * 20 + ["middle"] * 16 + ["high"] * 4
    value.to_parquet(folder / "ltv.parquet")
    tested = pd.DataFrame({"model": ["logistic", "boosting"], "features": "rfm"})
    tested = tested.assign(metric="roc_auc", value=[0.7, 0.9], low=0.6, high=0.8)
    tested.to_parquet(folder / "churn.evaluation.parquet")
    attacks = pd.DataFrame(
        {
            "entity": ["item", "user", "user"],
            "item_id": items["item_id"].iloc[[3, 3, 3]].array,
            "user_id": pd.array([None, users[1], users[2]], "Int64"),
            "title": "A film whose title is long, but not longer than others are (1998)",
            "direction": "push", "score": 38.5953, "prediction": 4.5, "prediction_cleaned": 3.25,
            "window_start": pd.Timestamp("2000-01-01", tz="UTC"),
            "window_end": pd.Timestamp("2020-01-08", tz="UTC"),
            "reason": "30 ratings of 4.5 or more for this item within 7 days from 2020-01-01",
        }
    )  # fmt: skip
    attacks.to_parquet(folder / "suspected_attacks.parquet")
    group = {"group": [1], "n_members": [2], "n_targets": [1], "direction": ["push"], "moved": 1.5}
    pd.DataFrame(group).to_parquet(folder / "attack_groups.parquet")
    line = {
        "run": 1, "status": "refused", "reason": "RMSE is worse", "bad": {}, "files": ["a.csv"],
        "version": "000001-20260102T030405Z", "ended": "2026-01-02T03:04:05+00:00",
        "seconds": {"grow": 1.0, "train": 2.0, "gate": 1.5}, "memory_bytes": {"train": 3 << 20},
        "intake": {"read": 7},
        "scores": [{"slice": "held out", "candidate": 0.9, "published": 0.8, "metric": "RMSE"}],
    }  # fmt: skip
    journal.append(NightlyPaths(folder).journal, line)
    return folder


@pytest.fixture(scope="module")
def browser():
    with Chromium() as browser:
        yield browser


@pytest.mark.parametrize("reader", READERS)
def test_a_report_fits_and_is_quiet(reader, data, models, tables, browser, tmp_path):
    given = Inputs(
        models={"als": models["als"]},
        anomalies=tables,
        churn=tables / "churn.parquet",
        ltv=tables / "ltv.parquet",
        home=NightlyPaths(tables),
    )
    sections = list(sections_for(reader, data, given))
    write_page(tmp_path / "r.html", reader, [], sections)
    browser.errors.clear()
    browser.requests.clear()
    browser.open(tmp_path / "r.html")
    grounds = (("light", theme.LIGHT), ("dark", theme.DARK))
    for width, (ground, colours) in itertools.product((1400, 420), grounds):
        browser.resize(width, 900)
        browser.prefer(ground)
        browser.wait_for(f"(document.documentElement.scrollWidth <= {width})")
        red, green, blue = (int(colours["page"][k : k + 2], 16) for k in (1, 3, 5))
        assert browser.run(_PAPER) == f"rgb({red}, {green}, {blue})"
        assert browser.cut() == []
        assert browser.run(_HIGHEST) < 200  # a column of one word a line is not read
    assert browser.errors == []
    asked = [url for url in browser.requests if not url.startswith(("data:", "blob:"))]
    assert asked == [(tmp_path / "r.html").absolute().as_uri()]
    ink = browser.ink()  # reading pixels back is complained of: last
    assert set(ink) == {figure.name for figure in figures_of(sections)}
    assert min(ink.values()) > 0, ink
