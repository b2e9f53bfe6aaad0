"""The whole work is measured: every step is a job that runs, and a script does the same by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mfdask.bench import whole
from mfdask.bench.ingest import write_csv
from mfdask.bench.machine import FailedRunError, Run
from mfdask.bench.script import Script
from mfdask.bench.whole import SCRIPT_PEERS, STEPS, WholePlan, draw_whole, measure_whole, total
from mfdask.jobs.cli import main

_SIZE = WholePlan(n_factors=2, sweeps=2)


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("whole") / "ratings.csv"
    write_csv(file, 20_000)
    return file


class Jobs:
    """Stands in for processes: jobs run in this one, and the script only says what it would."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, module: str, arguments: list[Any], environ: Any = None) -> Run:
        if module == "mfdask":
            done = CliRunner().invoke(main, list(map(str, arguments)))
            assert done.exit_code == 0, done.output
            self.ran.append(arguments[0])
            return Run(module, len(self.ran), 10 * len(self.ran), done.stdout)
        self.ran.append(module)
        said = {step: {"seconds": 2.0, "peak_bytes": 3} for step in STEPS}
        return Run(module, 16.0, 3, json.dumps(said))


@pytest.fixture(scope="module")
def measured(csv: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        jobs = Jobs()
        patch.setattr(whole, "measure_module", jobs)
        patch.setattr(whole, "find_spec", lambda name: object())
        return measure_whole(csv, _SIZE) | {"ran": jobs.ran}


def test_every_step_is_a_job_that_runs_and_then_the_script(measured: dict[str, Any]) -> None:
    jobs = ["ingest", "train", "train", "recommend", "anomalies", "churn", "ltv", "report"]
    assert measured["ran"] == [*jobs, "mfdask.bench.script"]
    assert measured["ratings"] == 20_000
    assert [one["seconds"] for one in measured["here"].values()] == list(range(1, 9))
    assert total(measured["here"]) == {"seconds": 36, "peak_bytes": 80}
    assert list(measured["script"]) == list(measured["here"]) == list(STEPS)


@pytest.mark.parametrize(
    ("peers", "word"), [(True, "cmfrec is not installed"), (False, "left out")]
)
def test_without_its_libraries_the_script_is_left_out(
    csv: Path, peers: bool, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {step: {"seconds": 1.0, "peak_bytes": 1} for step in STEPS}
    monkeypatch.setattr(whole, "_take_jobs", lambda *given: (here, 5))
    monkeypatch.setattr(whole, "find_spec", lambda name: None)
    plan = WholePlan(2, 2, script=peers)
    assert word in measure_whole(csv, plan)["script"]["missing"]


def test_a_step_that_fails_ends_the_measurement(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str, arguments: list[Any], environ: Any = None) -> Run:
        raise FailedRunError("ended with code 2")

    monkeypatch.setattr(whole, "measure_module", fail)
    with pytest.raises(FailedRunError, match="code 2"):
        measure_whole(csv, _SIZE)


def test_the_picture_has_a_bar_for_each_figure(measured: dict[str, Any]) -> None:
    drawn = ElementTree.fromstring(draw_whole(measured))
    bars = [
        one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("height") == "14"
    ]
    assert len(bars) == 2 * len(STEPS)
    widths = [float(bar.get("width", 0)) for bar in bars if bar.get("class") == "here"]
    np.testing.assert_allclose(np.array(widths) / widths[-1], np.arange(1, 9) / 8, atol=0.001)
    alone = draw_whole(measured | {"script": {"missing": "left out"}})
    assert 'class="script"' not in alone


def test_the_script_without_other_libraries(csv: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    script, table = Script(csv, tmp_path, 2, 2), pd.read_csv(csv)
    script.ingest()
    assert script.held["matrix"].sum() == pytest.approx(table["rating"].sum())
    script.anomalies()
    weeks = pd.read_parquet(tmp_path / "weeks.parquet")
    assert weeks["count"].sum() == len(table)
    script.churn()
    left = pd.read_parquet(tmp_path / "churn.parquet")
    days = table.groupby("user_id")["timestamp"].agg(lambda times: (times // 86_400).nunique())
    order = pd.factorize(table["user_id"])[1]
    np.testing.assert_array_equal(left["days"], days.reindex(order))
    assert left["p_churn"].between(0, 1).all()
    script.report()
    assert "<table" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_script_as_a_whole(csv: Path, tmp_path: Path) -> None:
    for name in SCRIPT_PEERS:
        pytest.importorskip(name)
    taken = whole.measure_module("mfdask.bench.script", [csv, tmp_path, 2, 2]).json()
    assert list(taken) == list(STEPS)
    lists = pd.concat(map(pd.read_parquet, tmp_path.glob("lists-*.parquet")))
    assert len(lists) == 10 * pd.read_csv(csv)["user_id"].nunique()


@pytest.fixture
def shown(measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    import mfdask.jobs.bench_whole

    def show(*without: str) -> str:
        found = measured | {side: {"missing": "left out"} for side in without}
        monkeypatch.setattr(mfdask.jobs.bench_whole, "measure_whole", lambda *given: found)
        done = CliRunner().invoke(main, ["bench", "whole"])
        assert done.exit_code == 0, done.output
        return done.stdout

    return show


def test_the_command_shows_a_row_for_each_step(shown: Callable[..., str]) -> None:
    table = shown()
    assert all(words in table for words in STEPS.values())
    assert "36.0" in table
    assert "16.0" in table
    assert "left out" in shown("script")
