"""Lists of implicit and of the kernel are timed side by side, and held against each other."""

from __future__ import annotations

import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mfdask.bench import topn
from mfdask.bench.machine import FailedRunError, Run
from mfdask.bench.topn import DifferentListsError, TopPlan, measure_topn, rank_here, same_places
from mfdask.errors import InputError
from mfdask.ingestion.build import ingest
from mfdask.models import ALS, FactorModel
from mfdask.ratings.synthetic import open_synthetic
from mfdask.shards import Dataset

PLAN = TopPlan(top=4, rounds=2, threads=1)


@pytest.fixture(scope="module")
def model(small: Dataset) -> FactorModel:
    return ALS(n_factors=3, n_sweeps=2).fit(small)


def sorted_topk(items, users, top, filter_query_items, num_threads):  # type: ignore[no-untyped-def]
    """Do what implicit's function does, in double precision."""
    scores = users.astype(np.float64) @ items.T.astype(np.float64)
    scores[filter_query_items.nonzero()] = -np.inf
    found = np.argsort(-scores, axis=1, kind="stable")[:, :top].astype(np.int32)
    return found, np.take_along_axis(scores, found, axis=1)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[list[object]]:
    """Put a plain sort in implicit's place, in this process; return what it was called with."""
    calls: list[list[object]] = []
    module = types.ModuleType("implicit.cpu.topk")
    module.topk = sorted_topk  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "implicit.cpu.topk", module)
    monkeypatch.setitem(sys.modules, "implicit.cpu", types.ModuleType("implicit.cpu"))
    monkeypatch.setitem(sys.modules, "implicit", types.ModuleType("implicit"))

    def measure(module: str, arguments: list[object], environ: dict[str, str]) -> Run:
        calls.append([module, *arguments[1:], environ["OMP_NUM_THREADS"]])
        folder, top, threads = arguments
        said = rank_here(Path(str(folder)), int(str(top)), int(str(threads)))
        return Run("", 9.0, 1, f'{{"version": "{said["version"]}", "seconds": 0.5}}')

    monkeypatch.setattr(topn, "version", lambda name: "1.2")
    monkeypatch.setattr(topn, "find_spec", lambda name: object())
    monkeypatch.setattr(topn, "measure_module", measure)
    return calls


def test_both_find_the_same_lists(
    model: FactorModel, small: Dataset, stand_in: list[list[object]]
) -> None:
    found = measure_topn(model, small, PLAN)
    assert stand_in == [["mfdask.bench.topn", 4, 1, "1"]] * 4  # two models, two rounds
    assert (found["users"], found["items"], found["factors"]) == (60, small.n_items, 3)
    assert found["implicit"] == {"version": "1.2"}
    assert found["models"].keys() == {"learned", "random"}
    for name, one in found["models"].items():
        assert one["same_places"] == 1
        assert one["implicit_seconds"] == 0.5
        ours = found["rounds"][name]
        assert one["over_implicit"] == pytest.approx(2 * np.mean(ours))
        assert found["rounds"][f"implicit_{name}"] == [0.5, 0.5]


def test_some_users_and_lists_as_long_as_the_catalogue(
    model: FactorModel, small: Dataset, stand_in: list[list[object]]
) -> None:
    found = measure_topn(model, small, TopPlan(top=1000, users=7, rounds=1, threads=1))
    assert found["top"] == small.n_items
    assert found["users"] == 7
    assert {one["same_places"] for one in found["models"].values()} == {1.0}


def test_other_lists_stop_it(
    model: FactorModel,
    small: Dataset,
    stand_in: list[list[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        sys.modules["implicit.cpu.topk"],
        "topk",
        lambda *arrays, **options: tuple(a[:, ::-1] for a in sorted_topk(*arrays, **options)),
    )
    with pytest.raises(DifferentListsError, match=r"row 0: place 1 of its list is item row \d+"):
        measure_topn(model, small, PLAN)


@pytest.mark.parametrize("fails", [False, True])
def test_without_implicit(
    model: FactorModel, small: Dataset, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    def fail(*arguments: object) -> Run:
        raise FailedRunError("`python -m …` ended with code 1: too old")

    monkeypatch.setattr(topn, "find_spec", lambda name: object() if fails else None)
    monkeypatch.setattr(topn, "measure_module", fail)
    found = measure_topn(model, small, PLAN)
    assert ("too old" if fails else "not installed: pip install") in found["implicit"]["missing"]
    for one in found["models"].values():
        assert one.keys() == {"seconds"}
    assert found["rounds"].keys() == {"learned", "random"}


def test_it_can_be_left_out(model: FactorModel, small: Dataset) -> None:
    found = measure_topn(model, small, TopPlan(top=4, rounds=1, peers=False, threads=1))
    assert found["implicit"] == {"missing": "left out"}


def test_ties_are_the_same_place_and_other_scores_are_not() -> None:
    users = np.ones((2, 1), np.float32)
    items = np.array([[3], [2], [2], [1]], np.float32)
    mine = np.array([[0, 1, 2], [0, 1, -1]], np.int32)
    assert same_places(users, items, mine, np.array([[0, 1, 2], [0, 1, 3]])) == 1
    assert same_places(users, items, mine, np.array([[0, 2, 1], [0, 1, 3]])) == 3 / 5
    with pytest.raises(DifferentListsError, match=r"row 1: place 2 .* item row 1 here and 3 there"):
        same_places(users, items, mine, np.array([[0, 2, 1], [0, 3, 1]]))


def test_other_data_are_refused(client: object, model: FactorModel, tmp_path: Path) -> None:
    source = open_synthetic("synthetic:users=20,items=30,ratings=200", seed=1)
    ingest(source, tmp_path / "d", client=client)
    with pytest.raises(InputError, match="fingerprint"):
        measure_topn(model, Dataset.open(tmp_path / "d"), PLAN)


def test_the_real_implicit(model: FactorModel, small: Dataset) -> None:
    if find_spec("implicit") is None:
        pytest.skip("implicit is not installed: pip install 'mfdask[peers]'")
    found = measure_topn(model, small, PLAN)
    assert found["implicit"].keys() == {"version"}
    for one in found["models"].values():
        assert one["same_places"] > 0.99
