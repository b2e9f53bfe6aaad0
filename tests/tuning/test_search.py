"""Searches: what is tried, what is kept, what a kill costs."""

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.files import file_lock
from mfdask.models import ALS
from mfdask.shards import Dataset
from mfdask.tuning import SearchSpace, Settings, tune
from mfdask.tuning.holdout import hold_out
from mfdask.tuning.objective import TuningObjective
from mfdask.tuning.search import _record
from mfdask.tuning.space import configured

BASE = ALS(n_factors=2, n_sweeps=3)
GRID = SearchSpace.parse(["factors=0,2", "tau=0.02,0.2"])
FREE = SearchSpace.parse(["factors=1..6", "tau=0.01..0.5"])


def run(data, folder, search=GRID, name="s.db", base=BASE, client=None, **settings):
    settings = Settings(**({"sampler": "grid"} | settings))
    return tune(data, search, folder / name, base=base, settings=settings, client=client)


def tried(found, *names):
    """Return what must be the same in two searches."""
    names = names or tuple(found.point)
    return found.trials[["trial", "state", *names, "validation_rmse"]].to_dict("list")


def test_a_fit_tells_of_each_sweep_and_can_be_ended(small):
    told = []
    assert BASE.fit(small, each_sweep=told.append).history == told

    def end(sweep):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BASE.fit(small, each_sweep=end)


def test_a_grid_goes_through_all_its_points(small, tmp_path):
    found = run(small, tmp_path, prune=False)
    points = found.trials[["factors", "tau"]].to_dict("records")
    assert points == GRID.points()
    assert found.fresh == 4
    assert (found.trials["state"] == "complete").all()
    assert found.validation == found.trials["validation_rmse"].min()
    assert found.point == points[int(found.trials["validation_rmse"].argmin())]


def test_the_best_retrains_to_the_same_error(small, tmp_path):
    found = run(small, tmp_path, FREE, sampler="random", n_trials=3)
    held = hold_out(small, tmp_path / "v", 0.1, 42)
    assert configured(BASE, found.point).fit(held).history[-1].test_rmse == found.validation
    # And the model is the one of the whole training part.
    again = found.best.fit(small)
    np.testing.assert_array_equal(again.user_rows, found.model.user_rows)
    assert found.model.data.fingerprint == small.fingerprint


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_samplers_are_deterministic(small, tmp_path, sampler):
    one = run(small, tmp_path, FREE, "1.db", sampler=sampler, n_trials=4)
    other = run(small, tmp_path, FREE, "2.db", sampler=sampler, n_trials=4)
    third = run(small, tmp_path, FREE, "3.db", sampler=sampler, n_trials=4, seed=43)
    assert tried(one) == tried(other)
    assert tried(one) != tried(third)
    assert one.trials["tau"].nunique() == 4


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid"])
def test_a_search_in_two_goes_is_the_search_in_one(small, tmp_path, sampler):
    search = GRID if sampler == "grid" else FREE
    first = run(small, tmp_path, search, "1.db", sampler=sampler, n_trials=2)
    second = run(small, tmp_path, search, "1.db", sampler=sampler, n_trials=4)
    whole = run(small, tmp_path, search, "2.db", sampler=sampler, n_trials=4)
    assert (first.fresh, second.fresh, whole.fresh) == (2, 2, 4)
    assert tried(second) == tried(whole)
    assert run(small, tmp_path, search, "1.db", sampler=sampler, n_trials=4).fresh == 0


def test_a_trial_that_was_cut_short_is_repeated(small, tmp_path):
    whole = run(small, tmp_path, FREE, "1.db", sampler="random", n_trials=3)
    settings = Settings(sampler="random", n_trials=3)
    run(small, tmp_path, FREE, "2.db", sampler="random", n_trials=1)
    with _record(small, FREE, BASE, settings, tmp_path / "2.db", TuningObjective()) as record:
        record.ask(1)  # begun, and never told how it ended
    found = run(small, tmp_path, FREE, "2.db", sampler="random", n_trials=3)
    assert tried(found) == tried(whole)
    with _record(small, FREE, BASE, settings, tmp_path / "2.db", TuningObjective()) as record:
        states = [trial.state.name for trial in record.study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_other_data_or_another_search_is_another_study(small, tmp_path):
    assert run(small, tmp_path).fresh == 4
    assert run(small, tmp_path, seed=1).fresh == 4
    assert run(small, tmp_path, base=ALS(n_factors=2, n_sweeps=2)).fresh == 4
    assert run(small, tmp_path).fresh == 0


def test_the_test_part_is_not_read_in_the_search(small, tmp_path):
    """With its test part gone, a data set can be searched; only the last step needs it."""
    data = Dataset.open(shutil.copytree(small.path, tmp_path / "d"))
    shutil.rmtree(data.path / "test")
    with pytest.raises(InputError, match="the file is missing"):
        run(data, tmp_path)
    with _record(
        data, GRID, BASE, Settings(sampler="grid"), tmp_path / "s.db", TuningObjective()
    ) as record:
        assert len(record.finished()) == 4


def test_bad_trials_are_pruned(small, tmp_path):
    good = ",".join(str(0.05 + n / 1000) for n in range(6))
    search = SearchSpace.parse([f"tau={good},1000000", "lambda=0.01", "factors=3", "sweeps=12"])
    found = run(small, tmp_path, search)
    last = found.trials.iloc[-1]
    assert last["state"] == "pruned"
    assert 4 < last["sweeps"] < 12
    assert run(small, tmp_path, search).fresh == 0
    free = run(small, tmp_path, search, prune=False)
    assert (free.trials["sweeps"] == 12).all()
    assert found.point == free.point


def test_a_trial_that_cannot_be_solved_is_told_of(small, tmp_path):
    search = SearchSpace.parse(["tau=0,0.1", "gamma=0"])
    found = run(small, tmp_path, search, base=ALS(n_factors=60, n_sweeps=1))
    assert found.trials["state"].tolist() == ["fail", "complete"]
    assert "no finite solution" in found.trials["error"][0]
    assert run(small, tmp_path, search, base=ALS(n_factors=60, n_sweeps=1)).fresh == 0
    with pytest.raises(InputError, match=r"no trial came to its end: .* no finite solution"):
        run(small, tmp_path, SearchSpace.parse(["tau=0"]), base=ALS(n_factors=60, bias_reg=0))


def test_trials_side_by_side_on_a_cluster(small, tmp_path, client):
    alone = run(small, tmp_path, name="1.db", prune=False)
    spread = run(small, tmp_path, name="2.db", prune=False, client=client, jobs=3)
    assert tried(spread) == tried(alone)


def test_an_interrupted_search_goes_on(small, tmp_path, client):
    """One trial is done and another under way when the interrupt comes."""

    def interrupt(stage, done, total, note=""):
        if done:
            raise KeyboardInterrupt

    settings = Settings(sampler="grid", jobs=2, prune=False)
    base = ALS(n_factors=2, n_sweeps=15)
    options = {"base": base, "settings": settings, "client": client}
    with pytest.raises(KeyboardInterrupt):
        tune(small, GRID, tmp_path / "1.db", progress=interrupt, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["1.db"]
    found = tune(small, GRID, tmp_path / "1.db", **options)
    assert 2 <= found.fresh <= 3  # the other trial may have been at its end, too
    assert tried(found) == tried(tune(small, GRID, tmp_path / "2.db", **options))


def test_genre_models(small, tmp_path):
    base = ALS(n_factors=2, n_sweeps=2, item_prior="genre")
    found = run(small, tmp_path, SearchSpace.parse(["weight-reg=0.1,1"]), base=base)
    assert found.model.kind == "genre"


def test_nothing_is_left_beside_the_study(small, tmp_path):
    run(small, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]


def test_bad_settings():
    for settings in ({"sampler": "best"}, {"n_trials": 0}, {"jobs": 0}):
        (name,) = settings
        with pytest.raises(InputError, match=f"{name} must be"):
            Settings(**settings)


def test_a_file_that_is_no_study(small, tmp_path):
    (tmp_path / "s.db").write_text("ratings, ratings and nothing but ratings\n" * 100)
    with pytest.raises(InputError, match=r"s\.db: is no study"):
        run(small, tmp_path)


def test_one_search_at_a_time(small, tmp_path):
    with file_lock(tmp_path / "s.db", "searching in"), pytest.raises(RefusedError, match="another"):
        run(small, tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from mfdask.models import ALS
from mfdask.shards import Dataset
from mfdask.tuning import SearchSpace, Settings, tune

def progress(stage, done, total, note=""):
    if stage == "trials" and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

tune(Dataset.open(sys.argv[1]), SearchSpace.parse(["factors=1..6", "tau=0.01..0.5"]),
     Path(sys.argv[2]), base=ALS(n_factors=2, n_sweeps=3), progress=progress,
     settings=Settings(sampler="tpe", n_trials=4))
"""


def test_a_killed_search_goes_on_where_it_was(small, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(small.path), str(tmp_path / "s.db")], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    found = run(small, tmp_path, FREE, sampler="tpe", n_trials=4)
    assert found.fresh == 2
    whole = run(small, tmp_path, FREE, "whole.db", sampler="tpe", n_trials=4)
    assert tried(found) == tried(whole)
    assert not (tmp_path / ".s.db.validation").exists()
