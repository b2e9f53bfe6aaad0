"""Peers are timed where they are installed, and named where they are not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from mfdask.bench import peers
from mfdask.bench.machine import Run
from mfdask.bench.peers import EPOCHS, PEERS, Peer, measure_peer, missing_peer, time_here
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
