"""The guard against slow changes: its ratios, its file, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from distributed import Client

import mfdask.jobs.bench_guard
from mfdask.bench import guard
from mfdask.bench.guard import (
    RATIOS,
    GuardPlan,
    as_markdown,
    best_by_numpy,
    measure_guard,
    read_guard,
    slower,
    write_guard,
)
from mfdask.bench.kernel import sweep_flops
from mfdask.bench.rounds import Rounds
from mfdask.jobs.cli import main
from mfdask.kernels.topn import Rated
from mfdask.models import ALS
from mfdask.shards import Dataset

DOCS = Path(__file__).parents[2] / "docs"
ONE_THREAD = ["--threads", "1", "--dashboard-address", "127.0.0.1:0"]


def test_all_ratios_are_measured(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measure_ingest(ratings: int, rounds: int, progress: Any) -> dict[str, Any]:
        asked.append(ratings)
        return {"rounds": {"ingest": [5.0, 9.0], "baseline": [4.0, 2.0]}}

    monkeypatch.setattr(guard, "gemm_seconds", lambda threads: 0.5)
    monkeypatch.setattr(guard, "measure_ingest", measure_ingest)
    plan = GuardPlan(ratings=6_000, n_factors=2, sweeps=2, rounds=1, threads=1)
    found = measure_guard(client, plan)
    assert found.keys() == RATIOS.keys()
    assert min(found.values()) > 0
    assert found["ingest_over_pandas"] == 2.5
    assert asked == [6_000]


def test_rates_by_hand(small: Dataset) -> None:
    plan = GuardPlan(n_factors=3)
    gflop = sweep_flops(small.n_train, small.n_users + small.n_items, 3) / 1e9
    taken = Rounds({"product": [2.0, 3.0], "bare": [0.9, 0.5]})
    # Two cubes of 3000 in 2 seconds are 27 GFLOP/s.
    assert guard._rate_over_sweep(small, plan, taken) == pytest.approx(27 / (gflop / 0.5))


def test_lists_are_the_same_in_both_ways(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_USERS_AT_A_TIME", 7)
    lists = guard._Lists(ALS(n_factors=3, n_sweeps=2).fit(small), small, threads=1)
    np.testing.assert_array_equal(lists.ours(), lists.numpy())


def test_lists_by_hand() -> None:
    users = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    items = np.array([[3, 0], [2, 1], [0, 2], [1, 5]], np.float32)
    rated = Rated(np.array([0, 1, 1, 3]), np.array([0, 3, 2], np.int32))
    best = best_by_numpy(users, items, rated, 2)
    assert best[:2].tolist() == [[1, 3], [3, 2]]
    assert set(best[2].tolist()) == {0, 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file in which every ratio is 2 and may grow by a half."""
    write_guard(tmp_path / "r.json", dict.fromkeys(RATIOS, 2.0), "mfdask bench guard --renew")
    said = json.loads((tmp_path / "r.json").read_text())
    for one in said["ratios"].values():
        one["tolerance"] = 0.5
    (tmp_path / "r.json").write_text(json.dumps(said))
    return tmp_path / "r.json"


def test_what_is_slower(file: Path) -> None:
    found = dict.fromkeys(RATIOS, 3.0)
    assert slower(found, file) == {}
    found["ials_over_als"] = 3.01
    assert slower(found, file) == {"ials_over_als": "ials_over_als 3.010, at most 3.000"}


def test_tolerances_outlive_a_renewal(file: Path) -> None:
    write_guard(file, dict.fromkeys(RATIOS, 1.0), "c")
    assert {tuple(one.values()) for one in read_guard(file)["ratios"].values()} == {(1.0, 0.5)}
    assert read_guard(file)["machine"]["cores"] >= 1


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs the command with ratios in place of measurements."""

    def run(ratio: float, *arguments: object) -> Result:
        measured = dict.fromkeys(RATIOS, 2.0) | {"bayes_over_als": ratio}
        monkeypatch.setattr(mfdask.jobs.bench_guard, "measure_guard", lambda *given: measured)
        return CliRunner().invoke(main, ["bench", "guard", *map(str, arguments), *ONE_THREAD])

    return run


def test_the_command_ends_with_3_if_one_is_slower(run: Any, file: Path) -> None:
    done = run(2.9, "--file", file)
    assert done.exit_code == 0, done.output
    assert "bayes_over_als" in done.stdout
    done = run(3.1, "--file", file, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["slower"] == ["bayes_over_als"]
    assert "bayes_over_als 3.100, at most 3.000" in done.stderr
    assert run(3.1, "--file", file, "--renew").exit_code == 0
    assert run(3.1, "--file", file).exit_code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("no JSON", "this is no file of ratios"),
        ('{"machine": {}, "ratios": {"a": 3}}', "this is no file of ratios"),
        ('{"machine": {}, "ratios": {"a": {"value": -1, "tolerance": 0}}}', "no file of ratios"),
        ('{"machine": {}, "ratios": {"a": {"value": 1, "tolerance": 0}}}', "not those of today"),
    ],
)
def test_files_that_will_not_do(run: Any, tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    done = run(2.0, "--file", tmp_path / "r.json")
    assert done.exit_code == 2
    assert words in done.stderr


def test_the_documentation_shows_the_file() -> None:
    said = read_guard(DOCS / "benchmarks.json")
    assert said["ratios"].keys() == RATIOS.keys()
    shown = as_markdown(said)
    assert shown in (DOCS / "benchmarks.md").read_text(encoding="utf-8"), shown
    machine = said["machine"]
    assert f"{machine['cores']} cores, {machine['processor']}" in (
        (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    )
