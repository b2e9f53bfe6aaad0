"""Weights of ratings: how they are read, kept, merged and handed on."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from mfdask.downstream.anomalies.folds import Fold, without_fold
from mfdask.downstream.customers.past import histories_as_of, write_past
from mfdask.errors import InputError
from mfdask.execution import LocalExecutor
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.extend import extend
from mfdask.ratings.formats import open_source
from mfdask.ratings.frames import open_frame
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from mfdask.shards.frames import ratings_frame
from tests.shards.growth import random_frame, same_data, withdrawal
from tests.shards.oracle import latest, memory_source, ratings_of, same_ratings

COLUMN = {"weight": "w"}


def weighted_frame(seed, n, users=(0, 30), items=(0, 40)):
    frame = random_frame(seed, n, users, items)
    random = np.random.default_rng(seed)
    return frame.assign(weight=random.integers(1, 9, n).astype(np.float32) / 4)


def made(folder, frame, split="random:0.2", blocks=3):
    choices = IngestOptions(Split.parse(split), blocks=blocks, max_rejected=1.0)
    ingest(memory_source(frame), folder, choices=choices)
    return Dataset.open(folder, verify=True)


def weights_of_pairs(data, side):
    """Return the weight of each pair of rows, of the training shards of a side."""
    found = {}
    for block in range(data.n_blocks(side)):
        shard, weights = data.shard(side, block), data.weights(block, side=side)
        rows = zip(shard.rows.tolist(), shard.indices.tolist(), strict=True)
        pairs = ((one, other) if side == "users" else (other, one) for one, other in rows)
        found |= dict(zip(pairs, weights.tolist(), strict=True))
    return found


def test_each_rating_keeps_its_weight(tmp_path):
    frame = weighted_frame(1, 900)
    data, kept = made(tmp_path / "d", frame), latest(frame)
    train, test = (ratings_of(data, part) for part in ("train", "test"))
    same_ratings(pd.concat([train, test]), kept)
    assert weights_of_pairs(data, "users") == weights_of_pairs(data, "items")
    assert data.manifest.mean_weight == pytest.approx(train["weight"].mean())
    lines = ratings_frame(data).compute()
    same_ratings(lines, train)


def test_a_data_set_without_weights_is_what_it_was(tmp_path):
    frame = weighted_frame(1, 300)
    weighted, plain = (
        made(tmp_path / "w", frame),
        made(tmp_path / "p", frame.drop(columns="weight")),
    )
    assert plain.weights(0) is None
    assert plain.manifest.mean_weight is None
    assert not any("weights" in name for name in plain.manifest.files)
    assert weighted.fingerprint != plain.fingerprint
    same_ratings(ratings_of(plain, "train"), ratings_of(weighted, "train"))


@pytest.mark.parametrize("split", ["random:0.2", "time:0.2", "user-time:0.2"])
def test_what_grows_is_what_is_ingested_at_once(tmp_path, split):
    first, second = weighted_frame(2, 500), weighted_frame(3, 120, (5, 45), (0, 50))
    data = made(tmp_path / "d", first, split)
    extend(data.path, [memory_source(second)], max_rejected=1.0)
    grown = Dataset.open(data.path, verify=True)
    every = pd.concat([first, second], ignore_index=True)
    whole = made(tmp_path / "e", every, split)
    same_data(grown, whole)
    assert grown.manifest.mean_weight == pytest.approx(whole.manifest.mean_weight)
    assert weights_of_pairs(grown, "users") == weights_of_pairs(grown, "items")
    order = ["user_id", "item_id", "timestamp"]
    logs = [ratings_of(one, "repeats").sort_values(order) for one in (grown, whole)]
    pd.testing.assert_frame_equal(*(log.reset_index(drop=True) for log in logs))
    gone = ratings_of(grown, "train").iloc[[0, 5]]
    extend(
        data.path,
        [],
        withdrawn=[withdrawal(list(zip(gone["user_id"], gone["item_id"], strict=True)))],
    )
    left = ratings_of(Dataset.open(data.path), "train")
    pairs = set(zip(gone["user_id"], gone["item_id"], strict=True))
    assert pairs.isdisjoint(zip(left["user_id"], left["item_id"], strict=True))
    assert len(left.merge(every.dropna(), on=list(left.columns)).drop_duplicates()) == len(left)


def test_only_both_or_none_have_weights(tmp_path):
    frame = weighted_frame(2, 300)
    plain = frame.drop(columns="weight")
    data = made(tmp_path / "d", frame)
    with pytest.raises(InputError, match="has no weights, the data set has; columns weight=NAME"):
        extend(data.path, [memory_source(plain)])
    made(tmp_path / "p", plain)
    with pytest.raises(InputError, match="has weights, the data set has none"):
        extend(tmp_path / "p", [memory_source(frame)])
    with pytest.raises(InputError, match="weights in both or in none"):
        ingest(memory_source(frame), tmp_path / "t", test=memory_source(plain))
    with pytest.raises(InputError, match=r"what is added up .sum. has no weights"):
        ingest(memory_source(frame), tmp_path / "s", choices=IngestOptions(repeats="sum"))


def test_folds_and_pasts_keep_the_weights(tmp_path):
    frame = weighted_frame(4, 700)
    data = made(tmp_path / "d", frame)
    own = weights_of_pairs(data, "users")
    kept = weights_of_pairs(without_fold(data, Fold(0, 3)), "items")
    assert 0 < len(kept) < len(own)
    assert kept.items() <= own.items()
    cutoff = 300_000
    (known,) = histories_as_of(data, (cutoff,), LocalExecutor())
    past = write_past(data, known, tmp_path / "past", LocalExecutor())
    expected = latest(frame[frame["timestamp"] < cutoff])
    same_ratings(ratings_of(past, "train"), expected)
    assert past.manifest.mean_weight == pytest.approx(expected["weight"].mean())


BAD = {
    "0": "weight is not above 0",
    "-1": "weight is not above 0",
    "1e-60": "weight is not above 0",
    "inf": "weight is not finite",
    "nan": "weight is not finite",
    "1e39": "weight is not finite",
    "": "missing weight",
    "much": "weight is not a number",
}


def lines(form):
    """Return rows of good weights, and behind each kind of bad one a good one."""
    weights = ["1", "0.25"] * 30 + [w for bad in BAD for w in (bad, "2e-3")]
    if form != "csv":
        weights = [float(w) if w not in ("", "much") else None for w in weights]
    n = len(weights)
    rows = {"user": np.arange(n) % 7, "item": np.arange(n), "rating": np.arange(n) % 5 + 1.0}
    return pd.DataFrame({**rows, "w": weights})


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "frame"])
def test_bad_weights_are_bad_rows(tmp_path, form):
    frame, path = lines(form), str(tmp_path / f"r.{form}")
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "parquet":
        frame.to_parquet(path)
    elif form == "json":
        rows = frame.to_dict("records")
        text = "\n".join(json.dumps({k: v for k, v in row.items() if v == v}) for row in rows)
        (tmp_path / "r.json").write_text(text.replace("Infinity", "1e999"))
    if form == "frame":
        source = open_frame(frame, columns=COLUMN)
    else:
        source = open_source(path, columns=COLUMN, cache_dir=tmp_path)
    with pytest.raises(InputError, match="rows are bad"):
        ingest(source, tmp_path / "d")
    counts = ingest(source, tmp_path / "d", choices=IngestOptions(max_rejected=1.0)).counts
    assert (counts.read, counts.rejected) == (len(frame), len(BAD))
    reasons = pd.read_parquet(tmp_path / "d" / "rejected.parquet")["reason"].tolist()
    assert set(reasons) <= set(BAD.values())
    if form == "csv":
        assert reasons == list(BAD.values())
    data = Dataset.open(tmp_path / "d", verify=True)
    kept = pd.concat([ratings_of(data, part) for part in ("train", "test")])
    assert set(kept["weight"].tolist()) == set(np.float32([1, 0.25, 2e-3]).tolist())


def test_decimal_commas(tmp_path):
    (tmp_path / "r.csv").write_text("user;item;rating;w\n" + "1;2;4;0,5\n2;3;5;1,25\n")
    source = open_source(str(tmp_path / "r.csv"), columns=COLUMN, cache_dir=tmp_path)
    ingest(source, tmp_path / "d", choices=IngestOptions(Split.parse("none")))
    assert sorted(ratings_of(Dataset.open(tmp_path / "d"), "train")["weight"]) == [0.5, 1.25]


def test_no_column_is_taken_for_weights_unasked(tmp_path):
    frame = lines("frame").rename(columns={"w": "weight"})
    assert not open_frame(frame).has_weights
    with pytest.raises(InputError, match=r"no column 'w' .meant as weight."):
        open_frame(frame, columns=COLUMN)
