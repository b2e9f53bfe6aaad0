"""Files taken in twice, bad ones, and whatever goes wrong: the old data set stays whole."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.files import file_lock
from mfdask.ingestion import extend
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.shards.growth import (
    NEW,
    contents,
    names_in,
    random_frame,
    withdrawal,
)
from tests.shards.oracle import (
    latest,
    memory_source,
    ratings_of,
    same_ratings,
)


def test_contents_are_taken_in_once(data, caplog):
    first = extend.extend(data, [memory_source(NEW)], max_rejected=1.0)
    before, inode = contents(data), data.stat().st_ino
    with caplog.at_level(logging.WARNING):
        again = extend.extend(data, [memory_source(NEW, name="other")], max_rejected=1.0)
    assert again == first
    assert (contents(data), data.stat().st_ino) == (before, inode)
    assert "its contents were taken in before; left out" in caplog.text
    # The file that made the data set counts too, and what is new beside it is taken in.
    old = memory_source(random_frame(5, 300, (0, 30), (0, 40)))
    newer = random_frame(7, 20, (0, 45), (0, 50))
    twice = [old, memory_source(newer), memory_source(newer)]
    made = extend.extend(data, twice, max_rejected=1.0)
    assert made.counts.read == first.counts.read + 20
    assert [taken.read for taken in made.sources] == [300, 40, 20]
    assert made.fingerprint != first.fingerprint


def test_the_fingerprint_says_what_was_taken_in_and_in_what_order(data, tmp_path):
    prints = set()
    sources = [memory_source(NEW), memory_source(random_frame(7, 20, (0, 45), (0, 50)))]
    for name, order in (("a", sources), ("b", sources), ("c", sources[::-1])):
        frame = random_frame(5, 300, (0, 30), (0, 40))
        choices = IngestOptions(Split.parse("random:0.3"), blocks=2, max_rejected=1.0)
        ingest(memory_source(frame), tmp_path / name, choices=choices)
        for source in order:
            made = extend.extend(tmp_path / name, [source], max_rejected=1.0)
        prints.add((name == "c", made.fingerprint))
    assert len(prints) == 2


def test_a_reader_keeps_what_it_has_open(data):
    old = Dataset.open(data)
    shards = {b: old.shard("users", b) for b in range(2)}
    before = {b: (shard.indices.copy(), shard.ratings.copy()) for b, shard in shards.items()}
    extend.extend(data, [memory_source(NEW)], max_rejected=1.0)
    for block, (indices, ratings) in before.items():
        assert np.array_equal(shards[block].indices, indices)
        assert np.array_equal(shards[block].ratings, ratings)
    assert Dataset.open(data, verify=True).n_train > old.n_train


def test_bad_rows_are_kept_with_the_earlier_ones(data):
    before = pd.read_parquet(data / "rejected.parquet")
    frame = NEW.assign(rating=np.where(NEW.index % 10 == 3, np.nan, 1.0))
    made = extend.extend(data, [memory_source(frame), memory_source(NEW[:5])], max_rejected=1.0)
    bad = pd.read_parquet(data / "rejected.parquet")
    assert len(before) > 0
    pd.testing.assert_frame_equal(bad[: len(before)], before)
    assert bad["row"][len(before) :].tolist()[:4] == [3, 13, 23, 33]
    assert made.counts.rejected == len(bad)
    assert Dataset.open(data, verify=True).manifest == made
    with pytest.raises(
        InputError, match=r"rows: 1 of its 7 rows .*: row 3: missing .*max_rejected"
    ):
        extend.extend(data, [memory_source(frame[:7])], max_rejected=0)
    with pytest.raises(InputError, match="none of its 2 rows is a rating"):
        extend.extend(
            data, [memory_source(frame[3:4]), memory_source(frame[13:14])], max_rejected=1.0
        )
    assert Dataset.open(data, verify=True).manifest == made


def wrong(change):
    frame = NEW.dropna().assign(**change)
    return memory_source(frame.drop(columns=[k for k, v in change.items() if v is None]))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (wrong({"item_id": 3}), "its item ids are of kind int, those of the data set of kind str"),
        (wrong({"user_id": "ann"}), "user ids are of kind string, .* read it with ids int,"),
        (wrong({"timestamp": None}), "has no timestamps, the data set has; columns"),
        (memory_source(NEW[:0].astype({"item_id": "str"})), "holds no ratings"),
    ],
)
def test_what_does_not_fit_is_refused(data, source, message):
    before = contents(data)
    with pytest.raises(InputError, match=message):
        extend.extend(data, [source], max_rejected=1.0)
    assert contents(data) == before


def test_what_cannot_be_extended(tmp_path):
    source = memory_source(random_frame(5, 50, (0, 9), (0, 9)))
    choices = IngestOptions(Split.parse("sequence:0.2"), max_rejected=1.0)
    ingest(source, tmp_path / "s", choices=choices)
    with pytest.raises(InputError, match="draws for all rows in file order and cannot be extended"):
        extend.extend(tmp_path / "s", [memory_source(NEW)], max_rejected=1.0)
    with pytest.raises(InputError, match="there is no such folder"):
        extend.extend(tmp_path / "nowhere", [memory_source(NEW)], max_rejected=1.0)
    with (
        file_lock(tmp_path / "s", "ingesting into"),
        pytest.raises(RefusedError, match="another process is taking ratings into it"),
    ):
        extend.extend(tmp_path / "s", [memory_source(NEW)], max_rejected=1.0)


@pytest.mark.parametrize("split", ["random:0.3", "time:0.3", "user-time:0.3"])
def test_all_that_is_withdrawn_leaves_the_old_data_set(tmp_path, split):
    data = tmp_path / "d"
    ingest(
        memory_source(NEW),
        data,
        choices=IngestOptions(Split.parse(split), blocks=2, max_rejected=1.0),
    )
    found, before = Dataset.open(data), contents(data)
    every = pd.concat([ratings_of(found, part) for part in ("train", "test")])
    pairs = list(zip(every["user_id"], every["item_id"], strict=True))
    with pytest.raises(InputError, match="leaves none of the 0 ratings for training"):
        extend.extend(data, [], withdrawn=[withdrawal(pairs)], max_rejected=1.0)
    assert contents(data) == before
    assert names_in(data.parent) == ["d"]


def test_an_error_half_way_leaves_the_old_data_set(data, monkeypatch):
    before = contents(data)
    monkeypatch.setattr(extend, "describe", lambda *facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        extend.extend(data, [memory_source(NEW)], max_rejected=1.0)
    assert contents(data) == before
    assert names_in(data.parent) == ["d"]


def test_at_an_error_what_runs_ends_before_its_folder_goes(data, monkeypatch):
    began, is_there = threading.Event(), []

    def slow(root, *rest):
        began.set()
        time.sleep(0.3)
        is_there.append(root.exists())

    def fail(*anything):
        began.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(extend, "write_withdrawn", slow)
    monkeypatch.setattr(extend, "_plan", fail)
    with pytest.raises(KeyboardInterrupt):
        extend.extend(data, [memory_source(NEW)], max_rejected=1.0)
    assert is_there == [True]
    assert names_in(data.parent) == ["d"]


def test_behind_a_link_the_data_set_is_replaced_and_the_link_stays(data, tmp_path):
    link = tmp_path / "today"
    link.symlink_to(data)
    made = extend.extend(link, [memory_source(NEW)], max_rejected=1.0)
    assert Dataset.open(data, verify=True).manifest == made
    source = memory_source(NEW)
    made = ingest(source, link, overwrite=True, choices=IngestOptions(max_rejected=1.0))
    assert Dataset.open(data, verify=True).manifest == made
    link.unlink()
    link.symlink_to(tmp_path / "later")
    ingest(source, link, choices=IngestOptions(max_rejected=1.0))
    assert names_in(tmp_path) == ["d", "later", "today"]
    assert link.is_symlink()


def _extend_for_ever(data: Path, sign: Path) -> None:
    def wait(*facts):
        sign.touch()
        time.sleep(600)

    extend.describe = wait  # all shards are written by then
    extend.extend(data, [memory_source(NEW)], max_rejected=1.0)


def test_killed_before_the_end_and_started_again(data, tmp_path):
    before, sign = contents(data), tmp_path / "began"
    process = multiprocessing.get_context("spawn").Process(
        target=_extend_for_ever, args=(data, sign)
    )
    process.start()
    deadline = time.monotonic() + 120
    while not sign.exists():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert contents(data) == before
    made = extend.extend(data, [memory_source(NEW)], max_rejected=1.0)
    found = Dataset.open(data, verify=True)
    assert found.fingerprint == made.fingerprint
    every = pd.concat([random_frame(5, 300, (0, 30), (0, 40)), NEW], ignore_index=True)
    both = pd.concat([ratings_of(found, part) for part in ("train", "test")], ignore_index=True)
    same_ratings(both, latest(every))
    assert names_in(tmp_path) == ["began", "d"]


def flip_a_bit(file: Path) -> None:
    """Flip one bit in the middle of a file; links to it keep what they had."""
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    file.unlink()
    file.write_bytes(damaged)


def test_what_is_damaged_is_not_written_anew(data):
    """Whatever file it is: it would come out with the right checksum of wrong contents."""
    extend.extend(
        data, [memory_source(NEW)], withdrawn=[withdrawal([(1, "i2", 5)])], max_rejected=1.0
    )
    files = Dataset.open(data).manifest.files
    assert {"users.parquet", "rejected.parquet", "withdrawn.parquet"} <= files.keys()
    more = random_frame(7, 20, (0, 45), (0, 50))
    for name in files:
        whole = (data / name).read_bytes()
        flip_a_bit(data / name)
        before = contents(data)
        with pytest.raises(InputError, match=f"{name}: the file does not match its checksum"):
            extend.extend(data, [memory_source(more)], max_rejected=1.0)
        assert contents(data) == before
        (data / name).write_bytes(whole)
    assert extend.extend(data, [memory_source(more)], max_rejected=1.0).counts.read > 0
