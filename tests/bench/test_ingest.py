"""Ingest is measured against the plain way, on a file that both can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mfdask.bench import ingest
from mfdask.bench.baseline import build_matrices
from mfdask.bench.ingest import measure_ingest, spec_of, write_csv
from mfdask.bench.machine import Run
from mfdask.errors import InputError


def test_the_shape_of_movielens_at_any_size() -> None:
    whole, tenth = spec_of(32_000_204), spec_of(3_200_020)
    assert (whole.users, whole.items) == (200_948, 84_432)
    assert (tenth.users, tenth.items) == (20_095, 8_443)


@pytest.mark.parametrize("ratings", [1, 1000])
def test_the_file_holds_so_many_ratings(ratings: int, tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    write_csv(file, ratings)
    table = pd.read_csv(file)
    assert list(table) == ["user_id", "item_id", "rating", "timestamp"]
    assert len(table) == ratings
    assert table["rating"].between(0.5, 5).all()
    assert not table.duplicated(["user_id", "item_id"]).any()


def test_more_than_one_part_makes_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(tmp_path / "one.csv", 1000)
    opened = ingest.open_synthetic
    monkeypatch.setattr(
        ingest, "open_synthetic", lambda text, seed: opened(text, seed, part_ratings=300)
    )
    write_csv(tmp_path / "more.csv", 1000)
    assert (tmp_path / "more.csv").read_text() == (tmp_path / "one.csv").read_text()


def test_the_baseline_builds_what_the_file_holds(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    file = tmp_path / "ratings.csv"
    write_csv(file, 1000)
    table = pd.read_csv(file)
    counts = table["user_id"].nunique(), table["item_id"].nunique(), 1000
    assert build_matrices(file) == counts


class Pretended:
    """Stands in for processes: remembers what was to run, and says what a run would say."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.was_there: list[bool] = []

    def __call__(self, module: str, arguments: list[Any]) -> Run:
        self.modules.append(module)
        n = len(self.modules)
        if module == "mfdask":
            out = arguments[arguments.index("--out") + 1]
            self.was_there.append(out.exists())
            out.mkdir()
        said = '{"ratings": 9, "users": 3, "items": 4, "seconds": 1}'
        return Run(f"python -m {module}", float(n), 100 * n, said)


def test_both_ways_are_measured_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    pretended = Pretended()
    monkeypatch.setattr(ingest, "measure_module", pretended)
    found = measure_ingest(500, rounds=2)
    assert pretended.modules == ["mfdask", "mfdask.bench.baseline"] * 2
    assert pretended.was_there == [False, False]
    assert found["rounds"] == {"ingest": [1, 3], "baseline": [2, 4]}
    assert found["ingest"] == {
        "command": "python -m mfdask",
        "seconds": 2,
        "peak_memory_bytes": 300,
        "ratings": 9,
        "users": 3,
        "items": 4,
    }
    assert found["ingest_over_baseline"] == np.median([1 / 2, 3 / 4])
    assert found["file_bytes"] > 500 * 10


def test_without_scipy_ingest_is_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "some.csv"
    file.write_text("user_id,item_id,rating\n1,2,3\n")
    monkeypatch.setattr(ingest, "measure_module", Pretended())
    monkeypatch.setattr(ingest, "find_spec", lambda name: None)
    found = measure_ingest(file, rounds=1)
    assert found["baseline"] == {"missing": "SciPy is not installed: pip install 'mfdask[peers]'"}
    assert "ingest_over_baseline" not in found
    assert found["file_bytes"] == file.stat().st_size


def test_a_missing_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        measure_ingest(tmp_path / "nothing.csv", rounds=1)
