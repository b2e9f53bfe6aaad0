"""`mfdask tune` as a user meets it."""

import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pandas as pd
import pytest

from mfdask.job_registry import job_command

GRID = ("--search", "factors=0,2", "--search", "sweeps=3", "--sampler", "grid")


@pytest.fixture
def data(small_data, tmp_path):
    return shutil.copytree(small_data, tmp_path / "d")


def test_tune_and_train(result_of, data, tmp_path):
    found = result_of("tune", data, *GRID, "--study", "s.db")
    assert (found["trials"], found["fresh_trials"]) == (2, 2)
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table["factors"].tolist() == [0, 2]
    assert table["validation_rmse"].min() == found["validation_rmse"]
    program, job, *options = shlex.split(found["command"])
    assert (program, job) == ("mfdask", "train")
    trained = result_of("train", *options[0:])
    assert trained["test_rmse"] == found["test_rmse"]


def test_a_table_is_shown(mfdask, data, tmp_path):
    done = mfdask("tune", data, "--preset", "k-sweep", "--search", "sweeps=2", "--trials", 2)
    assert done.exit_code == 0, done.output
    assert "validation RMSE" in done.stdout
    *_, command = done.stdout.partition("mfdask train")
    (study,) = (tmp_path / "output" / "tuning").glob("*.db")
    table = pd.read_parquet(study.with_suffix(".parquet"))
    best = table["factors"][table["validation_rmse"].idxmin()]
    chosen = ["bias"] if best == 0 else ["als", "--factors", str(best)]
    assert shlex.split(command.replace("\\\n", ""))[1:][: len(chosen) + 1] == ["--model", *chosen]


@pytest.mark.parametrize(
    ("model", "search"),
    [
        ("als", ("factors=0,2", "sweeps=2")),
        ("itemknn", ("neighbours=2,50", "liked=3")),
        ("ease", ("ridge=1,300",)),
    ],
)
def test_lists_are_an_objective_for_every_kind(result_of, mfdask, data, model, search):
    options = [word for each in search for word in ("--search", each)]
    options += ["--model", model, "--sampler", "grid", "--objective", "ndcg@5"]
    found = result_of("tune", data, *options, "--study", "s.db")
    assert (found["objective"], found["trials"]) == ("ndcg@5", 2)
    table = pd.read_parquet("s.parquet")
    assert table["validation_ndcg@5"].max() == found["validation"]
    _, *command = shlex.split(found["command"])
    trained = result_of(*command, "--out", "m")
    measured = result_of("evaluate", trained["model"], data, "--ranking", "--at", 5)
    assert measured["ranking"]["model"]["ndcg"] == pytest.approx(found["test"])
    shown = mfdask("tune", data, *options, "--study", "s.db").stdout
    assert "validation NDCG at 5" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nothing to search"), (("--search", "tua=1"), "NAME one of"),
        (("--search", "factors=300"), "--search factors: n_factors must be"),
        (("--search", "tau=1..2", "--sampler", "grid"), "a grid needs values"),
        (("--search", "tau=1,2", "--validation", 2), "--validation must be"),
        (("--search", "tau=1,2", "--trials", 0), "--trials must be"),
        (("--search", "tau=1,2", "--jobs", 0), "--jobs must be"),
        (("--search", "tau=1,2", "--objective", "ndcg"), "--objective ndcg: give rmse, auc, or"),
        (("--search", "tau=1,2", "--model", "ease"), "NAME one of liked, ridge"),
        (("--search", "ridge=1,2", "--model", "ease", "--objective", "rmse"), "predicts no rating"),
        (("--search", "tau=1,2", "--threshold", 9, "--objective", "auc"), "--threshold must be 5"),
    ],
)  # fmt: skip
def test_bad_options(mfdask, data, options, words):
    done = mfdask("tune", data, *options)
    assert done.exit_code == 2, done.output
    assert done.stderr.strip().splitlines()[-1].startswith("mfdask: ")
    assert words in done.stderr.strip().splitlines()[-1]


def test_optuna_may_be_missing(mfdask, data, monkeypatch):
    monkeypatch.delitem(sys.modules, "mfdask.tuning.study", raising=False)
    monkeypatch.delattr("mfdask.tuning.study", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = mfdask("tune", data, *GRID)
    assert done.exit_code == 2
    assert "pip install 'mfdask[tune]'" in done.stderr


def finished(study):
    """Return how many trials of a study are complete; 0 while it is being made."""
    try:
        with sqlite3.connect(f"file:{study}?mode=ro", uri=True) as base:
            query = "select count(*) from trials where state = 'COMPLETE'"
            return base.execute(query).fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        if "base" in locals():
            base.close()


def test_a_killed_job_goes_on(result_of, data, tmp_path):
    options = (
        "--search", "tau=0.01..0.5", "--search", "factors=4", "--search", "sweeps=4",
        "--sampler", "random", "--no-prune", "--study", tmp_path / "s.db",
    )  # fmt: skip
    command = job_command("tune", str(data), *map(str, options), "--trials", "200")
    job = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while finished(tmp_path / "s.db") < 3:
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    n = finished(tmp_path / "s.db")
    found = result_of("tune", data, *options, "--trials", n + 2)
    assert (found["trials"], found["fresh_trials"]) == (n + 2, 2)
    whole = result_of("tune", data, *options, "--trials", n + 2, "--study", tmp_path / "w.db")
    assert found["best"] == whole["best"]
    pd.testing.assert_frame_equal(
        pd.read_parquet(found["out"]).drop(columns="seconds"),
        pd.read_parquet(whole["out"]).drop(columns="seconds"),
    )
