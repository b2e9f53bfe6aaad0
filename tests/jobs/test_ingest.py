"""`mfdask ingest` as a user meets it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from mfdask.jobs.cli import main
from mfdask.shards import Dataset

NO_DASHBOARD = ["--dashboard-address", "127.0.0.1:0"]
SMALL = "synthetic:users=40,items=30,ratings=500"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("options", [[], NO_DASHBOARD])
def test_a_process_of_its_own(options):
    ingest = ["-m", "mfdask", "ingest", SMALL, "--json", *options]
    command = [sys.executable, "-X", "importtime", *ingest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)  # one JSON object and nothing else
    assert said["data"] == "data/synthetic-40x30x500"
    assert said["ratings"] == said["read"] == 500 == said["train"] + said["test"]
    assert (said["users"], said["items"]) == (40, 30)
    assert (said["rejected"], said["duplicates"]) == (0, 0)
    assert said["seconds"] > 0
    assert said["peak_memory_bytes"] > 2**20
    assert Dataset.open(said["data"], verify=True).n_train == said["train"]
    # A little is done before a cluster would be there, unless an option asks for one.
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert ("distributed" in loaded) == bool(options)
    assert ("Dask dashboard: http://127.0.0.1:" in done.stderr) == bool(options)


def test_an_interrupt_leaves_nothing(tmp_path):
    spec = "synthetic:users=18000,items=2000,ratings=1900000"
    command = [sys.executable, "-m", "mfdask", "ingest", spec, "--out", "d"]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path(".d.partial/scratch/part-000000").exists():
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    job.send_signal(signal.SIGINT)
    said = job.communicate(timeout=30)[1]
    assert job.returncode == 130
    assert said.splitlines()[-1] == "mfdask: interrupted; nothing was left half-written"
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_data_set():
    Path("r.csv").write_text("w,r,m\nann,4,x\nbob,2,x\nbob,high,y\nann,5,x\n")
    done = run(
        "ingest", "r.csv", "--columns", "user=w, item=m,rating=r", "--split", "none",
        "--blocks", 2, "--ids", "string", "--out", "my/set", "--max-rejected", 0.3,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    data = Dataset.open("my/set", verify=True)
    assert data.users()["user_id"].tolist() == ["ann", "bob"]
    assert data.n_blocks("users") == 2
    counts = data.manifest.counts
    assert (counts.read, counts.kept, counts.rejected, counts.duplicates) == (4, 2, 1, 1)


def test_cold_items_have_no_training_ratings():
    done = run("ingest", SMALL, "--split", "cold-items:0.2", "--out", "d")
    assert done.exit_code == 0, done.stderr
    assert "train, test (cold-items:0.2)" in done.stdout
    items = Dataset.open("d", verify=True).items()
    cold = items["n_test"] > 0
    assert 0 < cold.sum() < len(items) / 2
    assert (items["n_train"][cold] == 0).all()
    assert (items["n_test"][cold] == items["n_read"][cold]).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.csv"], "no source 'nowhere.csv'"),
        (["~$book.xlsx"], "no source '~$book.xlsx'"),
        ([SMALL, "--split", "monthly:0.1"], "--split monthly:0.1: write random:0.1"),
        ([SMALL, "--split", ""], "--split '': write random:0.1"),
        ([SMALL, "--split", "cold-items:1.5"], "--split cold-items:1.5: write random:0.1"),
        ([SMALL, "--out", "taken"], "taken: is there already and is no data set"),
        (["bad.csv", "--columns", "user"], "--columns user: write user=NAME"),
        (["bad.csv", "--columns", "user=a,user=b"], "each once"),
        (["half.csv", "--on-bad-rows", "fail"], "1 of its 2 rows are bad, 50 %, and 0 % may be"),
        (["half.csv"], "1 % may be: row 3: "),
        (["half.csv", "--max-rejected", "0.4"], "with a larger --max-rejected"),
        (["bad.csv"], "its ratings are no numbers"),
    ],
)
def test_wrong_usage_ends_with_one_line_and_code_2(words, message):
    Path("taken").mkdir()
    Path("bad.csv").write_text("user,item,rating\n1,1,high\n")
    Path("half.csv").write_text("user,item,rating\n1,1,3\n1,2,high\n")
    done = run("ingest", *words)
    assert done.exit_code == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("mfdask: ")
    assert message in line
    assert "Traceback" not in done.stderr
    assert not Path("data").exists() or list(Path("data").iterdir()) == []


def test_into_a_data_set_and_out_of_it(caplog):
    Path("a.csv").write_text("user,item,rating,timestamp\n1,10,4,100\n1,11,3,100\n2,10,5,100\n")
    Path("b.csv").write_text("user,item,rating,timestamp\n1,10,2,200\n3,12,1,200\nx,y,z,1\n")
    Path("gone.csv").write_text("user,item,timestamp\n1,11,150\n2,10,50\n")
    done = run("ingest", "a.csv", "--out", "d", "--split", "none")
    assert done.exit_code == 0, done.stderr
    done = run("ingest", "b.csv", "--into", "d", "--json", "--max-rejected", "0.4")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["data"] == "d"
    assert (said["read"], said["ratings"], said["files_taken"]) == (6, 4, 1)
    assert (said["duplicates"], said["rejected"], said["withdrawn"]) == (1, 1, 0)
    done = run("ingest", "gone.csv", "--into", "d", "--withdraw")
    assert done.exit_code == 0, done.stderr
    assert "withdrawn" in done.stdout
    done = run("ingest", "b.csv", "--into", "d", "--json")
    assert "b.csv: its contents were taken in before" in " ".join(done.stderr.split())
    said = json.loads(done.stdout)
    assert (said["ratings"], said["withdrawn"], said["files_taken"]) == (3, 1, 0)
    data = Dataset.open("d", verify=True)
    assert data.users()["user_id"].tolist() == [1, 2, 3]
    assert data.users()["n_train"].tolist() == [1, 1, 1]
    assert data.shard("users", 0).ratings.tolist() == [2, 5, 1]


def test_files_of_one_name_in_several_folders_are_files_of_their_own():
    for day, rows in (("1", "1,1,5\n"), ("2", "2,1,high\n2,2,3\n")):
        Path("logs", day).mkdir(parents=True)
        Path("logs", day, "part-0.csv").write_text(f"user,item,rating\n{rows}")
    split = ("--split", "none", "--max-rejected", "0.5")
    done = run("ingest", "logs/*/part-0.csv", *split, "--out", "d", "--json")
    assert json.loads(done.stdout)["files_taken"] == 2
    bad = pd.read_parquet("d/rejected.parquet")
    assert bad[["file", "row"]].to_numpy().tolist() == [["2/part-0.csv", 2]]
    done = run("ingest", "logs/1/part-0.csv", "--into", "d", "--json")
    assert json.loads(done.stdout)["files_taken"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["new.csv", "--into", "d", "--split", "none"],
            "leave out --out, --split, --test, --blocks",
        ),
        (["new.csv", "--into", "d", "--repeats", "sum"], "--repeats, --overwrite"),
        (["new.csv", "--withdraw"], "name it with --into DATA"),
        (["new.csv", "--into", "nowhere"], "nowhere: no data set, there is no such folder"),
        (["new.csv", "--into", "d", "--ids", "string"], "user ids are of kind string"),
        (["gone.csv", "--into", "d"], "no column looks like the rating"),
        (["gone.csv", "--columns", "rating=", "--into", "d"], "is it meant as a withdrawal?"),
        (["gone.csv", "--columns", "rating=", "--map", "a=1", "--out", "e"], "no column has the"),
    ],
)
def test_what_cannot_go_into_a_data_set(words, message, small_data):
    Path("new.csv").write_text("user,item,rating\n1,1,3\n")
    Path("gone.csv").write_text("user,item\n1,1\n")
    Path("d").symlink_to(small_data)
    done = run("ingest", *words)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_test_part_of_its_own(tmp_path):
    rows = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "rating": [1.0, 2, 3, 4]})
    rows.to_csv("train.csv", index=False)
    rows[2:].to_csv("test.csv", index=False)
    done = run("ingest", "train.csv", "--test", "test.csv", "--out", "d", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["read"], said["train"], said["test"], said["duplicates"]) == (6, 2, 2, 2)
    made = Dataset.open("d").manifest
    assert (made.split, made.origin) == ("given", "train.csv, test part test.csv")
    assert [taken.file for taken in made.sources] == ["train.csv", "test.csv"]
    assert run("train", "d", "--out", "m", "--factors", 1, "--sweeps", 1).exit_code == 0
    assert json.loads(Path("m/model.json").read_text())["data"]["split"] == "given"
    assert "held-out ratings (given)" in run("evaluate", "m", "d").stdout
    refused = run("ingest", "train.csv", "--test", "test.csv", "--split", "time:0.1", "--out", "e")
    assert refused.exit_code == 2
    assert "leave out --split time:0.1" in refused.output
    whole = run("ingest", "train.csv", "--test", "train.csv", "--out", "e")
    assert whole.exit_code == 2
    assert "the test part given leaves none of the 4 ratings for training" in whole.output
    unnamed = run("ingest", "train.csv", "--split", "given", "--out", "e")
    assert unnamed.exit_code == 2
    assert "held out as --test" in unnamed.output
