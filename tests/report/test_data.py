"""The numbers behind each figure of a data set, against plain pandas on all its ratings."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from bokeh.models import FactorRange

from mfdask.figures.figure import Figure, Missing
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.splits import Split
from mfdask.report.data import concentration, degrees, genres, items, overview, times
from mfdask.report.data.facts import Facts
from mfdask.report.data.section import data_section
from mfdask.shards import Dataset
from tests.shards.oracle import memory_source, ratings_of

EXACT = {"check_dtype": False, "check_exact": False, "rtol": 1e-9}


@pytest.fixture(scope="module", params=["small", pytest.param("real", marks=pytest.mark.movielens)])
def facts(request):
    if request.param == "real":
        return Facts.of(request.getfixturevalue("movielens_small"))
    return Facts.of(Dataset.open(request.getfixturevalue("small_data")))


@pytest.fixture(scope="module")
def ratings(facts):
    """All ratings, with `part`, `when`, and what is known of the item."""
    parts = [ratings_of(facts.data, part).assign(part=part) for part in ("train", "test")]
    lines = pd.concat(parts, ignore_index=True)
    known = facts.data.items()[["item_id", "title", "year", "genres"]]
    when = pd.to_datetime(lines["timestamp"], unit="s")
    return lines.assign(when=when, rating=lines["rating"].astype(float)).merge(known, on="item_id")


def value_of(figure, name, column="value"):
    table = figure.table()
    return table.loc[table.iloc[:, 0] == name, column].item()


def test_statistics(facts, ratings):
    found = overview.Statistics.of(facts)
    users, rated = ratings["user_id"].value_counts(), ratings["item_id"].value_counts()
    wanted = {
        "ratings": len(ratings),
        "users": len(users),
        "items with a rating": len(rated),
        "items in the catalogue": len(facts.data.items()),
        "ratings a user, mean": users.mean(),
        "ratings a user, median": users.median(),
        "ratings an item, mean": rated.mean(),
        "ratings an item, median": rated.median(),
        "sparsity (%)": 100 - 100 * len(ratings) / len(users) / len(rated),
        "mean rating": ratings["rating"].mean(),
        "standard deviation": ratings["rating"].std(ddof=0),
    }
    for name, value in wanted.items():
        assert value_of(found, name) == pytest.approx(value, rel=1e-9), name
    assert value_of(found, "first rating") == f"{ratings['when'].min():%Y-%m-%d}"
    assert value_of(found, "last rating") == f"{ratings['when'].max():%Y-%m-%d}"


@pytest.mark.movielens
def test_the_published_counts(movielens_small):
    facts = Facts.of(movielens_small)
    found = overview.Statistics.of(facts)
    for name, value in {"ratings": 100_836, "users": 610, "items with a rating": 9_724}.items():
        assert value_of(found, name) == value
    pairs = genres.GenreCooccurrence.of(facts).table().set_index(["given", "genre"])
    assert pairs.loc[("War", "Drama"), "probability"] == pytest.approx(0.780, abs=5e-4)
    assert pairs.loc[("Film-Noir", "Drama"), "probability"] == pytest.approx(0.575, abs=5e-4)


def test_rating_histogram(facts, ratings):
    found = overview.RatingHistogram.of(facts).table().set_index("rating")
    wanted = ratings["rating"].value_counts().reindex(found.index, fill_value=0)
    pd.testing.assert_series_equal(found["n"], wanted, check_names=False)
    np.testing.assert_allclose(found["share"], wanted / len(ratings))


def test_active_users(facts, ratings):
    found = overview.ActiveUsers.of(facts).table()
    by_user = ratings.groupby("user_id")["rating"].agg(["size", "mean"])
    assert found["n"].tolist() == sorted(by_user["size"], reverse=True)[:20]
    wanted = by_user.loc[found["user_id"]]
    assert found["n"].tolist() == wanted["size"].tolist()
    np.testing.assert_allclose(found["mean"], wanted["mean"])
    np.testing.assert_allclose(found["share"], wanted["size"] / len(ratings))


@pytest.mark.parametrize("side", ["users", "items"])
def test_degrees(facts, ratings, side):
    found = degrees.Degrees.of(facts, side).table()
    counts = ratings[f"{side[:-1]}_id"].value_counts()
    assert len(found) <= 300
    assert found["ratings"].iloc[[0, -1]].tolist() == [counts.min(), counts.max()]
    assert found["n"].tolist() == [(counts == x).sum() for x in found["ratings"]]
    np.testing.assert_allclose(found["share"], [(counts >= x).mean() for x in found["ratings"]])
    start = facts.tails[side].power_law.start
    assert (found["power_law"].isna() == (found["ratings"] < start)).all()
    fits = degrees.DegreeFits.of(facts)
    assert value_of(fits, "counts from x_min up", side) == (counts >= start).sum()


def test_rank_frequency(facts, ratings):
    found = degrees.RankFrequency.of(facts).table().set_index("rank")
    for side in ("users", "items"):
        counts = ratings[f"{side[:-1]}_id"].value_counts().to_numpy()
        shown = found[side].dropna()
        assert shown.index[[0, -1]].tolist() == [1, len(counts)]
        assert shown.tolist() == counts[shown.index - 1].tolist()


def test_ratings_per_month(facts, ratings):
    found = times.RatingsPerMonth.of(facts).table().set_index("month")
    months = ratings["when"].dt.strftime("%Y-%m")
    wanted = pd.crosstab(months, ratings["part"]).reindex(found.index, fill_value=0)
    pd.testing.assert_frame_equal(found, wanted[["train", "test"]], check_names=False)
    assert found.index.is_monotonic_increasing


def test_mean_per_year(facts, ratings):
    found = times.MeanPerYear.of(facts).table().set_index("year")
    wanted = ratings.groupby(ratings["when"].dt.year)["rating"].agg(n="size", mean="mean")
    pd.testing.assert_frame_equal(found, wanted, check_names=False, check_index_type=False, **EXACT)


def test_weekday_and_hour(facts, ratings):
    found = times.WeekdayHour.of(facts).table().set_index(["weekday", "hour"])
    when = ratings["when"].dt
    wanted = pd.crosstab(when.strftime("%a"), when.hour).stack()
    assert found["n"].sum() == len(ratings)
    for place, n in wanted.items():
        assert found.loc[place, "n"] == n
    np.testing.assert_allclose(found["share"], found["n"] / len(ratings))


def test_popularity_and_mean(facts, ratings):
    found = items.PopularityMean.of(facts).table()
    rated = ratings.groupby("item_id")["rating"].agg(n="size", mean="mean")
    assert found["items"].sum() == len(rated)
    for cell in found.itertuples():
        n, mean = rated["n"], rated["mean"]
        inside = (n >= cell.ratings_from * (1 - 1e-12)) & (n < cell.ratings_to * (1 - 1e-12))
        inside &= (mean >= cell.mean_from) & (mean < cell.mean_to)
        assert cell.items == inside.sum()


def test_the_densest_corner(facts, ratings):
    found = items.DensestCorner.of(facts).table()
    assert found["user_rank"].max() <= 60
    assert found["item_rank"].max() <= 150
    users = found.groupby("user_rank")["user_id"].unique().explode()
    chosen = ratings[ratings["user_id"].isin(users)]
    counts = ratings["user_id"].value_counts()
    assert sorted(counts[users], reverse=True) == counts[users].tolist() == counts.tolist()[:60]
    shown = found[["user_id", "item_id", "rating", "title"]]
    both = chosen.merge(shown, on=["user_id", "item_id"], suffixes=("", "_shown"))
    assert len(both) == len(shown)
    assert (both["rating"] == both["rating_shown"]).all()
    assert (both["title"] == both["title_shown"]).all()
    popular = ratings["item_id"].value_counts()
    assert popular[shown["item_id"].unique()].min() >= popular.iloc[150]


@pytest.fixture(scope="module")
def exploded(ratings):
    """Ratings, once for each genre of the item."""
    return ratings.assign(genre=ratings["genres"].str.split("|")).explode("genre")


@pytest.fixture(scope="module")
def catalogue(facts):
    """Items, once for each genre."""
    items = facts.data.items()
    return items.assign(genre=items["genres"].str.split("|")).explode("genre")


def test_genre_frequencies(facts, ratings, exploded, catalogue):
    found = genres.GenreFrequencies.of(facts).table().set_index("genre")
    assert found["items"].to_dict() == catalogue["genre"].value_counts().to_dict()
    assert found["items"].is_monotonic_decreasing
    assert found["ratings"].to_dict() == exploded["genre"].value_counts().to_dict()
    np.testing.assert_allclose(found["item_share"], found["items"] / facts.data.n_items)
    np.testing.assert_allclose(found["rating_share"], found["ratings"] / len(ratings))
    means = exploded.groupby("genre")["rating"].mean()
    np.testing.assert_allclose(found["mean"], means[found.index])


def test_genres_that_go_together(facts, catalogue):
    found = genres.GenreCooccurrence.of(facts).table()
    sets = catalogue.groupby("genre")["item_id"].apply(set)
    assert len(found) == len(sets) ** 2
    for line in found.itertuples():
        given, genre = sets[line.given], sets[line.genre]
        assert line.both == len(given & genre)
        assert line.probability == pytest.approx(len(given & genre) / len(given))


def test_ratings_of_genres(facts, exploded):
    found = genres.GenreRatings.of(facts).table()
    wanted = exploded.groupby(["genre", "rating"]).size()
    lines = found.set_index(["genre", "rating"])
    assert lines["n"][lines["n"] > 0].sort_index().to_dict() == wanted.to_dict()
    np.testing.assert_allclose(found.groupby("genre")["share"].sum(), 1)
    means = exploded.groupby("genre")["rating"].mean()
    np.testing.assert_allclose(found["mean"], means[found["genre"]])
    assert found["mean"].is_monotonic_decreasing


def test_genres_by_year(facts, catalogue):
    found = genres.GenreYears.of(facts).table()
    periods = np.unique(found["period"])
    years = int(np.diff(periods).min())
    dated = catalogue.dropna(subset="year")
    start = dated["year"].astype(int) // years * years
    n_items = dated.groupby(start)["item_id"].nunique()
    assert periods.tolist() == n_items.index[n_items >= 10].tolist()
    wanted = dated.groupby([start, "genre"]).size()
    for line in found.itertuples():
        assert line.items == n_items[line.period]
        assert line.n == wanted.get((line.period, line.genre), 0)
        assert line.share == pytest.approx(line.n / line.items)


def test_the_split(facts, ratings):
    table, shares = overview.SplitTable.of(facts), overview.SplitRatings.of(facts).table()
    for part, other in (("train", "test"), ("test", "train")):
        own, rest = (ratings[ratings["part"] == name] for name in (part, other))
        alone = ~own.drop_duplicates("item_id")["item_id"].isin(rest["item_id"])
        wanted = {
            "ratings": len(own),
            "users": own["user_id"].nunique(),
            "items": own["item_id"].nunique(),
            "items in no other part": alone.sum(),
            "mean rating": own["rating"].mean(),
            "standard deviation": own["rating"].std(ddof=0),
        }
        for name, value in wanted.items():
            assert value_of(table, name, part) == pytest.approx(value), (part, name)
        n = own["rating"].value_counts().reindex(shares["rating"], fill_value=0)
        assert shares[f"n_{part}"].tolist() == n.tolist()
        np.testing.assert_allclose(shares[part], n / len(own))


def test_every_figure_is_there_once_and_can_be_updated(facts):
    parts = data_section(facts).parts
    names = [part.name for part in parts]
    assert len(set(names)) == len(names)
    for part in parts:
        assert isinstance(part, Figure)
        table = part.table()
        part.update(table.head(2).reset_index(drop=True))
        assert len(part.table()) == min(2, len(table))


def made(client, folder, frame, catalogue=None, split="none"):
    """Ingest a frame of ratings."""
    source = memory_source(frame, catalogue=catalogue)
    ingest(source, folder / "d", client=client, choices=IngestOptions(Split.parse(split)))
    return Facts.of(Dataset.open(folder / "d"))


def frame_of(n_users=12, n_items=9, seed=1):
    lines = np.indices((n_users, n_items)).reshape(2, -1).T
    rng = np.random.default_rng(seed)
    kept = lines[rng.random(len(lines)) < 0.6]
    stars = rng.integers(1, 6, len(kept)).astype(float)
    return pd.DataFrame({"user_id": kept[:, 0], "item_id": kept[:, 1], "rating": stars})


def test_without_times_genres_and_a_test_part(client, tmp_path):
    parts = data_section(made(client, tmp_path, frame_of())).parts
    missing = {part.name: part.why for part in parts if isinstance(part, Missing)}
    assert set(missing) == {
        "ratings-per-month", "mean-per-year", "weekday-hour", "genre-frequencies", "genre-ratings",
        "genre-cooccurrence", "genre-years", "split", "split-ratings",
    }  # fmt: skip
    assert "no timestamps" in missing["weekday-hour"]
    assert "no genres" in missing["genre-years"]
    assert "held out" in missing["split"]
    assert len(parts) - len(missing) == 11


def test_genres_without_years(client, tmp_path):
    frame = frame_of()
    catalogue = pd.DataFrame(
        {"item_id": range(9), "title": "", "year": pd.NA, "genres": ["A|B", "B", ""] * 3}
    )
    parts = {
        part.name: part for part in data_section(made(client, tmp_path, frame, catalogue)).parts
    }
    assert "no years" in parts["genre-years"].why
    assert parts["genre-frequencies"].table()["items"].tolist() == [6, 3]


def test_genres_of_long_names_and_of_none(client, tmp_path):
    long = [f"{'very ' * 20}{end}" for end in ("long", "much")]
    texts = [f"{long[0]}| |B ", f"{long[1]}||B", " | "] * 3
    catalogue = pd.DataFrame(
        {"item_id": range(9), "title": "", "year": range(1990, 1999), "genres": texts}
    )
    facts = made(client, tmp_path, frame_of(), catalogue)
    assert facts.data.items()["genres"].sort_values().unique().tolist() == [
        "", *sorted(f"{name}|B" for name in long)
    ]  # fmt: skip
    for kind in ("GenreFrequencies", "GenreRatings", "GenreCooccurrence", "GenreYears"):
        figure = getattr(genres, kind).of(facts)
        assert set(figure.table()["genre"]) == {*long, "B"}
        assert set(figure.source.data["genre"]) == {*long, "B"}  # the tooltip says all of it
        factors = [
            axis.factors for axis in figure.root.references() if isinstance(axis, FactorRange)
        ]
        assert sorted(map(len, factors))[0] == 3
        assert all(len(name) < 44 for axis in factors for name in axis)
        assert set(figure.source.data["_genre"]) in [set(axis) for axis in factors]


def test_times_that_are_no_dates(client, tmp_path):
    frame = frame_of().assign(timestamp=lambda lines: 10**15 + lines.index)
    facts = made(client, tmp_path, frame)
    assert "no dates in seconds" in facts.no_times
    assert any(part.name == "weekday-hour" for part in data_section(facts).parts)


@pytest.mark.parametrize(
    ("values", "levels", "exact"),
    [
        ([3.0], 1, True),
        ([1.0, 2.5, 4.0], 3, True),
        (np.linspace(-1, 1, 500).tolist(), 40, False),
        (np.round(np.arange(0, 100, 0.25), 2).tolist(), 40, False),
    ],
)
def test_levels_of_any_scale(client, tmp_path, values, levels, exact):
    frame = frame_of(40, 30).assign(rating=lambda lines: np.resize(values, len(lines)))
    facts = made(client, tmp_path, frame)
    assert (facts.levels.n, facts.levels.exact) == (levels, exact)
    found = overview.RatingHistogram.of(facts).table()
    assert found["n"].sum() == len(frame)
    edges = np.append(found["rating"] - facts.levels.step / 2, np.inf)
    ratings = frame["rating"].to_numpy(np.float32).astype(float)
    # A rating on the edge of a bin may be counted on either side of it.
    nearest = np.abs(ratings[:, None] - edges[None, 1:-1]).min(axis=1, initial=1) > 1e-6
    wanted, _ = np.histogram(ratings[nearest], edges.clip(min(ratings.min(), edges[0])))
    assert np.abs(found["n"] - wanted).sum() <= 2 * (~nearest).sum()
    assert len(data_section(facts).parts) == 20


def test_head_and_tail(facts, ratings):
    table = concentration.TailShare.of(facts)
    for side, column in (("users", "user_id"), ("items", "item_id")):
        counts = ratings[column].value_counts().to_numpy()
        cumulative = np.append(0, np.cumsum(counts)) / len(ratings)
        places = np.linspace(0, len(counts), 101)
        wanted = np.interp(places, np.arange(len(counts) + 1), cumulative)
        np.testing.assert_allclose(table.table()[side], wanted)
        head = counts[: -(-len(counts) // 5)].sum() / len(ratings)
        assert f"{1 - head:.1%}" in table.caption


def test_memory(facts):
    data = facts.data
    made = concentration.Memory.of(facts)
    found = made.table().set_index("what")["bytes"]
    assert found["dense, float32"] == np.zeros((data.n_users, data.n_items), np.float32).nbytes
    train = scipy.sparse.random_array((30, 20), density=0.2, dtype=np.float32, format="csr")
    own = concentration.memory_table(train.nnz, 30, 20).set_index("what")["bytes"]
    indptr = train.indptr.astype(np.int64)
    assert own["sparse, by user"] == train.data.nbytes + train.indices.nbytes + indptr.nbytes
    assert concentration.in_bytes(76e9) == "76 GB"
    assert concentration.in_bytes(812) == "812 B"
