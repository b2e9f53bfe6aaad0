"""Test ratings that a model was trained on are counted, and refused."""

import shutil
from dataclasses import replace

import pytest

from mfdask.errors import InputError
from mfdask.evaluation import check_leaks, count_leaks
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.models import ALS
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset

SOURCE = "synthetic:users=60,items=40,ratings=900"


@pytest.fixture
def data(tmp_path):
    """Return a function that splits the same ratings by a seed."""

    def split(seed, kind="random:0.2"):
        folder = tmp_path / f"d{seed}-{kind[:4]}"
        ingest(open_source(SOURCE), folder, choices=IngestOptions(Split.parse(kind), seed=seed))
        return Dataset.open(folder)

    return split


def pairs(data, part):
    users, items = data.users()["user_id"], data.items()["item_id"]
    return {
        (users[user], items[item])
        for block in range(data.n_blocks("users"))
        for shard in [data.shard("users", block, part)]
        for user, item in zip(shard.rows.tolist(), shard.indices.tolist(), strict=True)
    }


def test_every_test_rating_in_the_training_is_counted(data):
    own, other = data(1), data(2)
    model = ALS(n_factors=0, n_sweeps=1).fit(own)
    assert count_leaks(model, own) == 0
    wanted = len(pairs(own, "train") & pairs(other, "test"))
    assert 0 < wanted < other.n_test
    assert count_leaks(model, other) == wanted
    with pytest.raises(InputError, match=f"{wanted} of the {other.n_test} test ratings are among"):
        check_leaks(model, other)
    assert check_leaks(model, other, allowed=True) == wanted


def test_data_that_are_gone_are_not_trusted(data):
    own, other = data(1), data(2)
    model = ALS(n_factors=0, n_sweeps=1).fit(own)
    shutil.rmtree(own.path)
    assert count_leaks(model, other) is None
    with pytest.raises(InputError, match="not where they were"):
        check_leaks(model, other)
    shutil.copytree(other.path, own.path)  # others in their place
    assert count_leaks(model, other) is None


def test_other_data_without_any_training_rating_are_no_leak(data):
    own, everything = data(1), data(2)
    held_out = pairs(own, "test")
    other = ALS(n_factors=0, n_sweeps=1).fit(everything)
    leaked = pairs(everything, "train") & held_out
    assert count_leaks(other, own) == len(leaked)
    nobody = replace(other, data=replace(other.data, address=None))
    assert count_leaks(nobody, own) is None
    same = replace(nobody, data=replace(nobody.data, fingerprint=own.fingerprint))
    assert check_leaks(same, own) == 0
