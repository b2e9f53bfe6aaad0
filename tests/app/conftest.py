"""Sites to look at."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from mfdask.app.site import Shown, Site
from mfdask.errors import InputError
from mfdask.models import ALS, BPR, IALS, save_model
from mfdask.nightly import journal
from mfdask.nightly.paths import NightlyPaths, write_json
from mfdask.nightly.registry import admit, publish
from mfdask.report.browser import find_browser
from mfdask.shards import Dataset
from tests.report.chromium import Chromium
from tests.report.hostile import hostile_data


@pytest.fixture(scope="session")
def small_site(small_data):
    """Return a site of three models of the small data set; it has no titles of people's own."""
    data = Dataset.open(small_data)
    models = {
        "stars": ALS(n_factors=4, n_sweeps=3).fit(data),
        "ranks": IALS(n_factors=4, n_sweeps=3).fit(data),
        "pairs": BPR(n_factors=4, n_sweeps=2).fit(data),
    }
    return Site(Shown(models, data))


@pytest.fixture(scope="session")
def hostile_site(client, tmp_path_factory):
    """Return a site whose titles, ids and genres try to be anything but text."""
    data = hostile_data(client, tmp_path_factory.mktemp("hostile-app"))
    return Site(Shown({"<b>als</b>": ALS(n_factors=2, n_sweeps=2).fit(data)}, data))


@pytest.fixture(scope="session")
def movielens_site(movielens_small):
    """Return a site of real ratings."""
    models = {
        "genre": ALS(n_factors=10, n_sweeps=5, item_prior="genre").fit(movielens_small),
        "ials": IALS(n_factors=10, n_sweeps=3).fit(movielens_small),
    }
    return Site(Shown(models, movielens_small))


@pytest.fixture(scope="session")
def small_models(small_site, tmp_path_factory):
    """Return the folders of the first two models of the small site."""
    folder = tmp_path_factory.mktemp("models-of-app")
    for name in ("stars", "ranks"):
        save_model(small_site.fixed.models[name], folder / name)
    return [folder / "stars", folder / "ranks"]


@pytest.fixture(scope="module")
def one_browser():
    """Return a page in a browser, where there is one."""
    try:
        find_browser()
    except InputError as error:
        pytest.skip(str(error))
    with Chromium() as browser:
        yield browser


@pytest.fixture
def browser(one_browser):
    """Return a page in a browser that has seen nothing yet."""
    one_browser.resize(1400, 1000)
    one_browser.prefer("light")
    one_browser.call("Page.navigate", url="about:blank")
    one_browser.errors.clear()
    one_browser.requests.clear()
    return one_browser


@pytest.fixture(scope="module")
def home_site(small_data, small_site, tmp_path_factory):
    """Return a site of a home with one published release and a table of customers."""
    home = NightlyPaths(tmp_path_factory.mktemp("home-of-app"))
    made = home.root / "made"
    save_model(small_site.fixed.models["stars"], made / "model")
    shutil.copytree(small_data, made / "data")
    facts = {
        "run": 1, "created": "2026-01-02T03:04:05+00:00", "before": None, "data_as_of": None,
        "ratings": 8126, "users": 300, "items": 200, "kind": "als", "sweeps": 3, "reasons": [],
        "files": ["a.csv"], "scores": [
            {"slice": "held out", "n": 9, "candidate": 0.9, "published": None, "metric": "RMSE"}
        ],
    }  # fmt: skip
    write_json(made / "release.json", facts)
    home.models.mkdir()
    admit(made, home.models, "000001")
    publish(home, "000001")
    users = small_site.fixed.data.users()["user_id"][:40]
    home.tables.mkdir()
    table = pd.DataFrame({"user_id": users, "event_timestamp": 0, "score": np.arange(40.0)})
    table["risk"] = np.where(table["score"] >= 30, "high", "low")
    table.to_parquet(home.tables / "churn.parquet")
    line = {
        "run": 1, "status": "published", "reason": "", "version": "000001", "ratings": 8126,
        "ended": facts["created"], "seconds": {"grow": 1.0, "train": 2.0},
        "memory_bytes": {"train": 10**8}, "files": ["a.csv"],
        "intake": {"read": 8126, "rejected": {"no rating": 2}, "duplicates": 0},
    }  # fmt: skip
    journal.append(home.journal, line)
    site = Site(home=home)
    yield site
    site.close()


@pytest.fixture(scope="session")
def more_tables(small_site, tmp_path_factory):
    """Return a site with a group of attackers, and tables of churn and of value."""
    folder = tmp_path_factory.mktemp("groups")
    data = small_site.fixed.data
    users, items = data.users()["user_id"], data.items()["item_id"]
    group = {"group": [7], "n_members": [3], "members": [users[:150].tolist()],
             "targets": [[items[3], items[5]]], "direction": ["push"]}  # fmt: skip
    pd.DataFrame(group).to_parquet(folder / "attack_groups.parquet")
    own = {"user_id": users[:30], "event_timestamp": pd.Timestamp("2020-01-01", tz="UTC")}
    churn = pd.DataFrame({**own, "p_churn": np.linspace(0.95, 0.05, 30), "reason": "r"})
    churn["risk"] = ["high"] * 10 + ["medium"] * 5 + ["low"] * 15
    churn.to_parquet(folder / "churn.parquet")
    value = pd.DataFrame({**own, "expected_value": np.arange(30.0), "segment": "middle"})
    value.to_parquet(folder / "ltv.parquet")
    suspects = tmp_path_factory.mktemp("suspects")
    (folder / "attack_groups.parquet").rename(suspects / "attack_groups.parquet")
    files = [folder / "churn.parquet", folder / "ltv.parquet"]
    return Site(small_site.fixed, None, suspects, files)
