"""A sweep is measured against what it is compared with, and the figures agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from mfdask.bench import sweep
from mfdask.bench.kernel import sweep_flops
from mfdask.bench.ladder import climb
from mfdask.bench.machine import FailedRunError
from mfdask.bench.rounds import Rounds
from mfdask.bench.sweep import (
    SweepPlan,
    measure_sweep,
    measure_train,
    sweep_seconds,
    time_prediction,
    without_test,
    work_done,
)
from mfdask.models import ALS
from mfdask.shards import Dataset

SWEEPS = {"bare_one_thread", "bare", "dask", "dask_with_test", "bayes"}


def all_there(name: str) -> None:
    """Say that a peer can be run."""


@pytest.fixture
def measured(small: Dataset, client: Client, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a measurement with one peer that works and one that fails in the second round."""
    calls: list[str] = []
    learned: dict[str, int] = {}

    def measure_peer(name: str, data: Path, n_factors: int, threads: int) -> dict[str, Any]:
        calls.append(name)
        if name == "lenskit" and calls.count(name) == 2:
            raise FailedRunError("out of breath")
        return {"version": "1.0", "method": "magic", "seconds": 0.25, "peak_bytes": 7}

    def rmse(name: str, data: Path, n_factors: int, threads: int, epochs: int) -> float | None:
        learned[name] = epochs
        return None if name.startswith("implicit") else 0.9

    monkeypatch.setattr(sweep, "gemm_seconds", lambda threads: 0.5 / threads)
    monkeypatch.setattr(sweep, "missing_peer", all_there)
    monkeypatch.setattr(sweep, "measure_peer", measure_peer)
    monkeypatch.setattr(sweep, "peer_rmse", rmse)
    plan = SweepPlan(n_factors=3, sweeps=3, rounds=3, threads=2)
    found = measure_sweep(small, client, plan)
    assert calls.count("cmfrec") == 3
    assert calls.count("lenskit") == 2
    equal = found["equal_seconds"]
    assert equal["sweeps"] == 3
    assert equal["seconds"] == 3 * found["seconds"]["dask"]
    assert equal["rmse"] > 0
    assert learned.keys() == {"cmfrec", "spark", "implicit_exact", "implicit_cg"}
    assert learned["cmfrec"] == max(int(equal["seconds"] / 0.25), 1)
    return found


def test_the_figures_of_a_sweep_agree(measured: dict[str, Any], small: Dataset) -> None:
    assert json.loads(json.dumps(measured)) == measured
    counts = small.n_train, small.n_test, small.n_users, small.n_items
    assert tuple(measured[name] for name in ("ratings", "test", "users", "items")) == counts
    seconds = measured["seconds"]
    assert seconds.keys() == SWEEPS | {
        "gemm", "gemm_one_thread", "predict_test", "evaluate_test", "cmfrec",
        "spark", "implicit_exact", "implicit_cg",
    }  # fmt: skip
    assert min(seconds.values()) > 0
    for name, of_rounds in measured["rounds"].items():
        assert seconds[name] == sorted(of_rounds)[1]
    pairs = zip(measured["rounds"]["dask"], measured["rounds"]["bare"], strict=True)
    assert measured["ratios"]["dask_over_bare"] == sorted(a / b for a, b in pairs)[1]


def test_peers_are_compared_or_tell_why_not(measured: dict[str, Any]) -> None:
    peer = measured["peers"]["cmfrec"]
    assert (peer["version"], peer["method"]) == ("1.0", "magic")
    assert (peer["seconds_per_epoch"], peer["peak_bytes"], peer["rmse"]) == (0.25, 7, 0.9)
    assert peer["dask_over_peer"] == pytest.approx(measured["seconds"]["dask"] / 0.25)
    assert measured["peers"]["lenskit"] == {"missing": "out of breath"}


def test_peers_that_are_not_installed_are_not_run(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "missing_peer", lambda name: f"no {name}")
    peer = sweep.TimedPeer("cmfrec", Path("data"), SweepPlan())
    assert peer.found(Rounds({})) == {"missing": "no cmfrec"}


def test_work_by_hand(small: Dataset) -> None:
    taken = Rounds(
        {
            "gemm": [2.0],
            "gemm_one_thread": [4.0],
            "bare": [0.5],
            "bare_one_thread": [1.0],
            "dask": [1.0],
        }
    )
    work = work_done(small, 3, taken)
    gflop = sweep_flops(small.n_train, small.n_users + small.n_items, 3) / 1e9
    assert work["gflop"] == gflop
    assert work["gflops"]["gemm"] == 27  # two cubes of 3000 in 2 seconds
    assert work["gflops"]["bare"] == 2 * gflop
    assert work["share_of_gemm"]["bare"] == pytest.approx(2 * gflop / 27)
    assert work["share_of_gemm"]["dask"] == pytest.approx(gflop / 27)
    assert work["share_of_gemm"]["bare_one_thread"] == pytest.approx(gflop / 13.5)
    assert work["ns_per_rating"]["dask"] == pytest.approx(1e9 / small.n_train)
    assert work["gigabytes_per_second"]["bare"] == pytest.approx(2 * work["gigabytes"])


def test_a_fit_without_the_test_part_is_the_same_fit(small: Dataset, client: Client) -> None:
    config = ALS(n_factors=2, n_sweeps=2)
    bare, scored = config.fit(without_test(small), client=client), config.fit(small)
    np.testing.assert_array_equal(bare.user_rows, scored.user_rows)
    assert bare.history[-1].test_rmse is None
    assert scored.history[-1].test_rmse is not None
    assert sweep_seconds(bare) == bare.history[1].seconds
    assert time_prediction(scored, small) == small.n_test > 0


def test_the_train_job_is_measured_whole(small: Dataset) -> None:
    assert small.path is not None
    plan = SweepPlan(n_factors=2, sweeps=3)
    arguments = ["--threads", 1, "--dashboard-address", "127.0.0.1:0"]
    said = measure_train(small.path, plan, arguments)
    assert said["sweeps"] == 3
    assert 0 < said["seconds_per_sweep"] < said["seconds"]
    assert said["peak_memory_bytes"] > 2**27  # two processes with Python, Numba and Dask at least
    assert "mfdask train" in said["command"]


def test_the_train_job_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(FailedRunError, match="no data set"):
        measure_train(tmp_path / "nothing", SweepPlan())


def test_all_tiers_on_a_data_set(small: Dataset, client: Client) -> None:
    told: list[str] = []

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        told.append(note)

    tiers = climb(small, client, n_factors=2, budget_seconds=0.5, progress=progress)
    names = [tier.name for tier in tiers]
    assert names[:4] == ["interpreted", "dual CSR", "compiled", "kernel, 1 thread"]
    assert names[4].startswith("kernel, ")
    assert names[5:] == ["Dask"]
    assert tiers[0].speedup == 1
    for tier in tiers:
        assert tier.ratings_total == 2 * small.n_train
        assert tier.speedup == pytest.approx(tiers[0].seconds_scaled / tier.seconds_scaled)
