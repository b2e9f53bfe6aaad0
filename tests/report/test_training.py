"""Figures of training against what pandas makes of the same histories and trials."""

import json

import numpy as np
import pandas as pd
import pytest
from bokeh.models import GlyphRenderer, MultiLine

from mfdask.errors import InputError
from mfdask.evaluation.calibration import measure_calibration
from mfdask.figures.figure import Missing
from mfdask.models import BPR
from mfdask.report.training import sweeps, trials
from mfdask.report.training.section import training_section
from mfdask.report.training.tiers import Tiers, read_tiers


def parts_of(section):
    return {part.name: part for part in section.parts}


def lines_of(figure):
    """Return what a figure's lines read."""
    (lines,) = (r for r in figure.root.select(GlyphRenderer) if isinstance(r.glyph, MultiLine))
    return lines.data_source.data


def test_errors_of_several_models(models, data):
    parts = parts_of(training_section(models, data))
    table = parts["errors"].table()
    for name, model in models.items():
        history = pd.DataFrame([vars(sweep) for sweep in model.history])
        for ratings in ("train", "test"):
            own = table[(table["model"] == name) & (table["ratings"] == ratings)]
            assert own["rmse"].tolist() == history[f"{ratings}_rmse"].tolist()
            assert own["sweep"].tolist() == history["sweep"].tolist()
        best = table[(table["model"] == name) & table["best"]]
        assert best["sweep"].tolist() == [history.set_index("sweep")["test_rmse"].idxmin()]
        assert best["ratings"].tolist() == ["test"]
    drawn = lines_of(parts["errors"])
    assert len(drawn["label"]) == 2 * len(models)
    assert set(drawn["dash"]) == {"dashed", "solid"}
    colours = {
        label.split(",")[0]: colour
        for label, colour in zip(drawn["label"], drawn["colour"], strict=True)
    }
    assert len(set(colours.values())) == len(models)


def test_models_that_rank_have_an_auc_in_place_of_errors(models, data):
    ranking = BPR(n_factors=3, n_sweeps=4).fit(data)
    parts = parts_of(training_section({"ranks": ranking}, data))
    assert "errors" not in parts
    table = parts["auc"].table()
    assert table["test_auc"].tolist() == [sweep.test_auc for sweep in ranking.history]
    both = parts_of(training_section({"ranks": ranking, **models}, data))
    assert set(both["errors"].table()["model"]) == set(models)
    assert set(both["auc"].table()["model"]) == {"ranks"}
    assert "auc" not in parts_of(training_section(models, data))


def test_objective_and_seconds(models):
    parts = parts_of(training_section(models))
    objective, seconds = parts["objective"].table(), parts["sweep-seconds"].table()
    assert set(objective["model"]) == set(models) - {"bayes"}
    assert set(seconds["model"]) == set(models)
    colours = [
        dict(zip(parts[name].source.data["model"], parts[name].source.data["_colour"], strict=True))
        for name in ("objective", "sweep-seconds")
    ]
    assert colours[0].items() <= colours[1].items()  # a model has one colour in all figures
    for name in set(models) - {"bayes"}:
        own = objective[objective["model"] == name]["objective"]
        assert own.tolist() == [sweep.objective for sweep in models[name].history]


def test_best_without_held_out_ratings(models):
    history = sweeps.history_table({"als": models["als"]}).assign(test_rmse=np.nan)
    table = sweeps.errors_table(history)
    assert set(table["ratings"]) == {"train"}
    assert table.loc[table["best"], "rmse"].tolist() == [history["train_rmse"].min()]


def test_what_a_sampler_settles_on(models, data):
    parts = parts_of(training_section({"bayes": models["bayes"]}, data))
    history = models["bayes"].history
    running = parts["running-rmse"].table()
    assert running["sweep"].tolist() == [5, 6, 7, 8, 9]
    assert running["test_rmse"].tolist() == [sweep.test_rmse for sweep in history[4:]]
    noise = parts["noise-precision"].table()
    assert noise["precision"].tolist() == [sweep.fidelity for sweep in history]
    np.testing.assert_allclose(noise["deviation"] ** -2, noise["precision"])
    wanted = measure_calibration(models["bayes"], data)
    found = parts["interval-calibration"].table()
    pd.testing.assert_frame_equal(found[wanted.columns], wanted)
    np.testing.assert_allclose(found["beyond"] / 100 + found["interval"], found["covered"])
    assert "objective" not in parts


def test_two_samplers_have_a_calibration_each(models, data):
    both = {"one": models["bayes"], "<b>&": models["bayes"]}
    names = [part.name for part in training_section(both, data).parts]
    assert {"interval-calibration-one", "interval-calibration-b"} <= set(names)
    assert len(names) == len(set(names))


def test_a_figure_shows_other_numbers(models):
    figure = sweeps.NoisePrecision(
        sweeps.noise_table(sweeps.history_table({"bayes": models["bayes"]}))
    )
    fresh = figure.table().assign(precision=7.0, model="other")
    figure.update(fresh)
    assert set(figure.source.data["precision"]) == {7.0}
    assert lines_of(figure)["label"] == ["other"]
    assert set(lines_of(figure)["ys"][0]) == {7.0}


def test_nothing_is_given():
    parts = training_section({}).parts
    assert all(isinstance(part, Missing) for part in parts)
    assert {part.name for part in parts} == {"sweeps", "sampler", "tiers", "trials"}


def test_no_calibration_without_held_out_ratings(models):
    part = parts_of(training_section({"bayes": models["bayes"]}))["interval-calibration"]
    assert isinstance(part, Missing)


TIERS = {
    "machine": {"cores": 2, "processor": "one"},
    "data": "d",
    "ratings": 1000,
    "factors": 4,
    "tiers": [
        {"name": "slow", "what": "x", "seconds_measured": 2.0, "ratings_measured": 500,
         "ratings_total": 2000, "seconds_scaled": 8.0, "speedup": 1.0},
        {"name": "fast", "what": "y", "seconds_measured": 0.1, "ratings_measured": 2000,
         "ratings_total": 2000, "seconds_scaled": 0.1, "speedup": 80.0},
    ],
}  # fmt: skip


def test_tiers(tmp_path):
    file = tmp_path / "tiers.json"
    file.write_text(json.dumps(TIERS))
    tiers = parts_of(training_section({}, tiers=file))["tiers"]
    assert isinstance(tiers, Tiers)
    table = tiers.table()
    assert table["tier"].tolist() == ["slow", "fast"]
    assert table["seconds"].tolist() == [8.0, 0.1]
    assert table["measured"].tolist() == [0.25, 1.0]
    assert "1,000 ratings of d, 4 factors" in tiers.caption


@pytest.mark.parametrize("text", ["", "[]", '{"tiers": [{}]}', '{"tiers": []}'])
def test_no_tiers(text, tmp_path):
    file = tmp_path / "tiers.json"
    file.write_text(text)
    with pytest.raises(InputError, match="bench tiers --json"):
        read_tiers(file)


@pytest.fixture
def grid():
    """Return trials over lambda, tau and gamma: one point twice, one given up, one failed."""
    points = [(a, b, c) for a in (1.0, 2.0) for b in (0.1, 0.2) for c in (0.5, 1.5)]
    table = pd.DataFrame([*points, points[0]], columns=["lambda", "tau", "gamma"])
    table["validation_rmse"] = [0.9, 0.8, 0.95, 0.7, 0.99, 0.75, None, 0.6, 0.85]
    table["state"] = ["complete"] * 4 + ["pruned", "complete", "fail", "pruned", "complete"]
    return table.assign(trial=range(len(table)), train_rmse=0.5, sweeps=3, seconds=1.0, error=None)


def test_trials_of_a_grid(grid, tmp_path):
    grid.sample(frac=1, random_state=0).to_parquet(tmp_path / "t.parquet")
    parts = parts_of(training_section({}, searches=[tmp_path / "t.parquet"]))
    history = parts["trial-history"].table()
    assert history["trial"].tolist() == [0, 1, 2, 3, 4, 5, 7, 8]
    assert history["best_so_far"].tolist() == [0.9, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7]
    cells = parts["tuning-facets"].table().set_index(["lambda", "tau", "gamma"])
    assert len(cells) == 7
    assert cells.loc[(1.0, 0.1, 0.5), "validation_rmse"] == 0.85
    assert cells.loc[(2.0, 0.2, 1.5), "state"] == "pruned"
    assert len(parts["tuning-facets"].root.children) == 2
    assert "factor-sweep" not in parts


def test_trials_of_a_sweep_over_factors(tmp_path):
    table = pd.DataFrame({"factors": [5, 0, 2], "validation_rmse": [0.80, 0.90, 0.82]})
    table = table.assign(trial=[0, 1, 2], state="complete", train_rmse=0.5, sweeps=[3, 4, 5])
    table.to_parquet(tmp_path / "k.parquet")
    parts = parts_of(training_section({}, searches=[tmp_path / "k.parquet"] * 2))
    found = parts["factor-sweep"].table()
    assert found["factors"].tolist() == [0, 2, 5]
    np.testing.assert_allclose(found["difference"], [np.nan, -0.08, -0.02])
    assert {"trial-history", "trial-history-2", "factor-sweep-2"} <= set(parts)
    assert parts["trial-history"].title == "Trials over factors"


def test_draws_are_no_grid(grid):
    assert trials.is_grid(grid)
    many = pd.concat([grid.assign(tau=grid["tau"] + k) for k in range(20)])
    assert not trials.is_grid(many)


def test_no_trials(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(InputError, match="no table of trials"):
        trials.read_trials(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no table of trials"):
        trials.read_trials(tmp_path / "none.parquet")
    pd.DataFrame({"trial": [1]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(InputError, match="it has no state, validation_rmse"):
        trials.read_trials(tmp_path / "y.parquet")


def test_hostile_names(models, data):
    name = "<script>alert(1)</script> $$x$$"
    parts = parts_of(training_section({name: models["als"], "b": models["bias"]}, data))
    assert parts["objective"].source.data["model"][0] == name
    assert "$$" not in lines_of(parts["objective"])["label"][0]
