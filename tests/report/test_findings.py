"""Figures of other jobs' tables against what pandas makes of the same ratings."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from bokeh.models import BoxAnnotation
from click.testing import CliRunner

from mfdask.errors import InputError
from mfdask.figures.figure import Figure, Missing
from mfdask.jobs.cli import main
from mfdask.report.findings.accounts import Handovers, handover_table
from mfdask.report.findings.customers import deciles_of
from mfdask.report.findings.ratings import ratings_among
from mfdask.report.findings.section import findings_section
from mfdask.report.page import page
from mfdask.report.tables import Absent
from mfdask.shards import Dataset


def parts_of(section):
    return {part.name: part for part in section.parts}


@pytest.fixture(scope="module")
def ratings(data):
    """Return every rating, read rating by rating."""
    lines = []
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            shard, times = data.shard("users", block, part), data.timestamps(block, part)
            for row in range(shard.n_rows):
                lines += [
                    (shard.start + row, shard.indices[k], shard.ratings[k], times[k])
                    for k in range(shard.indptr[row], shard.indptr[row + 1])
                ]
    table = pd.DataFrame(lines, columns=["user", "item", "rating", "time"])
    return table.assign(time=pd.to_datetime(table["time"], unit="s"))


@pytest.fixture
def anomalies(data, ratings, tmp_path):
    """Return a folder as `mfdask anomalies` writes it."""
    items = data.items().iloc[[7, 3, 3, 9, 11]]
    start = ratings["time"].min()
    attacks = pd.DataFrame(
        {
            "entity": ["item", "item", "user", "item", "item"],
            "item_id": items["item_id"].array,
            "title": items["title"].array,
            "direction": "push",
            "score": [9.0, 8, 7, 6, 5],
            "window_start": start,
            "window_end": start + pd.Timedelta(days=30),
            "reason": "<script>alert(1)</script>",
        }
    )
    attacks.to_parquet(tmp_path / "suspected_attacks.parquet")
    drift = items.iloc[:2][["item_id", "title"]].assign(
        change=[0.5, -0.3], date=start + pd.Timedelta(days=100), reason="moved"
    )
    drift.to_parquet(tmp_path / "drifting_items.parquet")
    users = data.users()["user_id"].iloc[[5, 1]]
    sharing = pd.DataFrame({"user_id": users.array, "score": [2.0, 1.0], "reason": "two"})
    days = [ratings.loc[ratings["user"] == u, "time"].median() for u in (5, 1)]
    sharing["handover"] = pd.to_datetime(days, utc=True)  # as `mfdask anomalies` writes it
    sharing.to_parquet(tmp_path / "suspected_sharing.parquet")
    return tmp_path


def test_ratings_among_all(data, ratings):
    columns = ["user", "item", "time"]
    found = ratings_among(data, users=np.array([4, 250]), items=np.arange(50))
    wanted = ratings[ratings["user"].isin([4, 250]) & (ratings["item"] < 50)]
    assert len(wanted) > 0
    pd.testing.assert_frame_equal(
        found.sort_values(columns, ignore_index=True),
        wanted.sort_values(columns, ignore_index=True),
        check_dtype=False,
    )
    assert len(ratings_among(data)) == len(ratings) == data.n_train + data.n_test


def test_attacked_items(anomalies, data, ratings):
    figure = parts_of(findings_section(data, anomalies=anomalies))["attacked-items"]
    table = figure.table()
    rows = [7, 3, 9]
    assert table["item_id"].unique().tolist() == data.items()["item_id"].iloc[rows].tolist()
    first = ratings["time"].min().floor("D")
    last = first + pd.Timedelta(days=31)  # a window of 30 days ends within the 31st
    for row in rows:
        own = ratings[ratings["item"] == row]
        own = own[own["time"] < last + 2 * (last - first) + pd.Timedelta(days=1)]
        days = own.groupby(own["time"].dt.floor("D"))["rating"].agg(["size", "mean"])
        found = table[table["item_id"] == data.items()["item_id"].iloc[row]]
        assert found["period"].tolist() == days.index.tolist()
        assert found["ratings"].tolist() == days["size"].tolist()
        np.testing.assert_allclose(found["mean"], days["mean"], rtol=1e-6)
    assert len(figure.root.children) == 3
    (shade,) = (part for part in figure.root.children[0].center if isinstance(part, BoxAnnotation))
    assert pd.to_datetime([shade.left, shade.right], unit="ms").tolist() == [first, last]
    shown = figure.root.children[0].x_range
    assert (shade.right - shade.left) / (shown.end - shown.start) == pytest.approx(0.2)


def test_tables_of_anomalies(anomalies, data):
    parts = parts_of(findings_section(data, anomalies=anomalies))
    listed = parts["suspected-attacks"].table()
    assert len(listed) == 4  # each item once, and no users
    assert (
        listed["item_id"].tolist()
        == data.items()["item_id"].iloc[[7, 3, 9, 11]].astype(str).tolist()
    )
    assert "surest of 4 items" in parts["suspected-attacks"].caption
    assert len(parts["suspected-sharing"].table()) == 2
    assert "<script>" not in parts["suspected-attacks"].root.text


def test_drifting_items(anomalies, data, ratings):
    table = parts_of(findings_section(data, anomalies=anomalies))["drifting-items"].table()
    own = ratings[ratings["item"] == 3]
    quarters = own.groupby(own["time"].dt.to_period("Q"))["rating"].mean()
    found = table[table["item_id"] == data.items()["item_id"].iloc[3]]
    assert found["period"].tolist() == [quarter.start_time for quarter in quarters.index]
    np.testing.assert_allclose(found["mean"], quarters, rtol=1e-6)


def test_shared_accounts(anomalies, data, ratings):
    table = parts_of(findings_section(data, anomalies=anomalies))["shared-accounts"].table()
    own = ratings[ratings["user"] == 5]
    genres = data.items()["genres"].iloc[own["item"]].str.get_dummies("|").to_numpy()
    names = data.items()["genres"].iloc[own["item"]].str.get_dummies("|").columns
    early = (own["time"] < own["time"].median()).to_numpy()
    before = dict(zip(names, genres[early].mean(axis=0), strict=True))
    after = dict(zip(names, genres[~early].mean(axis=0), strict=True))
    found = table[table["user_id"] == data.users()["user_id"].iloc[5]]
    assert len(found) == 7
    for line in found.itertuples():
        assert line.before == pytest.approx(before[line.genre])
        assert line.after == pytest.approx(after[line.genre])
    changes = (found["after"] - found["before"]).tolist()
    assert changes == sorted(changes)
    others = [abs(after[g] - before[g]) for g in set(names) - set(found["genre"])]
    assert max(others, default=0) <= min(map(abs, changes)) + 1e-12


def test_long_genres_of_accounts_are_cut():
    long = [f"{'very ' * 20}{end}" for end in ("long", "much")]
    numbers = pd.DataFrame({"user_id": [1, 1, 2], "genre": [*long, long[0]]})
    figure = Handovers(numbers.assign(before=[0.1, 0.2, 0.3], after=[0.3, 0.1, 0.2]))
    first, second = (plot.y_range.factors for plot in figure.root.children)
    assert len(set(first)) == 2
    assert second == first[1:]  # the same genre has the same label
    assert all(len(label) < 44 for label in first)
    assert figure.source.data["genre"] == [*long, long[0]]


def test_other_ids_and_no_timestamps(anomalies, data):
    other = pd.read_parquet(anomalies / "suspected_attacks.parquet").assign(item_id=-5)
    other.to_parquet(anomalies / "suspected_attacks.parquet")
    parts = parts_of(findings_section(data, anomalies=anomalies))
    assert "None of the items" in parts["attacked-items"].why
    matrix = Dataset.from_csr(scipy.sparse.csr_array(np.array([[5.0, 3.0], [1.0, 0.0]])))
    parts = parts_of(findings_section(matrix, anomalies=anomalies))
    assert "no timestamps" in parts["drifting-items"].why
    assert "no timestamps" in parts["shared-accounts"].why


def test_what_is_not_there(data, tmp_path):
    assert all(isinstance(part, Missing) for part in findings_section(data).parts)
    file = tmp_path / "c.parquet"
    with pytest.raises(InputError, match=r"c\.parquet: is not there"):
        findings_section(data, churn=file)
    pd.DataFrame({"user_id": [1]}).to_parquet(file)
    parts = parts_of(findings_section(data, anomalies=tmp_path, churn=file))
    assert parts["attacked-items"].why == "There is no suspected_attacks.parquet."
    assert "c.evaluation.parquet" in parts["churn-metrics"].why
    assert parts["churn-lift"].why == "c.parquet has no label."
    pd.DataFrame({"item_id": [1]}).to_parquet(tmp_path / "drifting_items.parquet")
    empty = pd.DataFrame({"item_id": [1], "date": [pd.Timestamp(0)]}).iloc[:0]
    parts = parts_of(findings_section(data, anomalies=tmp_path))
    assert parts["drifting-items"].why == "drifting_items.parquet has no date."
    empty.to_parquet(tmp_path / "drifting_items.parquet")
    parts = parts_of(findings_section(data, anomalies=tmp_path))
    assert "nothing was found" in parts["drifting-items"].why
    (tmp_path / "drifting_items.parquet").write_text("no")
    with pytest.raises(InputError, match="no Parquet table"):
        findings_section(data, anomalies=tmp_path)


@pytest.fixture
def churn(tmp_path):
    """Return a table as `mfdask churn` writes it, its evaluation beside it."""
    random = np.random.default_rng(3)
    score = random.random(95)
    label = pd.array((random.random(95) < score).astype(int), dtype="Int8")
    file = tmp_path / "churn.parquet"
    pd.DataFrame({"user_id": range(95), "score": score, "label": label}).to_parquet(file)
    lines = [
        (model, features, metric, 0.5, 0.4, 0.6)
        for model in ("logistic", "boosting")
        for features in ("rfm", "rfm + latent", "gain over rfm")
        for metric in ("roc_auc", "brier")
    ]
    columns = ["model", "features", "metric", "value", "low", "high"]
    pd.DataFrame(lines, columns=columns).to_parquet(tmp_path / "churn.evaluation.parquet")
    return file


def test_deciles_of_labels(churn, data):
    table = pd.read_parquet(churn).sort_values("score", ascending=False)
    found = parts_of(findings_section(data, churn=churn))["churn-lift"].table()
    assert found["users"].sum() == 95
    assert found["users"].max() - found["users"].min() <= 1
    first = table.head(found["users"].iloc[0])
    assert found["predicted"].iloc[0] == pytest.approx(first["score"].mean())
    assert found["lift"].iloc[0] == pytest.approx(first["label"].mean() / table["label"].mean())
    assert np.average(found["lift"], weights=found["users"]) == pytest.approx(1)
    assert found["predicted"].is_monotonic_decreasing


def test_deciles_beside_the_table(churn):
    beside = pd.DataFrame({"users": [10, 30], "predicted": [0.9, 0.2], "actual": [0.8, 0.4]})
    beside.to_parquet(churn.with_name("churn.deciles.parquet"))
    found = deciles_of(churn)
    assert found["tenth"].tolist() == [1, 2]
    np.testing.assert_allclose(found["lift"], [1.6, 0.8])


def test_who_is_still_active(churn, data):
    lines = [(b, 10, w, 1 / (w + k)) for k, b in enumerate(("low", "high"), 1) for w in (0.0, 2.0)]
    curves = pd.DataFrame(lines, columns=["band", "users", "week", "active"])
    curves.to_parquet(churn.with_name("churn.survival.parquet"))
    found = parts_of(findings_section(data, churn=churn))["churn-survival"].table()
    assert found["week"].tolist() == [0, 2]
    assert found["high"].tolist() == [0.5, 0.25]


def test_what_came_is_not_known_yet(churn, data):
    table = pd.read_parquet(churn)
    table["label"] = pd.array([None] * len(table), dtype="Int8")
    table.to_parquet(churn)
    with pytest.raises(Absent, match="not known yet"):
        deciles_of(churn)
    parts = parts_of(findings_section(data, churn=churn))
    assert isinstance(parts["churn-lift"], Missing)
    assert isinstance(parts["churn-metrics"], Figure)


def test_metrics_and_gains(churn, data):
    parts = parts_of(findings_section(data, churn=churn))
    metrics, gains = parts["churn-metrics"].table(), parts["churn-gains"].table()
    assert set(metrics["features"]) == {"rfm", "rfm + latent"}
    assert set(gains["features"]) == {"gain over rfm"}
    assert len(metrics) == 8
    assert len(gains) == 4
    assert len(parts["churn-metrics"].root.children) == 2


def test_a_page_of_findings(anomalies, churn, data):
    html = page("t", [], [findings_section(data, anomalies=anomalies, churn=churn)])
    assert "<script>alert" not in html
    assert "\\u0026lt;script\\u0026gt;alert" in html


def test_accounts_whose_items_have_no_genres_are_not_drawn(tmp_path):
    ratings = pd.DataFrame(
        {"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 2], "rating": 3.0, "timestamp": [1, 9, 2, 3]}
    )
    ratings.to_csv(tmp_path / "r.csv", index=False)
    done = CliRunner().invoke(
        main, ["ingest", str(tmp_path / "r.csv"), "--split", "none", "--out", str(tmp_path / "d")]
    )
    assert done.exit_code == 0, done.output
    days = pd.DataFrame({"user_id": [1], "handover": pd.to_datetime(["1970-01-01"], utc=True)})
    assert handover_table(Dataset.open(tmp_path / "d"), days).empty
