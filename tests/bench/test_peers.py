"""Peers are timed where they are installed, and named where they are not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mfdask.bench import peers
from mfdask.bench.machine import Run
from mfdask.bench.peers import (
    EPOCHS,
    PEERS,
    Peer,
    measure_peer,
    missing_peer,
    save_vectors,
    time_here,
)
from mfdask.bench.quality import peer_learner, quality_after
from mfdask.kernels.rows import Block
from mfdask.shards import Dataset


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(peers, "version", version)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_not_there_is_no_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {})
    assert missing_peer(name) == "not installed: pip install 'mfdask[peers]'"


def test_an_old_version_is_told_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lenskit").mkdir()
    (tmp_path / "lenskit" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lenskit", raising=False)
    installed(monkeypatch, {"lenskit": "0.8.1"})
    pytest.importorskip("scipy")
    assert missing_peer("lenskit") == "version 0.8.1 is too old: pip install 'mfdask[peers]'"
    (tmp_path / "lenskit" / "training.py").touch()
    assert missing_peer("lenskit") is None


def test_an_epoch_is_the_difference_of_two_fits(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    fits: list[int] = []
    given: list[tuple[int, int, int, int]] = []

    def prepare(users: Block, n_items: int, n_factors: int, threads: int) -> Callable[[int], None]:
        given.append((len(users.ratings), n_items, n_factors, threads))

        def fit(epochs: int) -> None:
            fits.append(epochs)
            clock[0] += 100 + 7 * epochs

        return fit

    monkeypatch.setitem(peers.PEERS, "clock", Peer("numpy", "numpy", "counts", prepare))
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert small.path is not None
    said = time_here("clock", small.path, n_factors=4, threads=2)
    assert said["seconds"] == 7
    assert said["method"] == "counts"
    assert fits == [EPOCHS[0], *EPOCHS]
    assert given == [(small.n_train, small.n_items, 4, 2)]


def test_a_peer_has_the_threads_and_its_matrix_library_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, str] = {}

    def measure(module: str, arguments: list[object], environ: dict[str, str]) -> Run:
        seen.update(environ)
        return Run("", 1.0, 1, '{"seconds": 0.5}')

    monkeypatch.setattr(peers, "measure_module", measure)
    assert measure_peer("cmfrec", Path("data"), 20, 2) == {"seconds": 0.5}
    assert seen["OMP_NUM_THREADS"] == seen["LK_NUM_THREADS"] == "2"
    assert seen["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize("name", PEERS)
def test_a_real_peer_is_timed(name: str, small: Dataset) -> None:
    why_not = missing_peer(name)
    if why_not:
        pytest.skip(f"{name}: {why_not}")
    assert small.path is not None
    said = measure_peer(name, small.path, n_factors=4, threads=1)
    assert said.keys() == {"version", "method", "seconds"}
    assert isinstance(said["seconds"], float)


def test_vectors_of_a_peer_come_from_its_process(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked for after so many epochs, and rank as the peer does."""
    asked: list[int] = []

    def prepare(users: Block, n_items: int, n_factors: int, threads: int) -> Callable[[int], Any]:
        def fit(epochs: int) -> SimpleNamespace:
            asked.append(epochs)
            shape = len(users.indptr) - 1, n_factors
            items = np.arange(n_items * n_factors, dtype=np.float32).reshape(n_items, n_factors)
            return SimpleNamespace(user_factors=np.ones(shape, np.float32), item_factors=items)

        return fit

    def here(module: str, arguments: list[Any], environ: dict[str, str]) -> Run:
        name, data, factors, threads, epochs, folder = arguments
        save_vectors(name, data, factors, threads, epochs, Path(folder))
        return Run("", 0.0, 0, "{}")

    monkeypatch.setitem(PEERS, "made", Peer("numpy", "numpy", "made", prepare))
    monkeypatch.setattr(peers, "measure_module", here)
    learner = peer_learner("made", 0.5, small, 2, 1)
    found = quality_after(4.0, {"made": learner}, small)
    assert asked == [2, 4, 8]
    assert [one["sweeps"]["made"] for one in found] == asked
    assert (
        learner.learn(1)(np.array([3, 5])).tolist()
        == [[4.0 * item + 1 for item in range(small.n_items)]] * 2
    )
    assert quality_after(0.0, {"made": learner}, small) == []
