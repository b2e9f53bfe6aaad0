"""Features are those that slow and plain code finds, and rest on nothing after the cut-off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf

from mfdask.downstream.customers import past as past_of
from mfdask.downstream.customers import tables as tables_of
from mfdask.downstream.customers.density import log_neighbour_distance
from mfdask.downstream.customers.latent import CHANGE_DAYS, RECENT_DAYS
from mfdask.downstream.customers.origins import Origins, Span, parse_date
from mfdask.downstream.customers.past import chosen_users, histories_as_of, write_past
from mfdask.downstream.customers.refit import Frame, refit_warm
from mfdask.downstream.customers.rfm import RFM
from mfdask.downstream.customers.tables import feature_tables
from mfdask.execution import LocalExecutor, executor
from mfdask.models import ALS
from mfdask.models.store import save_model
from mfdask.shards import bounds
from tests.shards.oracle import item_triples, ratings_of, same_ratings, user_triples

from .lively import DAY

CUTOFF = "2021-03-01"
FACTORS = 3


@pytest.fixture(scope="module")
def model(data):
    return ALS(n_factors=FACTORS, n_sweeps=4, reg_scaling=0.5).fit(data)


@pytest.fixture(scope="module")
def origins(data):
    return Origins.choose(Span.of(data), CUTOFF, 60, 1, 60)


@pytest.fixture(scope="module")
def tables(data, model, origins, tmp_path_factory):
    return feature_tables(data, model, origins, "refit", tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def past(data, origins, tmp_path_factory):
    run = LocalExecutor()
    (known,) = histories_as_of(data, (origins.cutoff,), run)
    return write_past(data, known, tmp_path_factory.mktemp("past") / "p", run)


def before(ratings, cutoff):
    return ratings[ratings["timestamp"] < cutoff]


def test_the_past_is_what_was_before(past, ratings, origins):
    wanted = before(ratings, origins.cutoff)
    users, items = past.users()["user_id"].to_numpy(), past.items()["item_id"].to_numpy()
    found = []
    for block in range(past.n_blocks("users")):
        shard = past.shard("users", block)
        rows = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr))
        columns = (users[rows], items[shard.indices], shard.ratings, past.timestamps(block))
        found += zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    assert sorted(found) == sorted(map(tuple, wanted.to_numpy().tolist()))
    assert past.mean == pytest.approx(wanted["rating"].mean())
    past.verify()


def test_the_past_in_blocks_on_a_cluster(past, data, origins, client, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "RATINGS_PER_BLOCK", past.n_train // 4)
    with executor(client) as run:
        (known,) = histories_as_of(data, (origins.cutoff,), run)
        found = write_past(data, known, tmp_path / "p", run)
    found.verify()
    assert found.n_blocks("users") == found.n_blocks("items") == 4
    same_ratings(ratings_of(found, "train"), ratings_of(past, "train"))
    assert item_triples(found) == user_triples(found) == user_triples(past)
    for side in ("users", "items"):
        assert getattr(found, side)().equals(getattr(past, side)())
    assert found.manifest.counts == past.manifest.counts
    assert found.fingerprint != past.fingerprint
    assert set(found.manifest.files) == {
        str(f.relative_to(found.path)) for f in found.path.rglob("*.[np][pa]*")
    }


def test_rows_of_the_past_are_ranked_by_its_counts(past, ratings, origins):
    wanted = before(ratings, origins.cutoff)
    for side, column in (("users", "user_id"), ("items", "item_id")):
        counts = wanted[column].value_counts()
        ranked = sorted(counts.index, key=lambda key, n=counts: (-n[key], key))
        table = past.users() if side == "users" else past.items()
        assert table[column].tolist() == ranked
        assert table["n_train"].tolist() == counts[ranked].tolist()


def test_cohort_and_dates(tables, ratings, origins):
    table = tables[-1].cohort.set_index("user_id")
    cutoff = origins.cutoff
    cohort = []
    for user, lines in before(ratings, cutoff).groupby("user_id"):
        times = lines["timestamp"]
        days = times // DAY
        recent = {n: int((times >= cutoff - n * DAY).sum()) for n in (30, 90, 180)}
        if days.nunique() < 3 or not recent[180]:
            continue
        cohort.append(user)
        own = table.loc[user]
        assert own["recency_days"] == pytest.approx((cutoff - times.max()) / DAY)
        assert own["tenure_days"] == pytest.approx((cutoff - times.min()) / DAY)
        assert own["active_days"] == days.nunique()
        assert own["ratings"] == len(times)
        assert {n: own[f"ratings_{n}d"] for n in recent} == recent
        gap = (times.max() - times.min()) / DAY / (days.nunique() - 1)
        assert own["gap_ratio"] == pytest.approx(own["recency_days"] / gap)
    assert table.index.tolist() == cohort
    assert len(cohort) > 40
    assert len(tables[-1].everyone) == before(ratings, cutoff)["user_id"].nunique()


def solved(lines, fitted):
    """Return bias and factors of a user from their ratings, and the inverse of the system."""
    p = fitted.parameters
    rows = fitted.rows_of("items", lines["item_id"])
    x = np.column_stack([np.ones(len(rows)), fitted.item_factors[rows]]).astype(float)
    y = lines["rating"].to_numpy() - fitted.mean - fitted.item_bias[rows]
    ridge = np.diag([p["bias_reg"]] + [p["factor_reg"]] * FACTORS) / p["fidelity"]
    inverse = np.linalg.inv(x.T @ x + ridge * max(len(lines), 1) ** p["reg_scaling"])
    return inverse @ x.T @ y, inverse


def test_latent_features(tables, past, data, model, ratings, origins, tmp_path):
    run = LocalExecutor()
    (known,) = histories_as_of(data, origins.earlier, run)
    save_model(model.refit(write_past(data, known, tmp_path / "p", run)), tmp_path / "m")
    fitted = refit_warm(model, past, tmp_path / "m", None)
    noise = fitted.history[-1].train_rmse ** 2
    known = before(ratings, origins.cutoff)
    age = (origins.cutoff - known["timestamp"]) / DAY
    popular = known["item_id"].value_counts().reset_index()
    popular = popular.sort_values(["count", "item_id"], ascending=[False, True])["item_id"][:200]
    rows = fitted.rows_of("items", popular)
    table = tables[-1].cohort.set_index("user_id")
    names = [f"p{k:02d}" for k in range(FACTORS)]
    for user in table.index[::7]:
        mine = known["user_id"] == user
        w, _ = solved(known[mine], fitted)
        assert table.loc[user, "user_bias"] == pytest.approx(w[0], abs=1e-4)
        # Axes are those of the earlier cut-off: lengths and predictions do not care.
        length = np.linalg.norm(table.loc[user, names])
        assert length == pytest.approx(np.linalg.norm(w[1:]), rel=1e-3, abs=1e-5)
        (r, cov_r), (o, cov_o) = (
            solved(known[mine & part], fitted) for part in (age <= RECENT_DAYS, age > RECENT_DAYS)
        )
        moved, spread = (r - o)[1:], noise * (cov_r + cov_o)[1:, 1:]
        drift = moved @ np.linalg.solve(spread, moved)
        assert table.loc[user, "drift"] == pytest.approx(drift, rel=1e-3, abs=1e-5)
        then, _ = solved(known[mine & (age > CHANGE_DAYS)], fitted)
        stars = [
            np.mean(fitted.mean + v[0] + fitted.item_bias[rows] + fitted.item_factors[rows] @ v[1:])
            for v in (w, then)
        ]
        assert table.loc[user, "popular_item_affinity"] == pytest.approx(stars[0], abs=1e-4)
        assert table.loc[user, "popular_item_affinity_change"] == pytest.approx(
            stars[0] - stars[1], abs=1e-4
        )


def test_the_cluster_finds_the_same(data, model, origins, tables, client, tmp_path):
    spread = feature_tables(data, model, origins, "refit", tmp_path, client)
    for here, there in zip(tables, spread, strict=True):
        pd.testing.assert_frame_equal(here.cohort, there.cohort, check_exact=True)
        pd.testing.assert_frame_equal(here.everyone, there.everyone, check_exact=True)
        assert here.version == there.version
    assert not list(tmp_path.iterdir())


def test_users_are_drawn_by_their_ids_beside_the_cohort(monkeypatch):
    rng = np.random.default_rng(5)
    n_ratings = rng.integers(0, 100, 5000)
    ids, cohort = pd.Series(rng.permutation(5000) + 7), (n_ratings > 0) & (rng.random(5000) < 0.1)
    assert chosen_users(n_ratings, cohort, ids).tolist() == (n_ratings > 0).tolist()
    monkeypatch.setattr(past_of, "MOST_RATINGS", n_ratings.sum() // 3)
    chosen = chosen_users(n_ratings, cohort, ids)
    assert chosen[cohort].all()
    assert not chosen[n_ratings == 0].any()
    assert 0.99 * past_of.MOST_RATINGS < n_ratings[chosen].sum() <= past_of.MOST_RATINGS
    others, rated = chosen & ~cohort, (n_ratings > 0) & ~cohort
    assert n_ratings[others].mean() == pytest.approx(n_ratings[rated].mean(), rel=0.1)
    # Whatever the order of the rows, and nearly the same ones when there is more.
    order = rng.permutation(5000)
    again = chosen_users(n_ratings[order], cohort[order], ids[order].reset_index(drop=True))
    assert (again == chosen[order]).all()
    later = chosen_users(n_ratings + (n_ratings > 50), cohort, ids)
    assert (later != chosen).mean() < 0.02


def test_factors_from_some_users(data, model, origins, tables, tmp_path, monkeypatch):
    """Dates are those of everybody, and the factors of the cohort are near to those from all."""
    n = int(tables[-1].everyone["ratings"].sum())
    monkeypatch.setattr(past_of, "MOST_RATINGS", 2 * n // 3)
    seen = []
    monkeypatch.setattr(
        tables_of, "write_past", lambda *args: seen.append(write_past(*args)) or seen[-1]
    )
    found = feature_tables(data, model, origins, "refit", tmp_path)
    assert seen[-1].n_train < n  # the cohort has most
    dates = ["user_id", *RFM]
    for all_users, some in zip(tables, found, strict=True):
        pd.testing.assert_frame_equal(some.everyone, all_users.everyone, check_exact=True)
        assert some.cohort.columns.tolist() == all_users.cohort.columns.tolist()
        pd.testing.assert_frame_equal(some.cohort[dates], all_users.cohort[dates])
    pair = found[-1].cohort["user_bias"], tables[-1].cohort["user_bias"]
    assert pair[0].tolist() != pair[1].tolist()
    assert np.corrcoef(*pair)[0, 1] > 0.9


def test_axes_are_turned_back(model):
    rng = np.random.default_rng(3)
    turn, _ = np.linalg.qr(rng.normal(size=(FACTORS, FACTORS)))
    frame = Frame.of(model, model.item_rows)
    turned = model.item_rows.copy()
    turned[:, 2 : FACTORS + 2] = model.item_factors @ turn
    later = type(model)(**{**vars(model), "item_rows": turned})
    np.testing.assert_allclose(frame.turn(later), model.item_rows, atol=1e-5)


@pytest.mark.parametrize("n", [5, 15, 60])
def test_neighbour_distance(n):
    rng = np.random.default_rng(n)
    factors = rng.normal(size=(n, 3)).astype(np.float32) @ rng.normal(size=(3, 3))
    centred = factors - factors.mean(axis=0)
    inverse = np.linalg.inv(ledoit_wolf(centred, assume_centered=True)[0])
    wanted = []
    for x in centred:
        others = sorted(float((x - y) @ inverse @ (x - y)) for y in centred)[1:]
        wanted.append(np.log(others[min(20, len(others)) - 1]) / 2)
    np.testing.assert_allclose(log_neighbour_distance(factors), wanted, atol=1e-4)


def test_neighbours_among_a_sample(monkeypatch):
    rng = np.random.default_rng(5)
    factors = rng.normal(size=(3000, 2))
    everyone = log_neighbour_distance(factors)
    monkeypatch.setattr("mfdask.downstream.customers.density.REFERENCES", 1500)
    sample = log_neighbour_distance(factors)
    assert np.corrcoef(everyone, sample)[0, 1] > 0.95
    # Half the points, in two dimensions: distances grow by the root of two.
    assert np.median(sample - everyone) == pytest.approx(np.log(2) / 2, abs=0.1)


def test_neighbours_who_are_no_different():
    assert log_neighbour_distance(np.zeros((30, 4))).tolist() == [log_neighbour_distance(
        np.zeros((30, 4)))[0]] * 30  # fmt: skip
    assert log_neighbour_distance(np.ones((1, 4))).tolist() == [0.0]


def test_dates():
    assert parse_date("1970-01-02") == DAY
