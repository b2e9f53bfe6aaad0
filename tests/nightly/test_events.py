"""Nights that take in logs without ratings, and ratings with weights."""

from __future__ import annotations

import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.nightly.config import DataConfig, NightlyConfig
from mfdask.nightly.settings import build
from mfdask.nightly.update import DataUpdate
from mfdask.progress import silent
from mfdask.shards import Dataset
from tests.shards.oracle import ratings_of


def test_events_are_added_up(tmp_path):
    said = {"columns": {"user": "who", "item": "what"}, "split": "random:0.3"}
    config = build(DataConfig, said, "data.")
    begin = None
    for night, rows in enumerate(["a,x\na,x\nb,y\nc,x\n", "a,x\nd,y\n"]):
        file, target = tmp_path / f"{night}.csv", tmp_path / f"data-{night}"
        file.write_text("who,what\n" + rows)
        growth = DataUpdate(begin, target, [file], config, pytest.fail, silent)
        assert growth.grow(), growth.bad
        begin = target
    data = Dataset.open(target, verify=True)
    assert (data.feedback, data.rating_max, data.manifest.counts.kept) == ("counts", 3.0, 4)


def test_words(tmp_path):
    said = {"map": {"view": 1, "buy": 5.5}, "columns": {"rating": "event"}, "repeats": "latest"}
    (tmp_path / "l.csv").write_text("user,item,event\n1,1,buy\n1,1,view\n2,1,buy\n")
    config = build(DataConfig, {**said, "split": "random:0.1"}, "data.")
    target = tmp_path / "d"
    assert DataUpdate(None, target, [tmp_path / "l.csv"], config, pytest.fail, silent).grow()
    data = Dataset.open(target)
    assert (data.feedback, data.rating_min, data.rating_max) == ("ratings", 1.0, 5.5)
    with pytest.raises(InputError, match=r"data.repeats = 'mean': give auto or latest"):
        NightlyConfig.of({"data": {"repeats": "mean"}}, tmp_path)


def test_weights_are_taken_in_and_withdrawals_need_none(tmp_path):
    said = {"columns": {"weight": "sure"}, "split": "random:0.1"}
    config = build(DataConfig, said, "data.")
    nights = {
        "a.csv": "user,item,rating,sure\n1,1,3,2\n1,2,4,0.5\n2,1,5,1\n",
        "b.csv": "user,item,rating,sure\n1,1,2,4\n3,2,1,3\n",
        "c.withdrawn.csv": "user,item\n2,1\n",
    }
    begin = None
    for name, rows in nights.items():
        file, target = tmp_path / name, tmp_path / f"data-{name}"
        file.write_text(rows)
        growth = DataUpdate(begin, target, [file], config, pytest.fail, silent)
        assert growth.grow(), growth.bad
        begin = target
    data = Dataset.open(target, verify=True)
    kept = pd.concat([ratings_of(data, part) for part in ("train", "test")])
    weights = kept.set_index(["user_id", "item_id"])["weight"].to_dict()
    assert weights == {(1, 1): 4.0, (1, 2): 0.5, (3, 2): 3.0}
