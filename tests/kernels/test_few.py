"""Few ratings are solved, predicted and ranked by one thread: to the bit as by all."""

from __future__ import annotations

import numpy as np
import pytest

from mfdask.kernels import implicit, predict, rows, topn
from mfdask.kernels.types import read_only
from mfdask.models import ALS
from mfdask.models.design import initial_rows
from mfdask.models.half_step import half_step, pair_predictions
from mfdask.shards import Shard


def test_one_thread_solves_as_all_do(monkeypatch):
    random = np.random.default_rng(1)
    counts = random.integers(0, 9, 300)
    indptr = np.concatenate([[0], counts.cumsum()])
    shard = Shard(
        "users", 0, 7, indptr, random.integers(0, 50, indptr[-1]).astype(np.int32),
        random.random(indptr[-1], np.float32),
    )  # fmt: skip
    config = ALS(n_factors=5, **ALS.presets["large"])
    own, other = (initial_rows(n, 5, 0.1, 1, side) for n, side in ((300, "users"), (50, "items")))
    found = []
    for few in (0, 10**12):
        monkeypatch.setattr(rows, "FEW", few)
        rule, prior = config.update_config(0.5), config.prior("users")
        with np.errstate(over="ignore"):  # the random numbers wrap around, interpreted as well
            found.append(half_step(shard, other, own, rule, prior, key=np.uint64(3)))
    assert np.array_equal(found[0].rows, found[1].rows)
    assert np.array_equal(found[0].totals, found[1].totals)


@pytest.mark.parametrize("n", [0, predict.PIECE + 5])
def test_one_thread_predicts_as_all_do(monkeypatch, n):
    random = np.random.default_rng(2)
    users, items = (random.integers(0, 40, n).astype(np.int32) for _ in range(2))
    own, other = (initial_rows(40, 3, 0.1, 1, side) for side in ("users", "items"))
    found = []
    for few in (-1, 9):
        monkeypatch.setattr(predict, "FEW", few)
        found.append(pair_predictions(users, items, own, other, 3.0))
    assert np.array_equal(found[0], found[1])


def test_one_thread_ranks_as_all_do(monkeypatch):
    random = np.random.default_rng(3)
    n = topn.USERS + 3
    factors = random.normal(size=(90, 4)).astype(np.float32)
    packed = topn.pack_tiles(factors[:, 0], factors, np.arange(90, dtype=np.int32))
    tiles = topn.Tiles(*map(read_only, packed))
    users = read_only(random.normal(size=(n, 5)).astype(np.float32))
    rated = topn.Rated(*map(read_only, (np.zeros(n + 1, np.int64), np.empty(0, np.int32))))
    found = []
    for few in (-1, 9):
        monkeypatch.setattr(topn, "FEW", few)
        best, items = np.empty((n, 6), np.float32), np.empty((n, 6), np.int32)
        topn.top_items(users, tiles, rated, best, items)
        found.append((best, items))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("ascending", [True, False])
def test_sums_over_near_values_are_those_over_all(monkeypatch, ascending):
    random = np.random.default_rng(4)
    counts = random.integers(0, 90, 30)
    indptr = read_only(np.concatenate([[0], counts.cumsum()]))
    places = [random.integers(0, 70, n) for n in counts]
    indices = np.concatenate([np.sort(own) if ascending else own for own in places])
    values = random.normal(size=(70, 16)).astype(np.float32)
    wanted = np.array([values[own].sum(axis=0, dtype=np.float64) for own in places])
    given = implicit.upper_halves(values)
    found = []
    for near, few in ((10**9, 10**9), (1000, 10**9), (1000, 0)):
        monkeypatch.setattr(implicit, "NEAR", near)
        monkeypatch.setattr(implicit, "_WORTH", 0)
        monkeypatch.setattr(implicit, "FEW", few)
        for own in (values, given):
            out = np.full((30, 16), np.nan, np.float32)
            implicit.sum_rated(indptr, read_only(indices.astype(np.int32)), read_only(own), out)
            found.append(out)
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)
    np.testing.assert_allclose(found[1], wanted, atol=0.5)
    for n in (2, 4):
        assert np.array_equal(found[0], found[n])
        assert np.array_equal(found[1], found[n + 1])
