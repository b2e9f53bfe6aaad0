"""`mfdask train` and `mfdask evaluate` as a user meets them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from mfdask.convergence import LEAST_DRAWS
from mfdask.files import file_lock
from mfdask.models import ALS, IALS, load_model
from mfdask.shards import Dataset
from tests.jobs.helpers import QUIET, refused


@pytest.fixture
def data(small_data, tmp_path):
    return shutil.copytree(small_data, tmp_path / "d")


def names(folder):
    """Return what lies in a folder."""
    return sorted(file.name for file in folder.iterdir())


def test_train_and_evaluate(result_of, data, tmp_path):
    trained = result_of("train", data, "--sweeps", 4, "--out", tmp_path / "m")
    assert set(trained) >= {
        "sweeps", "objective", "train_rmse", "test_rmse", "seconds", "seconds_per_sweep",
        "peak_memory_bytes", "model",
    }  # fmt: skip
    assert trained["sweeps"] == 4
    found = result_of("evaluate", trained["model"], data)
    assert found["n"] == sum(part["n"] for part in found["by_user_ratings"])
    assert found["test_rmse"] == pytest.approx(trained["test_rmse"], rel=1e-5)
    assert found["train_rmse"] == pytest.approx(trained["train_rmse"], rel=1e-4)
    assert found["objective"] == pytest.approx(trained["objective"], rel=1e-4)
    assert found["by_source"]["model"] == found["n"]
    history = pd.read_parquet(tmp_path / "m" / "history.parquet")
    assert history["objective"].is_monotonic_decreasing


def test_the_default_place_names_data_and_model(mfdask, data, tmp_path):
    assert mfdask("train", data, "--model", "bias", "--sweeps", 2).exit_code == 0
    assert load_model(tmp_path / "output" / "models" / f"{data.name}-bias").n_factors == 0


def test_a_model_of_other_data_is_not_replaced(mfdask, data, tmp_path):
    other = tmp_path / "one" / data.name
    ratings = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [3.0, 4.0, 5.0]})
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    assert mfdask("ingest", "ratings.csv", "--out", other, "--split", "none").exit_code == 0
    train = ("train", "--model", "bias", "--sweeps", 1)
    assert mfdask(*train, other).exit_code == 0
    place = tmp_path / "output" / "models" / f"{data.name}-bias"
    kept = load_model(place)
    refused(mfdask(*train, data), "holds a model of other data", "--overwrite", code=3)
    assert load_model(place).data == kept.data
    more = ratings.assign(user=[3, 3, 3], item=[1, 2, 3])
    more.to_csv(tmp_path / "more.csv", index=False)
    assert mfdask("ingest", "more.csv", "--into", other).exit_code == 0
    done = mfdask(*train, other)  # the same data set, grown
    assert done.exit_code == 0, done.output
    assert load_model(place).data.n_train == 6
    assert mfdask(*train, data, "--overwrite").exit_code == 0
    (place / "model.json").write_text("{")
    assert mfdask(*train, data).exit_code == 0  # what is damaged is trained again


def test_a_table_is_shown(mfdask, data):
    done = mfdask("train", data, "--sweeps", 2, "--out", "m", *QUIET)
    assert "test RMSE" in done.stdout
    assert "Dask dashboard: http://127.0.0.1:" in done.stderr
    shown = mfdask("evaluate", "m", data)
    assert "clipped to the scale" in shown.stdout


def test_the_bar_of_a_fit_that_stops_early_ends_full(mfdask, data):
    done = mfdask("train", data, "--tolerance", 0.5, "--sweeps", 60, "--out", "m")
    sweeps = len(pd.read_parquet("m/history.parquet"))
    assert sweeps < 60
    assert f"{sweeps}/{sweeps}" in done.stderr
    assert "/60" not in done.stderr


def test_paper_names_reach_the_model(result_of, data):
    result_of(
        "train", data, "--out", "m", "--sweeps", 2, "--factors", 3, "--lambda", 0.5, "--tau", 0.4,
        "--gamma", 0.3, "--item-tau", 0.6, "--item-gamma", 0.7, "--update", "alternating",
        "--reg-scaling", 0.2, "--damping", 0.9,
        "--no-centre", "--tolerance", 1e-9, "--seed", 7,
    )  # fmt: skip
    assert load_model("m").parameters == {
        "user_prior": "zero", "item_prior": "zero", "weight_reg": 0.05, "item_factor_reg": 0.6,
        "item_bias_reg": 0.7, "time": "none", "time_reg": 0.03, "period_days": 70,
        "half_life": None, "feature_scale": "deviation",
        "n_factors": 3, "n_sweeps": 2, "fidelity": 0.5, "factor_reg": 0.4, "bias_reg": 0.3,
        "update": "alternating", "reg_scaling": 0.2, "damping": 0.9, "centre": False,
        "init_scale": 0.1, "tolerance": 1e-9, "seed": 7,
    }  # fmt: skip


def test_published_figures(mfdask, result_of, movielens_zip):
    """The figures that the seed notebooks print for this split."""
    ingested = result_of(
        "ingest", movielens_zip, "--out", "d", "--split", "sequence:0.2", "--seed", 42
    )
    assert (ingested["train"], ingested["test"]) == (80_651, 20_185)
    bias = result_of(
        "train", "d", "--model", "bias", "--lambda", 0.01, "--gamma", 0.01, "--damping", 0.5,
        "--no-centre", "--sweeps", 30,
    )  # fmt: skip
    assert bias["train_rmse"] == pytest.approx(0.7950, abs=2e-4)
    assert bias["test_rmse"] == pytest.approx(0.8737, abs=2e-4)
    for update in ("joint", "alternating"):
        als = result_of("train", "d", "--update", update, "--sweeps", 30, "--preset", "large")
        assert als["test_rmse"] == pytest.approx(0.8580, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--factors", -1), "--factors must be a whole number from 0 to 256, not -1"),
        (("--factors", 1000), "--factors must be a whole number from 0 to 256, not 1000"),
        (("--lambda", "nan"), "--lambda must be a number above 0, not nan"),
        (("--lambda", 0), "--lambda must be a number above 0, not 0.0"),
        (("--lambda", 1e30), "lower --lambda, or check its ratings"),
        (("--tau", 0, "--gamma", 0), "raise --tau and --gamma above 0, or check its ratings"),
        (("--tau", -1), "--tau must be a number from 0 up"),
        (("--gamma", "inf"), "--gamma must be a number from 0 up"),
        (("--sweeps", 0), "--sweeps must be a whole number from 1 up"),
        (("--checkpoint-every", -2), "--checkpoint-every must be 0 (none) or more"),
        (("--model", "bias", "--factors", 5), "--factors says nothing to a model of kind bias"),
        (("--model", "bayes", "--tau", 1), "--tau says nothing to a model of kind bayes"),
        (("--model", "als", "--burn-in", 1), "--burn-in says nothing to a model of kind als"),
        (("--model", "bayes", "--preset", "small"), "--preset small"),
        (("--model", "bayes", "--sweeps", 20), "--sweeps must be more than the burn-in of 20"),
        (("--item-tau", -1), "--item-tau must be a number from 0 up"),
        (("--model", "popularity", "--resume"), "begins afresh: leave out --start"),
        (("--model", "itemknn", "--checkpoint-every", 2), "begins afresh: leave out --start"),
        (("--model", "itemknn", "--item-features", "f.csv"), "leave out --item-features"),
        (("--dashboard-address", "nowhere"), "host:port"),
        (("--memory-limit", "much"), "a size such as 4GB"),
    ],
)
def test_bad_parameters(options, word, mfdask, data, tmp_path):
    refused(mfdask("train", data, "--out", "m", *options), word)
    assert names(tmp_path) == ["d"]


def test_the_sampler_and_its_intervals(result_of, mfdask, data):
    found = result_of(
        "train", data, "--model", "bayes", "--out", "m", "--factors", 2, "--sweeps", 9,
        "--burn-in", 3, "--samples", 3, "--item-prior", "genre",
    )  # fmt: skip
    assert found["samples"] == 3
    assert 0 < found["noise_precision"] < 100
    evaluated = result_of("evaluate", "m", data)
    assert evaluated["objective"] is None
    everybody = [line for line in evaluated["intervals"] if line["users"] == "all"]
    assert [line["interval"] for line in everybody] == [0.5, 0.8, 0.95]
    assert [line["n"] for line in everybody] == [evaluated["n"]] * 3
    assert everybody[0]["covered"] < everybody[2]["covered"]
    shown = mfdask("evaluate", "m", data).output
    assert "test ratings within" in shown


def test_the_saved_draws_are_what_is_measured(result_of, mfdask, data):
    options = "--model", "bayes", "--factors", 2, "--burn-in", 4, "--out", "m"
    trained = result_of("train", data, "--sweeps", 12, *options)
    found = result_of("evaluate", "m", data)
    for name in ("test_rmse", "test_rmse_clipped"):
        assert trained[name] == pytest.approx(found[name], rel=1e-6)
    said = json.loads(Path("m", "model.json").read_text())
    assert said["metrics"]["test_rmse"] == trained["test_rmse"]
    assert said["metrics"]["rhat"] == trained["rhat"]
    assert said["chain"] == {"settled": False, "rhat": trained["rhat"], "sweeps": 12, "draws": 8}
    shown = mfdask("train", data, "--sweeps", 12, *options)
    assert "warning: the chain has not settled: R-hat" in shown.stderr
    assert "running mean" in shown.stdout


def test_sweeps_may_end_by_themselves_for_a_chain_alone(result_of, mfdask, data):
    options = "--model", "bayes", "--factors", 2, "--burn-in", 4, "--max-rhat", 9, "--out", "m"
    found = result_of("train", data, "--sweeps", "auto", *options)
    assert found["sweeps"] == 4 + LEAST_DRAWS
    assert found["settled"]
    for kind in ("als", "bpr"):
        done = mfdask("train", data, "--model", kind, "--sweeps", "auto")
        refused(done, "--sweeps must be a whole number from 1")


@pytest.mark.parametrize(
    ("name", "estimator", "preset"), [("als", ALS, "small"), ("ials", IALS, "large")]
)
def test_a_preset_may_be_changed(name, estimator, preset, result_of, data):
    options = ("--model", name, "--preset", preset, "--sweeps", 2)
    result_of("train", data, "--out", "m", *options)
    said = load_model("m").parameters
    assert said == {**estimator(**estimator.presets[preset]).parameters(), "n_sweeps": 2}


def test_a_preset_may_be_undone_by_the_word_for_none(result_of, mfdask, data, tmp_path):
    learn = ("train", data, "--model", "itemknn", "--preset", "small", "--out", "m")
    options = result_of(*learn, "--liked", "all")["options"]
    assert options["liked"] == "all"
    assert load_model("m").parameters["liked"] is None
    result_of(*learn)
    assert load_model("m").parameters["liked"] == 4
    (tmp_path / "o.toml").write_text('liked = "all"')
    result_of(*learn, "--config", "o.toml")
    assert load_model("m").parameters["liked"] is None
    (tmp_path / "o.toml").write_text('liked = "none"')
    refused(mfdask(*learn, "--config", "o.toml"), "liked = 'none': give a number or all")
    assert "is not a valid float. Nor is it 'all'" in mfdask(*learn, "--liked", "any").output


def test_what_is_no_sweep_is_not_called_one(mfdask, data):
    shown = mfdask("train", data, "--model", "popularity", "--out", "m").stdout
    assert "seconds" in shown
    assert "sweep" not in shown


def test_the_help_names_presets_and_the_words_for_none(mfdask):
    words = " ".join(mfdask("train", "--help").stdout.split())
    assert "small: als, bias, ease, features, genre, ials, itemknn; large: als, bias" in words
    assert "--item-gamma FLOAT|gamma" in words
    assert "Regularisation of item biases. [default: gamma; for bpr 0.01]" in words
    assert "ease: A linear regression of each item on all others, in closed form;" in words


def test_item_features_from_a_file(result_of, mfdask, data, tmp_path):
    ids = load_model_items(data)
    lines = [f"{item},{n % 7}" for n, item in enumerate(ids[:-3])]
    (tmp_path / "f.csv").write_text("\n".join(["item_id,size", *lines, "99999999,1"]))
    command = ("train", data, "--model", "features", "--out", "m", "--sweeps", 2)
    done = mfdask(*command, "--item-features", "f.csv")
    assert done.exit_code == 0, done.output
    assert "3 items lack features; 1 lines are of no item" in done.stderr
    assert load_model("m").feature_names == ["every item", "size"]
    refused(mfdask(*command), "item features")
    refused(mfdask(*command, "--item-features", "none.csv"), "none.csv")


def test_user_features_from_a_file(result_of, mfdask, data):
    ids = Dataset.open(data).users()["user_id"].tolist()
    lines = [f"{user},{n % 7},a|b" for n, user in enumerate(ids[:-3])]
    Path("u.csv").write_text("\n".join(["user_id,age,likes", *lines, "99999999,1,"]))
    command = ("train", data, "--out", "m", "--sweeps", 2)
    prior, file = ("--user-prior", "features"), ("--user-features", "u.csv")
    done = mfdask(*command, *prior, *file, "--feature-scale", "range")
    assert done.exit_code == 0, done.output
    assert "3 users lack features; 1 lines are of no user" in done.stderr
    names = load_model("m").user_features.encoder.names
    assert names == ["every user", "age", "likes=a", "likes=b"]
    result_of("evaluate", "m", data)
    assert result_of("recommend", "m", "--user", ids[0], "--data", data, "--explain")[
        "explanations"
    ]
    refused(mfdask(*command, *prior), "user features", "--user-features")
    refused(mfdask(*command, *file), "leave out --user-features", "--user-prior features")


def load_model_items(data):
    """Return the raw ids of a data set's items."""
    return Dataset.open(data).items()["item_id"].tolist()


def test_a_start_with_other_factors(mfdask, result_of, data):
    result_of("train", data, "--out", "m", "--factors", 3, "--sweeps", 2)
    refused(mfdask("train", data, "--start", "m"), "has 3 factors", "--factors 3")
    refused(mfdask("train", data, "--start", "none"), "none", "no model there")


@pytest.mark.parametrize("option", ["--lambda", "--factors", "--update", "--workers"])
def test_what_is_no_value_is_wrong_usage(option, mfdask, data):
    assert mfdask("train", data, option, "x").exit_code == 2


def test_no_data_set(mfdask, tmp_path):
    refused(mfdask("train", "nothing"), "nothing", "mfdask ingest")
    (tmp_path / "empty").mkdir()
    refused(mfdask("train", "empty"), "mfdask ingest")
    refused(mfdask("evaluate", "nothing", "nothing"), "no model there", "mfdask train")


def test_a_newer_data_set(mfdask, data):
    said = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps({**said, "schema_version": 99}))
    refused(mfdask("train", data), "newer", "upgrade")


def test_a_flipped_byte(mfdask, data, tmp_path):
    file = data / "train" / "items-0001" / "ratings.npy"
    content = bytearray(file.read_bytes())
    content[-2] ^= 4
    file.write_bytes(content)
    refused(mfdask("train", data, "--out", "m"), str(file), "checksum", "ingest again")
    assert names(tmp_path) == ["d"]


def test_an_unreachable_scheduler(mfdask, data, monkeypatch):
    monkeypatch.setattr("mfdask.cluster.TIMEOUT", "1s")
    done = mfdask("train", data, "--scheduler", "tcp://127.0.0.1:9")
    refused(done, "tcp://127.0.0.1:9", "no Dask scheduler answers")


def test_equations_without_a_solution(mfdask, data):
    done = mfdask("train", data, "--out", "m", "--tau", 0, "--gamma", 0)
    refused(done, "has no finite solution", "raise --tau")


def test_two_trainings_into_one_directory(mfdask, data, tmp_path):
    with file_lock(tmp_path / "m", "training into"):
        refused(mfdask("train", data, "--out", "m"), "another process is training into it", code=3)


def test_a_place_that_is_taken(mfdask, data, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "letter.txt").write_text("dear")
    refused(mfdask("train", data, "--out", "m"), "is not a model", "--out")
    (tmp_path / "file").write_text("dear")
    refused(mfdask("train", data, "--out", "file/m"), "file")
    assert (tmp_path / "m" / "letter.txt").read_text() == "dear"


def test_a_disk_that_is_too_small(mfdask, data, tmp_path, monkeypatch):
    monkeypatch.setattr("mfdask.files.free_bytes", lambda path: 1000)
    refused(mfdask("train", data, "--out", "m"), "free some, or write elsewhere", code=3)
    assert names(tmp_path) == ["d"]


def test_a_memory_that_is_too_small(mfdask, data, tmp_path, monkeypatch):
    free = psutil.virtual_memory()._replace(available=300 * 2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    refused(mfdask("train", data, "--out", "m"), "300 MiB are free", "--factors", code=3)
    assert names(tmp_path) == ["d"]


def test_resume_goes_on(result_of, data, tmp_path):
    whole = result_of("train", data, "--out", "whole", "--sweeps", 6)
    command = [
        sys.executable, "-m", "mfdask", "train", data, "--out", "m", "--sweeps", "100000",
        "--checkpoint-every", "2",
    ]  # fmt: skip
    job = subprocess.Popen([str(word) for word in command], cwd=tmp_path, stderr=subprocess.DEVNULL)
    state = tmp_path / ".m.checkpoint" / "state.json"
    while not state.exists():
        assert job.poll() is None
    job.kill()
    job.wait()
    (sweeps,) = {len(json.loads(state.read_text())["history"])}
    resumed = result_of("train", data, "--out", "m", "--sweeps", max(6, sweeps), "--resume")
    assert resumed["sweeps"] == max(6, sweeps)
    if sweeps <= 6:
        assert resumed["objective"] == whole["objective"]
        np.testing.assert_array_equal(load_model("m").user_rows, load_model("whole").user_rows)
    assert not state.parent.exists()


def test_regularization_is_the_same_for_every_row(result_of, data):
    learn = ("train", data, "--out", "m", "--factors", 2, "--sweeps", 1, "--regularization", 9)
    result_of(*learn)
    said = load_model("m").parameters
    names = ("fidelity", "factor_reg", "bias_reg", "reg_scaling")
    assert [said[name] for name in names] == [1, 9, 9, 0]
    result_of(*learn, "--reg-scaling", 0.5)
    assert load_model("m").parameters["reg_scaling"] == 0.5


def test_a_sampler_learns_its_regularisation(mfdask, data):
    done = mfdask("train", data, "--model", "bayes", "--regularization", 1)
    refused(done, "--model bayes has none of --lambda, --tau and --gamma")
