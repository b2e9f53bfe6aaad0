"""`mfdask densify` as a user meets it."""

import os
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mfdask.files import crc32
from mfdask.job_registry import job_command
from mfdask.models import save_model
from mfdask.recommendation import Ranking, recommend
from mfdask.shards import Dataset
from tests.downstream.random_model import random_model
from tests.jobs.helpers import refused


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_matrix(mfdask, result_of, model_folder, model, tmp_path):
    said = result_of("densify", model_folder, "--dtype", "uint8")
    assert said["out"] == "output/predictions/m"
    assert (said["users"], said["items"], said["dtype"]) == (300, 200, "uint8")
    assert (said["bytes"], said["found_bytes"]) == (60_000, 0)
    assert said["max_error"] < 0.0089
    with xr.open_zarr(tmp_path / said["out"]) as found:
        user, item = model.users["user_id"][5], model.items["item_id"][7]
        one = float(found["prediction"].sel(user_id=user, item_id=item))
    assert one == pytest.approx(model.predict([user], [item])[0], abs=said["max_error"])
    shown = mfdask("densify", model_folder, "--dtype", "uint8")
    assert shown.exit_code == 0
    assert "300 x 200" in shown.stdout


def test_selections(result_of, model_folder, model, tmp_path):
    users, items = model.users["user_id"].tolist(), model.items["item_id"].tolist()
    (tmp_path / "users").write_text(f"{users[4]}\n\n{users[9]}\n")
    said = result_of(
        "densify", model_folder, "--users", "users", "--user", users[0], "--item", items[3],
        "--item", items[1], "--out", "p",
    )  # fmt: skip
    assert (said["users"], said["items"], said["dtype"]) == (3, 2, "float32")
    with xr.open_zarr(tmp_path / "p") as found:
        assert found["user_id"].values.tolist() == [users[4], users[9], users[0]]
        assert found["item_id"].values.tolist() == [items[3], items[1]]
        wanted = model.predict(np.repeat(found["user_id"], 2), np.tile(found["item_id"], 3))
        np.testing.assert_allclose(found["prediction"].values.ravel(), wanted, atol=1e-5)


def test_lists_of_the_best_by_predicted_stars(
    mfdask, result_of, model_folder, small_data, model, tmp_path
):
    items = model.items["item_id"][:50].tolist()
    (tmp_path / "items").write_text("\n".join(map(str, items)))
    user = model.users["user_id"][2]
    arguments = (
        "densify", model_folder, "--top", 3, "--data", small_data, "--user", user,
        "--items", "items", "--out", "lists",
    )  # fmt: skip
    assert result_of(*arguments)["lines"] == 3
    ranking = Ranking(3, bias_weight=1.0, min_ratings=0, allow=tuple(items))
    wanted = recommend(model, [user], Dataset.open(small_data), ranking)
    written = pd.read_parquet(tmp_path / "lists")
    pd.testing.assert_frame_equal(written, wanted)
    said = model.predict([user] * 3, written["item_id"], clip=False)
    np.testing.assert_allclose(written["score"], said, atol=1e-5)
    assert "best 3 by predicted stars" in mfdask(*arguments).stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--user", "nobody"), ["--user: 'nobody' is no id"]),
        (("--item", "99999999"), ["item 99999999", "not among"]),
        (("--users", "none.txt"), ["none.txt: no such file"]),
        (("--data", "d"), ["--data is of --top"]),
        (("--top", "3", "--dtype", "uint8"), ["leave them out with --top"]),
        (("--top", "3", "--force"), ["leave them out with --top"]),
        (("--top", "0"), ["--top must be a whole number from 1 up, not 0"]),
    ],
)
def test_bad_input(options, words, mfdask, model_folder, tmp_path):
    refused(mfdask("densify", model_folder, *options), *words)
    assert names(tmp_path) == []


def test_no_model(mfdask):
    refused(mfdask("densify", "m"), "m: no model there")


def test_a_small_disk_and_force(mfdask, result_of, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mfdask.files.free_bytes", lambda path: 100_000)
    arguments = ("densify", model_folder, "--out", "p")
    refused(
        mfdask(*arguments), "300 x 200 float32", "MiB are free", "--dtype uint8", "--force", code=3
    )
    assert names(tmp_path) == []
    assert result_of(*arguments, "--force")["bytes"] == 240_000
    refused(mfdask(*arguments, "--dtype", "uint8"), "holds predictions of another", code=3)


def test_killed_and_run_again(result_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Half a second's work at least: the first of twelve chunks is seen long before the last.
    save_model(random_model(1, 16_000, 6_000, n_factors=150), tmp_path / "m")
    options = ("--dtype", "uint8")
    command = job_command("densify", "m", "--out", "p", *map(str, options))
    job = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    chunks = tmp_path / ".p.unfinished"
    while not list(chunks.glob("*/prediction/c/*/0")):
        assert job.poll() is None
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGKILL)  # its workers, too
    job.wait()
    assert not (tmp_path / "p").exists()
    said = result_of("densify", "m", "--out", "p", *options)
    assert 0 < said["found_bytes"] < said["bytes"]
    result_of("densify", "m", "--out", "whole", *options)
    trees = [
        {str(file.relative_to(folder)): crc32(file) for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "p", tmp_path / "whole")
    ]
    assert trees[0] == trees[1]
    assert not chunks.exists()
