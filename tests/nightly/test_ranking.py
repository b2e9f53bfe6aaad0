"""Nights that learn a model which ranks, alone or beside one that predicts ratings."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.models import load_model, save_model
from mfdask.nightly.config import GateConfig, NightlyConfig
from mfdask.nightly.gate import ModelWithData, judge
from mfdask.nightly.registry import current, roll_back
from mfdask.nightly.state import State
from mfdask.shards import Dataset

#: What is rated in made-up ratings goes by no order, so that the newest say no more than others.
RANKING = {"model": "ials", "factors": 4, "sweeps": 4, "recency-gain": 0}
LISTS = {
    "job": "recommend",
    "arguments": [
        "{ranking}", "--stars", "{model}", "--data", "{data}", "--out", "{tables}/lists",
        "--top", "3", "--min-ratings", "0",
    ],
}  # fmt: skip


@pytest.fixture
def begun(nights):
    """Return a home with a release of two models, and lists."""
    nights.arrive("first.csv", 0, 12_000)
    line = nights.run(ranking=RANKING, downstream=[LISTS])
    assert (line["status"], line["failed_jobs"]) == ("published", [])
    return nights


def test_two_models_in_one_night(begun):
    release = current(begun.home)
    assert (release.facts["kind"], release.facts["ranking"]["kind"]) == ("als", "ials")
    assert load_model(begun.home.root / "ranking").kind == "ials"
    lists = pd.read_parquet(begun.home.tables / "lists")
    assert lists["score"].between(-1, 2).all()
    assert lists["stars"].between(0.5, 5).all()
    assert (lists.groupby("user_id")["score"].diff().dropna() <= 0).all()
    assert "mfdask_nightly_ndcg" in (begun.home.root / "metrics.prom").read_text()


def test_the_next_night_is_judged_by_its_lists(begun):
    begun.arrive("second.csv", 12_000, 13_000)
    line = begun.run(ranking=RANKING)
    assert (line["status"], line["ranking"]["warm"]) == ("published", True)
    score = next(score for score in line["scores"] if score["metric"] == "NDCG@10")
    assert score["n"] > 100
    assert abs(score["candidate"] - score["published"]) < 0.1
    before = current(begun.home).facts["before"]
    assert roll_back(begun.home).version == before


def test_a_model_that_ranks_worse_is_refused(begun):
    release = current(begun.home)
    good, data = load_model(release.ranking), Dataset.open(release.data)
    upside_down = load_model(release.ranking)
    upside_down.item_rows[:, 2:] *= -1
    one, other = ModelWithData(good, data), ModelWithData(upside_down, data)
    verdict = judge(other, one, GateConfig())
    assert [reason for reason in verdict.reasons if reason.startswith("NDCG@10")]
    assert judge(one, other, GateConfig()).reasons == []
    assert judge(one, None, GateConfig()).reasons == []


def test_a_night_of_a_ranking_model_alone(nights):
    nights.arrive("first.csv", 0, 9_000)
    assert nights.run_with(RANKING)["status"] == "published"
    nights.arrive("second.csv", 9_000, 11_000)
    line = nights.run_with(RANKING)
    assert (line["status"], line["kind"]) == ("published", "ials")
    assert [score["metric"] for score in line["scores"]] == ["NDCG@10"]


def test_a_kill_between_the_two_models(begun, monkeypatch):
    """What was learned before is there, or is learned again: the night ends with both."""

    def killed(model, path):
        save_model(model, path)
        if path.name == "model":
            raise KeyboardInterrupt

    begun.arrive("second.csv", 12_000, 13_000)
    monkeypatch.setattr("mfdask.nightly.steps.save_model", killed)
    with pytest.raises(KeyboardInterrupt):
        begun.run(ranking=RANKING)
    assert "train" not in State.load(begun.home.state).done
    monkeypatch.undo()
    line = begun.run(ranking=RANKING)
    assert (line["status"], line["ranking"]["kind"]) == ("published", "ials")


def test_a_ranking_model_that_has_gone(begun):
    shutil.rmtree(current(begun.home).ranking)
    with pytest.raises(InputError, match=r"the published release is gone, or damaged"):
        current(begun.home)


def test_a_second_model_without_sweeps(nights):
    nights.arrive("first.csv", 0, 12_000)
    line = nights.run(ranking={"model": "itemknn", "preset": "small", "liked": "all"})
    assert (line["status"], line["ranking"]["kind"]) == ("published", "itemknn")
    assert load_model(current(nights.home).ranking).parameters["liked"] is None


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"ranking": {"model": "als"}}, r"ranking\.model: a model of kind als predicts ratings"),
        ({"ranking": RANKING, "training": {"model": "ials"}}, "ranks already; leave it out"),
        ({"ranking": {"model": "ials", "facts": 3}}, r"ranking\.facts: no such key"),
    ],
)
def test_what_cannot_be_meant(nights, tables, words):
    with pytest.raises(InputError, match=words):
        NightlyConfig.of({"home": "home", **tables}, nights.folder)
