"""What workers get of each other's rows, and that the model does not depend on it."""

import os
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.errors import InputError
from mfdask.execution import ClusterExecutor, LocalExecutor
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS, Bayes, save_model
from mfdask.models.exchange import (
    ExchangeCost,
    count_needs,
    cut_needs,
    exchange_cost,
    expected,
    group_blocks,
    place_blocks,
    used_rows,
)
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import OTHER, SIDES, Dataset, refs
from mfdask.shards.refs import DatasetRef, ShardRef, needed_rows
from tests.by_hand import cluster_by_hand

SPEC = "synthetic:users=300,items=200,ratings=9000"
MODES = ("whole", "needed")


@pytest.fixture(scope="module")
def data(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange") / "d"
    ingest(
        open_source(SPEC),
        folder,
        client=client,
        choices=IngestOptions(Split.parse("random:0.1"), blocks=5),
    )
    return Dataset.open(folder)


def assert_same(one, other):
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert (mine.objective, mine.train_rmse, mine.test_rmse) == (
            theirs.objective, theirs.train_rmse, theirs.test_rmse,
        )  # fmt: skip


def ref_of(data, side, block, group, part="train"):
    return ShardRef(DatasetRef.of(data), side, block, part, group)


def used_by(data, side, group):
    """Return the rows of the other side that some blocks point to, the slow way."""
    parts = ("train", "test") if side == "users" else ("train",)
    return sorted({int(i) for b in group for p in parts for i in data.shard(side, b, p).indices})


@given(st.integers(1, 200), st.integers(1, 50))
def test_groups_share_the_blocks_out(n_blocks, n_workers):
    groups = group_blocks(n_blocks, n_workers)
    assert [block for group in groups for block in group] == list(range(n_blocks))
    sizes = [len(group) for group in groups]
    assert len(groups) == min(n_blocks, n_workers)
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("group", [range(1), range(1, 3), range(5)])
def test_a_group_needs_what_its_ratings_point_to(data, side, group):
    rows = needed_rows(ref_of(data, side, group[0], group))
    assert rows.tolist() == used_by(data, side, group)
    bounds = data.bounds(OTHER[side]).tolist()
    pieces = cut_needs(rows, bounds)
    assert count_needs(pieces) == len(rows)
    whole = [piece + first for piece, first in zip(pieces, bounds[:-1], strict=True)]
    np.testing.assert_array_equal(np.concatenate(whole), rows)


@pytest.mark.parametrize(
    ("side", "part"), [("users", "train"), ("users", "test"), ("items", "train")]
)
def test_packed_ratings_point_to_the_same_rows(data, side, part):
    group = range(1, 4)
    for block in group:
        packed = ref_of(data, side, block, group, part).open()
        plain = data.shard(side, block, part)
        rows = needed_rows(ref_of(data, side, block, group))
        np.testing.assert_array_equal(rows[packed.indices], plain.indices)
        np.testing.assert_array_equal(packed.ratings, plain.ratings)
        np.testing.assert_array_equal(packed.indptr, plain.indptr)


def test_traffic_in_numbers():
    # 1,000 rows of 24 float32 (21 design values and padding), 4 blocks, two groups.
    assert exchange_cost(1000, 20, 4, [500, 100], 2) == ExchangeCost(48_000, 14_400, 8)
    assert exchange_cost(1000, 20, 4, [1000], 1) == ExchangeCost(0, 0, 4)


def test_parcels_must_be_worth_their_tasks():
    assert not ExchangeCost(whole=1e6, needed=0, parcels=4).prefers_needed
    assert ExchangeCost(whole=1e9, needed=2e8, parcels=64).prefers_needed
    assert not ExchangeCost(whole=1e9, needed=1e9, parcels=1).prefers_needed


def test_auto_takes_what_is_cheaper(data, client, monkeypatch):
    run = ClusterExecutor(client)
    assert not any(reach.pieces for reach in place_blocks(run, data, 20, "auto").values())
    monkeypatch.setattr("mfdask.models.exchange.TASK_SECONDS", -1.0)
    chosen = place_blocks(run, data, 20, "auto")
    assert {side: len(reach.pieces) for side, reach in chosen.items()} == {"users": 2, "items": 2}
    assert chosen["users"].home(0) != chosen["users"].home(4)
    assert not any(
        reach.groups for reach in place_blocks(LocalExecutor(), data, 20, "needed").values()
    )


def test_no_such_mode(data):
    with pytest.raises(InputError, match="exchange must be auto or whole or needed"):
        ALS(n_sweeps=1).fit(data, exchange="some")


@pytest.mark.parametrize(
    "config",
    [
        ALS(n_factors=6, n_sweeps=4),
        ALS(n_factors=3, n_sweeps=3, item_prior="genre"),
        Bayes(n_factors=3, n_sweeps=4, burn_in=1),
    ],
    ids=["als", "genre", "bayes"],
)
def test_both_ways_make_the_model_of_one_process(data, client, config):
    alone = config.fit(data)
    for mode in MODES:
        spread = config.fit(data, client=client, exchange=mode)
        assert_same(spread, alone)
        assert sum(sweep.bytes_moved for sweep in spread.history) > 0
    assert all(sweep.bytes_moved == 0 for sweep in alone.history)


def test_nothing_held_out(client, tmp_path):
    ingest(
        open_source(SPEC),
        tmp_path / "d",
        client=client,
        choices=IngestOptions(Split.parse("none"), blocks=3),
    )
    data, config = Dataset.open(tmp_path / "d"), ALS(n_factors=3, n_sweeps=2)
    for mode in MODES:
        assert_same(config.fit(data, client=client, exchange=mode), config.fit(data))


def test_blocks_stay_at_home(data, client):
    """With its rows and its parcels there, a block brings no more than is expected."""
    run = ClusterExecutor(client)
    for mode in MODES:
        model = ALS(n_factors=6, n_sweeps=8).fit(data, client=client, exchange=mode)
        costs = [expected(data, side, 6, used_rows(run, data, side), 2) for side in SIDES]
        bound = 2 * sum(getattr(cost, mode) for cost in costs)
        moved = sorted(sweep.bytes_moved for sweep in model.history)
        assert moved[3] <= 1.5 * bound  # sums and handles, too


def test_one_worker_can_pack_too(data):
    config = ALS(n_factors=4, n_sweeps=3)
    with open_cluster(ClusterConfig(dashboard_address="127.0.0.1:0")) as client:
        for mode in MODES:
            assert_same(config.fit(data, client=client, exchange=mode), config.fit(data))


def test_a_start_and_a_checkpoint(data, client, tmp_path):
    save_model(ALS(n_factors=4, n_sweeps=2).fit(data), tmp_path / "m")
    config = ALS(n_factors=4, n_sweeps=6)
    plain = config.fit(data, start=tmp_path / "m")

    class Killed(Exception):
        pass

    def kill(sweep):
        if sweep.sweep == 3:
            raise Killed

    keep = {"client": client, "start": tmp_path / "m", "checkpoint": tmp_path / "c"}
    with pytest.raises(Killed):
        config.fit(data, **keep, checkpoint_every=2, exchange="needed", each_sweep=kill)
    # Which way the rows went is no part of the state.
    for mode in MODES:
        assert_same(config.fit(data, **keep, resume=True, exchange=mode), plain)


def test_a_killed_worker_costs_its_home_and_nothing_else(data):
    config = ALS(n_factors=4, n_sweeps=12)
    cluster = ClusterConfig(workers=2, threads=1, dashboard_address="127.0.0.1:0")
    with open_cluster(cluster) as client:
        before = client.run(os.getpid)

        def kill(sweep):
            if sweep.sweep == 3:
                os.kill(next(iter(before.values())), signal.SIGKILL)

        model = config.fit(data, client=client, exchange="needed", each_sweep=kill)
        assert set(client.run(os.getpid).values()) != set(before.values())
    assert_same(model, config.fit(data))


def test_workers_started_by_hand(data, tmp_path):
    config = ALS(n_factors=6, n_sweeps=4)
    alone = config.fit(data)
    with (
        cluster_by_hand(tmp_path, "a", "b") as address,
        open_cluster(ClusterConfig(scheduler=address)) as client,
    ):
        for mode in MODES:
            model = config.fit(data, client=client, exchange=mode)
            assert_same(model, alone)
            assert sum(sweep.bytes_moved for sweep in model.history) > 0


def test_a_process_keeps_the_shards_of_few_data_sets(data):
    ref = ref_of(data, "users", 0, None)
    assert ref.open() is ref.open()
    first = ref.open()
    for n in range(10):
        refs._kept(DatasetRef(f"elsewhere {n}", ""))
    assert refs._kept.cache_info().currsize == 4
    assert ref.open() is not first
