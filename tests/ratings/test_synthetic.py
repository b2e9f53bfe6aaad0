"""Synthetic ratings: exact counts, the rules they keep, and the shape that they are made for."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfdask.errors import InputError
from mfdask.ratings.source import REJECTED_COLUMNS, Source
from mfdask.ratings.synthetic import GENRE_NAMES, NO_GENRES, open_synthetic, parse_spec

TINY = "synthetic:users=40,items=60,ratings=900"


def read(source: Source) -> pd.DataFrame:
    return pd.concat([part.read().ratings for part in source.parts], ignore_index=True)


@pytest.fixture(scope="module")
def small() -> Source:
    return open_synthetic("synthetic:small", 42)


@pytest.fixture(scope="module")
def ratings(small: Source) -> pd.DataFrame:
    return read(small)


@pytest.fixture(scope="module")
def middling() -> pd.DataFrame:
    return read(open_synthetic("synthetic:users=6000,items=8000,ratings=500000", 5))


def check_rules(source: Source, users: int, items: int, n: int) -> None:
    ratings = read(source)
    assert len(ratings) == n
    assert not ratings.duplicated(["user_id", "item_id"]).any()
    assert ratings.user_id.nunique() <= users
    assert source.catalogue is not None
    assert len(source.catalogue) == items
    assert source.catalogue.item_id.is_unique
    year = ratings.item_id.map(source.catalogue.set_index("item_id").year)
    assert (pd.to_datetime(ratings.timestamp, unit="s").dt.year >= year).all()
    assert set(ratings.rating.unique()) <= set(np.arange(1, 11) / 2)


def test_a_part_is_as_the_contract_says(small: Source) -> None:
    parsed = small.parts[0].read()
    assert {name: str(kind) for name, kind in parsed.ratings.dtypes.items()} == {
        "user_id": "int64",
        "item_id": "int64",
        "rating": "float32",
        "timestamp": "int64",
    }
    assert parsed.ratings.index.equals(pd.RangeIndex(len(parsed.ratings)))
    assert list(parsed.rejected.columns) == REJECTED_COLUMNS
    assert len(parsed.rejected) == 0
    assert parsed.n_read == parsed.n_lines == len(parsed.ratings)
    assert (small.user_kind, small.item_kind, small.has_timestamps) == ("int", "int", True)
    assert small.name == "synthetic-small"
    assert small.origin == "synthetic:small (seed 42)"


@pytest.mark.parametrize(
    ("text", "users", "items", "n"),
    [
        ("synthetic:small", 600, 2_000, 60_000),
        ("synthetic:1m", 6_040, 3_700, 1_000_000),
        ("synthetic: ratings=900 ,users=40,items=60", 40, 60, 900),
        ("synthetic:users=30,items=20,ratings=300", 30, 20, 300),
        ("synthetic:users=2,items=1,ratings=1", 2, 1, 1),
        ("synthetic:users=100,items=1000,ratings=50", 100, 1000, 50),
        ("synthetic:users=1,items=5000,ratings=2_500", 1, 5000, 2500),
        ("synthetic:users=3000,items=1,ratings=1500", 3000, 1, 1500),
    ],
)
def test_counts_are_exact_and_rules_kept(text: str, users: int, items: int, n: int) -> None:
    check_rules(open_synthetic(text, 7), users, items, n)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**70))
def test_any_small_spec_keeps_the_rules(
    data: st.DataObject, users: int, items: int, seed: int
) -> None:
    n = data.draw(st.integers(1, max(1, users * items // 2)))
    text = f"synthetic:users={users},items={items},ratings={n}"
    if 2 * n > users * items:
        with pytest.raises(InputError, match="users \\* items / 2"):
            open_synthetic(text, seed)
    else:
        check_rules(open_synthetic(text, seed, part_ratings=100), users, items, n)


def test_the_same_seed_gives_the_same_bytes(ratings: pd.DataFrame) -> None:
    again = open_synthetic("synthetic:small", 42)
    pd.testing.assert_frame_equal(read(again), ratings)
    assert again.parts[0].read().digest == again.parts[0].read().digest


def test_another_seed_gives_other_ratings(small: Source, ratings: pd.DataFrame) -> None:
    other = open_synthetic("synthetic:small", 43)
    assert other.parts[0].read().digest != small.parts[0].read().digest
    assert (read(other).user_id.value_counts().iloc[:50] > 0).all()
    assert not read(other).rating.equals(ratings.rating)


def test_the_size_of_parts_changes_nothing(ratings: pd.DataFrame) -> None:
    source = open_synthetic("synthetic:small", 42, part_ratings=7_000)
    parts = [part.read().ratings for part in source.parts]
    assert len(parts) > 5
    assert all(0 < len(part) < 9_000 for part in parts)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), ratings)


def test_a_part_travels_light_and_reads_the_same_elsewhere() -> None:
    part = open_synthetic(TINY, 3).parts[0]
    sent = pickle.dumps(part)
    assert len(sent) < 1_000
    assert pickle.loads(sent).read().digest == part.read().digest


@pytest.mark.parametrize("setting", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_interpreted_and_checked_kernels_agree(setting: str, tmp_path: Path) -> None:
    code = (
        "from mfdask.ratings.synthetic import open_synthetic;"
        f"print(open_synthetic({TINY!r}, 3).parts[0].read().digest)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, setting: "1", "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == open_synthetic(TINY, 3).parts[0].read().digest


def test_ids_are_neither_contiguous_nor_in_order_of_popularity(ratings: pd.DataFrame) -> None:
    counts = ratings.item_id.value_counts().sort_index()
    assert counts.index.max() > 2 * len(counts)
    assert abs(np.corrcoef(counts.index, counts)[0, 1]) < 0.1
    users = ratings.user_id.value_counts().sort_index()
    assert users.index.max() > 2 * len(users)
    assert abs(np.corrcoef(users.index, users)[0, 1]) < 0.15
    assert ratings.user_id.is_monotonic_increasing


def test_both_sides_are_skewed(middling: pd.DataFrame) -> None:
    users = middling.user_id.value_counts()
    assert users.min() == 20
    assert users.median() < 0.6 * users.mean()
    assert users.max() > 15 * users.mean()
    assert users.max() <= 0.4 * 8000 + 1
    items = middling.item_id.value_counts()
    assert items.median() < 0.5 * items.mean()
    assert items.max() > 0.2 * users.size
    assert items.iloc[:800].sum() > 0.5 * len(middling)
    assert items.size > 0.98 * 8000


def test_stars_look_like_movielens(middling: pd.DataFrame) -> None:
    assert middling.rating.mean() == pytest.approx(3.5, abs=0.15)
    assert middling.rating.std() == pytest.approx(1.06, abs=0.06)
    whole = (middling.rating % 1 == 0).groupby(middling.user_id).all()
    assert whole.mean() == pytest.approx(0.5, abs=0.05)
    of_item = middling.groupby("item_id").rating.agg(["mean", "size"]).query("size >= 10")
    assert np.corrcoef(np.log(of_item["size"]), of_item["mean"])[0, 1] > 0.1


def test_taste_follows_genres(middling: pd.DataFrame) -> None:
    """A user's mean residual in a genre says something about further items of that genre."""
    source = open_synthetic("synthetic:users=6000,items=8000,ratings=500000", 5)
    assert source.catalogue is not None
    genres = middling.item_id.map(source.catalogue.set_index("item_id").genres)
    own = middling[genres == "Drama"].copy()
    own["residual"] = own.rating - own.groupby("item_id").rating.transform("mean")
    own["residual"] -= middling.groupby("user_id").rating.mean().reindex(own.user_id).to_numpy()
    half = np.arange(len(own)) % 2
    means = own.groupby(["user_id", half]).residual.agg(["mean", "size"]).unstack()
    means = means[(means["size"] >= 3).all(axis=1)]
    assert len(means) > 300
    assert means["mean"].corr().iloc[0, 1] > 0.1


def test_time_comes_in_sessions_and_users_leave(middling: pd.DataFrame) -> None:
    span = pd.to_datetime(middling.timestamp.agg(["min", "max"]), unit="s")
    assert span["min"].year == 1996
    assert span["max"].year == 2023
    in_order = middling.sort_values(["user_id", "timestamp"])
    pause = in_order.groupby("user_id").timestamp.diff().dropna()
    assert pause.median() < 60
    assert 0.005 < (pause > 3600).mean() < 0.2
    left = middling.groupby("user_id").timestamp.max() < middling.timestamp.max() - 365 * 86_400
    assert 0.5 < left.mean() < 0.98


def test_the_catalogue_is_well_formed(small: Source) -> None:
    catalogue = small.catalogue
    assert catalogue is not None
    assert list(catalogue.columns) == ["item_id", "title", "year", "genres"]
    assert catalogue.item_id.is_monotonic_increasing
    assert catalogue.year.dtype == "Int16"
    assert catalogue.year.between(1902, 2022).all()
    pattern = r"Synthetic (\d{5,}) \((\d{4})\)"
    found = catalogue.title.str.fullmatch(pattern)
    assert found.all()
    told = catalogue.title.str.extract(pattern).astype(int)
    assert (told[0] == catalogue.item_id).all()
    assert (told[1] == catalogue.year).all()
    lists = catalogue.genres.str.split("|")
    assert set(lists.explode()) == set(GENRE_NAMES)
    assert lists.map(len).between(1, 3).all()
    assert lists.map(lambda names: len(set(names)) == len(names)).all()
    assert (lists[lists.map(lambda names: NO_GENRES in names)].map(len) == 1).all()
    assert lists.explode().value_counts().index[:2].tolist() == ["Drama", "Comedy"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("synthetic:", "cannot read ''"),
        ("synthetic:huge", "cannot read 'huge'"),
        ("synthetic:users=10", "items and ratings missing"),
        ("synthetic:users=10,items=10", "ratings missing"),
        ("synthetic:users=10,items=10,ratings=5,users=3", "cannot read 'users=3'"),
        ("synthetic:users=10,items=10,ratings=5,genres=3", "cannot read 'genres=3'"),
        ("synthetic:users=ten,items=10,ratings=5", "cannot read 'users=ten'"),
        ("synthetic:users=-1,items=10,ratings=5", "cannot read 'users=-1'"),
        ("synthetic:users=1.5,items=10,ratings=5", "cannot read 'users=1.5'"),
        ("synthetic:users=1e3,items=10,ratings=5", "cannot read 'users=1e3'"),
        ("synthetic:users=٣,items=10,ratings=5", "cannot read 'users=٣'"),
        ("synthetic:users=0,items=10,ratings=5", "users must be between 1 and"),
        ("synthetic:users=10,items=10,ratings=0", "ratings must be between 1 and"),
        (f"synthetic:users=10,items={10**30},ratings=5", "items must be between 1 and"),
        ("synthetic:users=10,items=10,ratings=51", "at most users * items / 2 = 50 ratings"),
    ],
)
def test_bad_specs_end_with_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_spec(text)
    line = str(caught.value)
    assert says in line
    assert line.startswith(text)
    assert "\n" not in line
