"""What a search goes through."""

import itertools

import pytest
from click.testing import CliRunner

from mfdask.errors import InputError
from mfdask.jobs.cli import main
from mfdask.models import ALS
from mfdask.models.bpr import BPR
from mfdask.models.item_item import ItemKNN
from mfdask.tuning.space import Range, SearchSpace, Values, configured, train_options


def test_ranges_and_values():
    axes = SearchSpace.parse(
        ["tau=0.01..0.2", "factors=5,10,20,5", "sweeps=3..9", "reg-scaling=0..1"]
    )
    assert axes.axes() == {
        "tau": Range(0.01, 0.2, whole=False),
        "factors": Values((5, 10, 20)),
        "sweeps": Range(3, 9, whole=True),
        "reg-scaling": Range(0.0, 1.0, whole=False),
    }
    assert axes.axes()["tau"].log
    assert not axes.axes()["reg-scaling"].log


def test_a_grid_covers_all_points_once():
    points = SearchSpace.parse(["tau=0.1,0.2", "factors=0,2,5"]).points()
    found = {(p["tau"], p["factors"]) for p in points}
    assert found == set(itertools.product((0.1, 0.2), (0, 2, 5)))
    assert len(points) == 6


def test_the_papers_grid():
    points = SearchSpace.parse(preset="paper-grid").points()
    assert len(points) == 54
    assert {"lambda": 0.01, "gamma": 0.01, "tau": 0.1} in points[:27]
    assert {"lambda": 0.002, "gamma": 0.015, "tau": 0.05} in points[27:]
    second = [
        SearchSpace.parse(preset="paper-grid").grids[1][n] for n in ("lambda", "gamma", "tau")
    ]
    assert [(a.values[0], a.values[-1]) for a in second] == [
        (0.002, 0.004), (0.0125, 0.0175), (0.025, 0.075),
    ]  # fmt: skip


def test_the_sweep_of_k():
    assert [p["factors"] for p in SearchSpace.parse(preset="k-sweep").points()] == [
        0, 2, 5, 10, 20, 40, 80,
    ]  # fmt: skip


def test_own_values_take_the_place_of_a_presets():
    search = SearchSpace.parse(["factors=3", "sweeps=2"], "k-sweep")
    assert search.points() == [{"factors": 3, "sweeps": 2}]
    # Both grids have their other parameters fixed, so the same point is in them twice.
    assert len(SearchSpace.parse(["lambda=1", "gamma=1", "tau=1"], "paper-grid").points()) == 1


def test_stages_together_are_all_their_values():
    axes = SearchSpace.parse(preset="paper-grid").axes()
    assert axes["lambda"].values == (0.002, 0.003, 0.004, 0.005, 0.01, 0.02)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("tua=1", "NAME one of"), ("tau", "'' is not right"), ("tau=", "'' is not right"),
        ("tau=a", "'a'"), ("tau=nan", "'nan'"), ("tau=1..", "''"), ("factors=2.5", "whole"),
        ("tau=2..1", "smaller"), ("tau=1..1", "smaller"), ("", "NAME=VALUES"),
    ],
)  # fmt: skip
def test_bad_specs(spec, word):
    with pytest.raises(InputError, match=word):
        SearchSpace.parse([spec])


def test_twice_or_nothing():
    with pytest.raises(InputError, match="twice"):
        SearchSpace.parse(["tau=1", "tau=2"])
    with pytest.raises(InputError, match="nothing to search"):
        SearchSpace.parse()


def test_a_grid_takes_no_range():
    with pytest.raises(InputError, match=r"specs tau=0\.1\.\.0\.2: a grid needs values"):
        SearchSpace.parse(["tau=0.1..0.2"]).points()


@pytest.mark.parametrize("spec", ["factors=5,300", "lambda=0..1", "damping=0.5..2.5"])
def test_values_outside_what_a_model_takes(spec):
    with pytest.raises(InputError, match="must be a"):
        SearchSpace.parse([spec]).check(ALS())


def test_the_word_for_none():
    search = SearchSpace.parse(["liked=all,3"], kind="itemknn")
    assert search.points() == [{"liked": None}, {"liked": 3.0}]
    assert configured(ItemKNN(liked=4.0), {"liked": None}) == ItemKNN()
    staged = SearchSpace.parse(["item-tau=0.1,tau"], "paper-grid")
    assert staged.axes()["item-tau"] == Values((None, 0.1))
    with pytest.raises(InputError, match="'every' is not right"):
        SearchSpace.parse(["liked=every"], kind="itemknn")


def test_a_search_of_bpr_ends_with_a_command_that_train_takes():
    options = train_options(BPR(item_bias_reg=0.5))
    done = CliRunner().invoke(main, ["train", "none", *options])
    assert "none: no data set" in done.output


def test_a_point_becomes_a_command():
    config = configured(ALS(seed=7), {"factors": 5, "tau": 0.125})
    assert config == ALS(n_factors=5, factor_reg=0.125, seed=7)
    options = train_options(config)
    told = dict(zip(options[::2], options[1::2], strict=True))
    assert told["--factors"] == "5"
    assert told["--tau"] == "0.125"
    assert told["--seed"] == "7"
    assert "--factors" not in train_options(configured(ALS(), {"factors": 0}))
