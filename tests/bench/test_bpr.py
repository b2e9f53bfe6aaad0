"""The benchmark of BPR beside implicit."""

import json

import pytest
from click.testing import CliRunner

from mfdask.bench import bpr
from mfdask.bench.bpr import BPRPlan, measure_bpr
from mfdask.jobs.cli import main


def test_without_implicit(small_data, monkeypatch):
    monkeypatch.setattr(bpr, "missing_peer", lambda name: "not installed: pip install it")
    arguments = ["bench", "bpr", str(small_data), "--factors", "3", "--rounds", "1", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seconds"]["bpr"] > 0
    assert "pip install" in found["implicit"]["missing"]
    assert found["quality"] == []


def test_both_are_measured_after_equal_seconds(small_data):
    if why_not := bpr.missing_peer("implicit_bpr"):
        pytest.skip(why_not)
    found = measure_bpr(small_data, BPRPlan(factors=3, rounds=1, seconds=0.02))
    assert found["over_implicit"] > 0
    assert [one["seconds"] for one in found["quality"]] == [0.005, 0.01, 0.02]
    for one in found["quality"]:
        assert set(one["sweeps"]) == set(one["precision"]) == {"bpr", "implicit"}
        assert all(0 <= value <= 1 for value in one["precision"].values())
