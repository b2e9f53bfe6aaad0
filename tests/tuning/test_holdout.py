"""The data set of a search."""

import numpy as np
import pytest

from mfdask.errors import InputError
from mfdask.tuning.holdout import hold_out


def triples(data, part, side="users"):
    """Return all (user, item, rating) of a part as a set, from one side's shards."""
    found = set()
    for block in range(data.n_blocks(side)):
        shard = data.shard(side, block, part)
        rows = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr)).tolist()
        pairs = zip(rows, shard.indices.tolist(), shard.ratings.tolist(), strict=True)
        found |= {(r, c, v) if side == "users" else (c, r, v) for r, c, v in pairs}
    return found


def test_the_training_ratings_fall_in_two(small, tmp_path):
    held = hold_out(small, tmp_path / "v", 0.1, 42)
    held.verify()
    train, validation = triples(held, "train"), triples(held, "test")
    assert train | validation == triples(small, "train")
    assert not train & validation
    assert triples(held, "train", "items") == train
    assert (held.n_train, held.n_test) == (len(train), len(validation))
    # Binomial: five standard deviations.
    assert abs(held.n_test - 0.1 * small.n_train) < 5 * np.sqrt(0.09 * small.n_train)
    assert held.mean == pytest.approx(np.mean([v for _, _, v in train]))


def test_tables_count_anew(small, tmp_path):
    held = hold_out(small, tmp_path / "v", 0.2, 1)
    for side, table, before in (
        ("users", held.users(), small.users()), ("items", held.items(), small.items()),
    ):  # fmt: skip
        column = 0 if side == "users" else 1
        for part in ("train", "test"):
            rows = [triple[column] for triple in triples(held, part)]
            expected = np.bincount(rows, minlength=len(table))
            np.testing.assert_array_equal(table[f"n_{part}"], expected)
        changed = ["n_train", "n_test"]
        assert table.drop(columns=changed).equals(before.drop(columns=changed))


def test_ratings_ascend_within_a_row(small, tmp_path):
    held = hold_out(small, tmp_path / "v", 0.3, 3)
    for side in ("users", "items"):
        shard = held.shard(side, 1)
        for start, stop in zip(shard.indptr[:-1], shard.indptr[1:], strict=True):
            assert (np.diff(shard.indices[start:stop]) > 0).all()


def test_seeds_and_shares(small, tmp_path):
    one = triples(hold_out(small, tmp_path / "v", 0.1, 42), "test")
    again = hold_out(small, tmp_path / "v", 0.1, 42)
    other = hold_out(small, tmp_path / "w", 0.1, 43)
    more = hold_out(small, tmp_path / "x", 0.3, 42)
    assert triples(again, "test") == one
    assert triples(other, "test") != one
    assert one < triples(more, "test")
    assert len({again.fingerprint, other.fingerprint, more.fingerprint, small.fingerprint}) == 4


@pytest.mark.parametrize("share", [0.0, 1.0, -1, float("nan"), 1e-9, 1 - 1e-9])
def test_bad_shares(small, tmp_path, share):
    with pytest.raises(InputError, match="validation must be"):
        hold_out(small, tmp_path / "v", share, 42)
    assert not list(tmp_path.iterdir())
