"""How many rows there are to read, and where it pays to read them."""

from __future__ import annotations

import pytest

from mfdask.cluster import FEW_RATINGS
from mfdask.ingestion.reading import are_few
from mfdask.ratings.formats import open_source
from tests.shards.growth import random_frame


def test_what_is_few():
    assert are_few([])
    assert not are_few([open_source("synthetic:32m")])
    half = open_source(f"synthetic:users=9000,items=1000,ratings={FEW_RATINGS // 2}")
    assert are_few([half, half])
    assert not are_few([half, half, open_source("synthetic:small")])


def test_rows_are_reckoned_of_every_format(tmp_path):
    frame = random_frame(1, 5000, (100_000, 200_000), (10_000, 80_000)).dropna()
    frame["timestamp"] += 1_112_486_027
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.csv.gz", index=False)
    frame.to_parquet(tmp_path / "c.parquet", row_group_size=1000)
    for name in ("a.csv", "b.csv.gz", "c.parquet"):
        source = open_source(str(tmp_path / name), cache_dir=tmp_path / "cache")
        assert source.n_rows == pytest.approx(len(frame), rel=0.2)
