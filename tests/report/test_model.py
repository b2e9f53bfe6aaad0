"""Figures of models against what NumPy and pandas make of the same rows and ratings."""

import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from bokeh.models import CustomJS
from bokeh.models.widgets import Select

from mfdask.features.encoder import FeatureEncoder
from mfdask.figures.figure import Figure, Missing
from mfdask.models import ALS, kind_of
from mfdask.recommendation import History, Ranking, explain, polarity, recommend_new
from mfdask.recommendation.neighbours import enough_ratings
from mfdask.report.model import examples, genres, item_map, residuals, section
from mfdask.report.model.section import model_section
from mfdask.report.page import page
from mfdask.report.parts import labels_of
from mfdask.shards import Dataset

HOSTILE = '<script>alert("x")</script> $$\\frac{1}{2}$$ \u202eright to left'


def parts_of(section):
    return {part.name: part for part in section.parts}


@pytest.fixture(scope="module")
def sections(models, data):
    return {name: model_section(model, data, name) for name, model in models.items()}


def held_out(model, data):
    """Return each held-out rating with its residual and the training ratings behind it."""
    lines = []
    for block in range(data.n_blocks("users")):
        shard = data.shard("users", block, "test")
        users = np.repeat(np.arange(shard.start, shard.stop), np.diff(shard.indptr))
        lines.append(pd.DataFrame({"user": users, "item": shard.indices, "r": shard.ratings}))
    table = pd.concat(lines, ignore_index=True)
    user, item = table["user"].to_numpy(np.int32), table["item"].to_numpy(np.int32)
    prediction = (
        model.mean
        + model.user_bias[user]
        + model.item_bias[item]
        + (model.user_factors[user] * model.item_factors[item]).sum(axis=1)
    )
    return table.assign(
        residual=table["r"] - prediction,
        of_user=data.users()["n_train"].to_numpy()[user],
        of_item=data.items()["n_train"].to_numpy()[item],
    )


def test_residuals(sections, models, data):
    wanted = held_out(models["als"], data)
    parts = parts_of(sections["als"])
    found = parts["residuals"].table()
    edges = [*found["residual_from"], found["residual_to"].iloc[-1]]
    counts, _ = np.histogram(wanted["residual"], edges)
    # A residual on an edge may fall on either side of it in float32.
    assert np.abs(counts - found["n"]).sum() <= 4
    assert found["n"].sum() == len(wanted)
    assert found["share"].sum() == pytest.approx(1)
    assert found["normal"].sum() == pytest.approx(1, abs=1e-3)


def test_residuals_by_user_and_item(sections, models, data):
    wanted = held_out(models["als"], data)
    bins, labels = (
        [-1, 0, 5, 20, 100, 500, np.inf],
        ["0", "1-5", "6-20", "21-100", "101-500", "501+"],
    )
    for side in ("user", "item"):
        wanted[f"{side}_ratings"] = pd.cut(wanted[f"of_{side}"], bins, labels=labels).astype(str)
    groups = wanted.groupby(["item_ratings", "user_ratings"])["residual"]
    found = parts_of(sections["als"])["residual-slices"].table()
    found = found.set_index(["item_ratings", "user_ratings"])
    assert len(found) == groups.ngroups > 1
    assert found["n"].to_dict() == groups.size().to_dict()
    rmse = groups.apply(lambda e: np.sqrt((e**2).mean()))
    np.testing.assert_allclose(found["rmse"], rmse.reindex(found.index), rtol=1e-4)
    np.testing.assert_allclose(
        found["mean_residual"], groups.mean().reindex(found.index), atol=1e-5
    )


def test_few_ratings_do_not_set_the_scale():
    table = pd.DataFrame(
        {"item_ratings": ["0", "1-5", "6-20"], "user_ratings": "0", "n": [1, 30, 40],
         "rmse": [9.0, 1.2, 0.8], "mean_residual": 0.0}
    )  # fmt: skip
    figure = residuals.Slices(table)
    assert (figure.low, figure.high) == (0.8, 1.2)
    figure.update(table.assign(n=1))  # nothing to go by: the scale stays


def test_nothing_held_out(models):
    ratings = scipy.sparse.random(30, 20, 0.4, random_state=1, data_rvs=lambda n: np.ones(n) * 3)
    part = parts_of(model_section(models["als"], Dataset.from_csr(ratings), "m"))["residuals"]
    assert isinstance(part, Missing)


def test_item_map(sections, models):
    model = models["als"]
    table = parts_of(sections["als"])["item-map-pca"].table()
    rated = model.items[model.items["n_train"] > 0]
    assert table["item_id"].tolist() == rated["item_id"].tolist()
    centred = model.item_factors[rated.index].astype(np.float64)
    centred -= centred.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    placed = table[["x", "y"]].to_numpy(np.float64)
    np.testing.assert_allclose(np.linalg.norm(placed, axis=0), values[:2], rtol=1e-4)


def test_two_factors_are_the_map(sections, models):
    parts = parts_of(sections["two"])
    table = parts["item-map-direct"].table()
    kept = (models["two"].items["n_train"] > 0).to_numpy()
    np.testing.assert_array_equal(table[["x", "y"]], models["two"].item_factors[kept])
    assert not {"item-map-pca", "item-map-tsne"} & set(parts)


def test_the_most_rated_items_alone(models, monkeypatch):
    monkeypatch.setitem(item_map.MOST_ITEMS, "direct", 50)
    table = item_map.placed(models["two"], "direct")
    shown = table[table["kind"] == "item"]
    wanted = models["two"].items["n_train"].nlargest(50)
    assert sorted(shown["n_train"]) == sorted(wanted)
    assert set(shown["item_id"]) == set(models["two"].items["item_id"][wanted.index])


def test_genre_filter(sections):
    figure = parts_of(sections["als"])["item-map-pca"]
    (choice,) = figure.root.select({"type": Select})
    names = figure.table()["genres"].str.get_dummies("|").columns
    assert choice.options == ["all genres", *sorted(names)]
    (script,) = figure.root.select({"type": CustomJS})
    assert script.args["source"] is figure.source


def test_colours_go_to_the_rarest_genre():
    genres = pd.Series(["a|b", "a", "b|a|c", "", "z|a", "a|b"])
    names = item_map.coloured_genres(genres)
    assert names == ["a", "b", "c", "z"]
    assert item_map.colour_groups(genres, names[:2]) == ["b", "a", "b", "others", "a", "b"]


def test_genre_map(sections):
    table = parts_of(sections["genre"])["genre-map"].table()
    items = parts_of(sections["genre"])["item-map-pca"].table()
    flags = items["genres"].str.get_dummies("|")
    wanted = flags.T @ items["n_train"]
    assert dict(zip(table["title"], table["n_train"], strict=True)) == wanted.to_dict()


def test_polarity(sections, models):
    model = models["als"]
    norm = np.linalg.norm(model.item_factors.astype(np.float64), axis=1)
    least = enough_ratings(model)
    enough = model.items["n_train"] >= least
    assert enough.sum() >= 100
    table = parts_of(sections["als"])["polarity-table"].table()
    order = model.items["item_id"][enough].iloc[np.argsort(-norm[enough])].astype(str).tolist()
    assert table["item_id"].tolist() == order[:10] + order[:-11:-1]
    np.testing.assert_allclose(table["polarity"].iloc[:10], np.sort(norm[enough])[::-1][:10])
    assert table["tastes"].tolist() == ["differ"] * 10 + ["agree"] * 10
    (most, _) = polarity(model, min_ratings=least)
    assert most["title"].tolist() == table["title"].iloc[:10].tolist()


def test_norms(sections, models):
    model = models["als"]
    table = parts_of(sections["als"])["norm-popularity"].table()
    rated = model.items["n_train"].to_numpy() > 0
    counts = model.items["n_train"].to_numpy()[rated]
    norm = np.linalg.norm(model.item_factors[rated].astype(np.float64), axis=1)
    assert table["items"].sum() == rated.sum()
    for line in table.itertuples():
        column = (counts >= line.ratings_from - 1e-9) & (counts < line.ratings_to - 1e-9)
        here = column & (norm >= line.norm_from - 1e-9) & (norm <= line.norm_to + 1e-9)
        assert here.sum() == line.items
        assert np.median(norm[column]) == pytest.approx(line.median_norm)


def test_offers_to_somebody_new(sections, models):
    model = models["als"]
    person = examples.people(model)[0]
    ids = model.items["item_id"].iloc[person.rows].tolist()
    history = History.of(model, dict.fromkeys(ids, model.data.rating_max))
    ranking = Ranking(top=6, min_ratings=enough_ratings(model))
    offered = recommend_new(model, history, ranking)
    reasons = explain(model, history, offered["item_id"].tolist(), ranking)
    table = parts_of(sections["als"])["new-user-1"].table()
    assert table.drop_duplicates("rank")["item_id"].tolist() == offered["item_id"].tolist()
    assert not set(table["item_id"]) & set(ids)
    sums = table.groupby("rank")["part"].sum() + reasons.mean + reasons.user_bias
    np.testing.assert_allclose(sums, offered["score"], rtol=1e-4)
    np.testing.assert_allclose(table["right"] - table["left"], table["part"].abs(), atol=1e-12)
    for _, own in table.groupby("rank"):
        assert own["right"].max() == pytest.approx(own["part"].clip(lower=0).sum())
        assert own["left"].min() == pytest.approx(own["part"].clip(upper=0).sum())


def test_people_love_different_items(models):
    found = examples.people(models["als"])
    items = models["als"].items
    assert len(found) == 3
    rows = [row for person in found for row in person.rows]
    assert len(set(rows)) == len(rows)
    for person in found:
        assert all(person.loves in items["genres"].iloc[row].split("|") for row in person.rows)


def test_what_a_genre_foretells(sections, models):
    model = models["genre"]
    table = parts_of(sections["genre"])["genre-worth"].table().set_index("genre")
    for g, name in enumerate(model.feature_names):
        weights = model.feature_weights[g]
        assert table.loc[name, "bias"] == pytest.approx(weights[0])
        taste = (model.user_factors.astype(np.float64) @ weights[1:]).std()
        assert table.loc[name, "taste"] == pytest.approx(taste, rel=1e-4)
    assert table["bias"].is_monotonic_increasing


def test_items_that_nobody_has_rated(models):
    model = models["genre"]
    unrated = model.items.assign(n_train=model.items["n_train"].where(model.items.index >= 5, 0))
    table = genres.cold_table(replace(model, items=unrated))
    assert len(table) == 5
    assert table["prediction"].is_monotonic_decreasing
    for line in table.itertuples():
        own = line.genres.split("|")
        weights = [model.feature_weights[model.feature_names.index(name), 0] for name in own]
        assert line.prediction == pytest.approx(model.mean + np.mean(weights), abs=1e-5)
        assert line.because.startswith(f"mean {model.mean:.2f} ")
        assert all(name in line.because for name in own)


def test_biases_alone(sections):
    parts = parts_of(sections["bias"])
    assert "two factors or more; this model has 0" in parts["item-map"].why
    assert "biases alone" in parts["polarity"].why
    assert isinstance(parts["new-users"], Missing)
    assert isinstance(parts["residuals"], Figure)


def test_bayes(sections):
    parts = parts_of(sections["bayes"])
    for name in ("item-map-pca", "genre-map", "polarity", "residuals", "new-user-1"):
        assert isinstance(parts[name], Figure)
    assert isinstance(parts["genre-worth"], Missing)


def test_without_genres_and_titles(data, models):
    model = models["als"]
    plain = replace(model, items=model.items.assign(title="", genres=""))
    parts = parts_of(model_section(plain, data, "m"))
    assert "no genres" in parts["genre-map"].why
    assert not parts["item-map-pca"].root.select({"type": Select})
    assert parts["new-user-1"].table()["title"].str.startswith("item ").all()
    assert parts["new-user-1"].title.endswith("what all know")
    assert "new-user-2" not in parts


def test_few_items():
    ratings = scipy.sparse.csr_array(np.array([[5, 3, 0], [4, 0, 2], [1, 2, 3.0]]))
    data = Dataset.from_csr(ratings)
    parts = parts_of(model_section(ALS(n_factors=2, n_sweeps=2).fit(data), data, "m"))
    assert "needs 4 rated items or more; here are 3" in parts["item-map"].why
    assert len(parts["polarity-table"].table()) == 3
    assert "too few items" in parts["new-users"].why


def test_labels_are_short_and_different():
    long = "a" * 60
    labels = labels_of(["X", "X", "X (2)", long, f"{long}b"])
    assert len(set(labels)) == 5
    assert labels[:2] == ["X", "X (2)"]
    assert max(map(len, labels)) <= 42


def test_two_models_on_a_page(models, data):
    names = []
    for name in ("als", "my <model>"):
        section = model_section(models["two"], data, name, alone=False)
        names += [section.name, *(part.name for part in section.parts)]
    assert len(set(names)) == len(names)
    assert {"residuals-als", "residuals-my-model"} <= set(names)
    assert all(name.replace("-", "").isalnum() for name in names)


def test_hostile_titles(models, data):
    model = models["genre"]
    items = model.items.assign(title=HOSTILE, genres="<b>|$$x$$")
    items.loc[:3, "n_train"] = 0
    coding = FeatureEncoder.genres(["<b>", *model.feature_names[1:]])
    hostile = replace(model, items=items, encoder=coding)
    section = model_section(hostile, data, "<i>")
    html = page("t", [], [section])
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "<b>" not in html.rsplit("<main>", 1)[1]
    example = parts_of(section)["new-user-1"]
    assert "$$" not in "".join(example.source.data["_label"])
    assert len(set(example.source.data["_label"])) == example.table()["rank"].nunique()


@pytest.mark.parametrize("kind", ["itemknn", "ease", "popularity"])
def test_models_without_factors_make_offers_too(kind, data):
    model = kind_of(kind).configure({}).fit(data)
    parts = {part.name: part for part in model_section(model, data, "m").parts}
    table = parts["new-user-1"].table()
    sums = table.groupby("rank")["part"].sum()
    scores = table.drop_duplicates("rank").set_index("rank")["score"]
    np.testing.assert_allclose(sums, scores, rtol=1e-4, atol=1e-6)
    assert "stars" not in parts["new-user-1"].caption


def test_parts_of_cold_items_add_up(models):
    model = models["genre"]
    unrated = replace(model, items=model.items.assign(n_train=0))
    cold = genres.cold_table(unrated)
    parts = genres.cold_parts_table(unrated, cold)
    sums = parts.groupby("item_id")["part"].sum()
    wanted = cold.set_index("item_id")["prediction"] - model.mean
    np.testing.assert_allclose(sums.reindex(wanted.index), wanted, atol=1e-5)
    np.testing.assert_allclose(parts["right"] - parts["left"], parts["part"].abs(), atol=1e-9)
    figure = genres.ColdParts(parts)
    shown = pd.DataFrame({key: figure.source.data[key] for key in ("_because", "_colour")})
    assert shown["_because"].nunique() == shown["_colour"].nunique() == 7  # six, and the others
    assert len(figure.lines.factors) == parts["rank"].nunique()


def test_axes_of_the_first_map(data, models):
    section = model_section(models["als"], data, "als")
    found = next(part for part in section.parts if part.name == "axes").table()
    assert found["feature"].str.len().min() > 0
    assert found[["across", "up"]].abs().max().max() <= 1
    assert 1 <= len(found) <= 12


@pytest.mark.parametrize(
    ("names", "wanted"), [([], True), (["item-map-pca"], True), (["norms"], False)]
)
def test_items_are_placed_ahead_where_a_map_is_wanted(models, data, monkeypatch, names, wanted):
    begun = threading.Event()
    monkeypatch.setattr(section, "_places", lambda model: begun.set())
    section.model_sections({"two": models["two"]}, data, names)
    assert begun.wait(10 if wanted else 0.1) == wanted
