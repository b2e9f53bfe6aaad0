"""Nights that take in logs without ratings."""

from __future__ import annotations

import pytest

from mfdask.errors import InputError
from mfdask.nightly.config import DataConfig, NightlyConfig
from mfdask.nightly.settings import build
from mfdask.nightly.update import DataUpdate
from mfdask.progress import silent
from mfdask.shards import Dataset


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
