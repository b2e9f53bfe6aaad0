"""`mfdask nightly`, `models`, `status` and `schedule` as a user meets them."""

import json
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from mfdask.job_registry import job_command
from mfdask.jobs.status import next_start_after
from mfdask.models import load_model
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.state import State
from mfdask.ratings.formats import open_source
from tests.jobs.helpers import refused
from tests.nightly.conftest import names

CONFIG = """
home = "home"
at = "02:30"
[inbox]
settle_seconds = 0
[training]
factors = 3
"""


@pytest.fixture(scope="module")
def ratings():
    source = open_source("synthetic:users=200,items=100,ratings=6000", seed=1)
    return pd.concat([part.read().ratings for part in source.parts], ignore_index=True)


@pytest.fixture
def home(tmp_path):
    """Return a home with a configuration beside it; jobs run there."""
    (tmp_path / "nightly.toml").write_text(CONFIG)
    (tmp_path / "home" / "inbox").mkdir(parents=True)
    return NightlyPaths(tmp_path / "home")


def arrive(home, lines, name="new.csv"):
    lines.to_csv(home.root / "inbox" / name, index=False)


def test_two_nights_and_the_way_back(mfdask, result_of, home, ratings):
    assert result_of("status")["published"] is None
    for job in ("status", "nightly"):
        assert f"Put files of ratings into {home.root / 'inbox'}, then:" in mfdask(job).stdout
    arrive(home, ratings[:5000])
    plan = result_of("nightly", "--dry-run")
    assert (plan["base"], plan["source"]) == (None, "by rule of thumb")
    first = result_of("nightly")
    assert (first["run"], first["status"]) == (2, "published")
    arrive(home, ratings[5000:])
    done = mfdask("nightly", "--set", "gate.max_rmse=0.01", "--factors", 2)
    refused(
        done, "run 3", "at most 0.01", f"{first['version']} stays published", "candidates", code=3
    )
    shown = mfdask("status").stdout
    assert first["version"] in shown
    assert "refused" in shown
    assert result_of("status")["next_start"][11:16] == "02:30"
    listed = {model["version"]: model["state"] for model in result_of("models", "list")["models"]}
    (candidate,) = (version for version, state in listed.items() if state == "refused")
    assert listed == {first["version"]: "published", candidate: "refused"}
    assert result_of("models", "show", candidate)["reasons"]
    metrics = home.root / "metrics.prom"
    assert f'version="{first["version"]}"' in metrics.read_text()
    assert result_of("models", "promote", candidate) == {"published": candidate}
    assert f'version="{candidate}"' in metrics.read_text()
    assert candidate in mfdask("models", "list").stdout
    shown = mfdask("models", "show", first["version"]).stdout
    assert "5,0" in shown
    assert first["version"].split("-")[1][:4] + "-" in shown  # the year of the newest rating
    assert result_of("models", "rollback") == {"published": first["version"]}
    assert f'version="{first["version"]}"' in metrics.read_text()
    refused(mfdask("models", "rollback"), "no release before", code=3)
    assert result_of("models", "prune", "--keep", 1) == {"removed": []}
    assert mfdask("nightly").exit_code == 0  # nothing new
    assert "nothing" in mfdask("status").stdout


def test_it_learns_the_same_in_its_own_process_and_on_a_cluster(mfdask, home, ratings):
    published = []
    for place, options in (("own", []), ("cluster", ["--set", "cluster.workers=2"])):
        folder = home.root.parent / place
        (folder / "inbox").mkdir(parents=True)
        ratings.to_csv(folder / "inbox" / "new.csv", index=False)
        address = ["--set", "cluster.dashboard_address=127.0.0.1:0"] if options else []
        done = mfdask("nightly", "--set", f"home={place}", *options, *address)
        assert done.exit_code == 0, done.output
        assert ("dashboard" in done.stderr) == bool(options)
        (release,) = NightlyPaths(folder).models.glob("0*/model")
        published.append(load_model(release))
    one, other = published
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)


def test_status_tells_what_waits_and_how_old_everything_is(mfdask, result_of, home, ratings):
    """Also of a damaged release, at the moment when an operator needs the last runs."""
    with (home.root.parent / "nightly.toml").open("a") as file:
        file.write(
            "[[downstream]]\njob = 'report'\n"
            "arguments = ['--data', '{data}', '--out', '{tables}/page.html']\n"
        )
    arrive(home, ratings)
    arrive(home, ratings[:10], "late.csv.partial")
    home.tables.mkdir()
    (home.tables / "of-a-job-that-was.csv").touch()
    done = mfdask("nightly")
    assert "late.csv.partial" in done.stdout
    version = result_of("models", "list")["models"][0]["version"]
    said = result_of("status")
    assert (said["files_waiting"], said["tables"]) == (1, version)
    shown = mfdask("status").stdout
    assert "days old" in shown
    assert f"of {version}, made 0.0 hours ago" in shown
    assert "of-a-job-that-was.csv" in shown
    (home.models / version / "release.json").write_text('{"run"')
    done = mfdask("status")
    assert done.exit_code == 2
    assert "the published release is gone, or damaged" in done.stderr
    assert "damaged" in done.stdout
    assert "last runs" in done.stdout


def test_only_bad_files(mfdask, home):
    (home.root / "inbox" / "bad.csv").write_text("what,is,this\n1,2\n")
    refused(
        mfdask("nightly"), "run 1: no file could be taken in", "bad.csv", "nothing stays", code=3
    )
    assert names(home.refused / "000001") == ["bad.csv", "bad.csv.reason"]


def test_downstream_failures_are_told(mfdask, home, ratings):
    arrive(home, ratings)
    with (home.root.parent / "nightly.toml").open("a") as file:
        file.write("[[downstream]]\njob = 'polarity'\narguments = ['/nothing']\n")
    refused(mfdask("nightly"), "is published, but polarity: exit code 2", "/nothing", code=1)
    assert "polarity:" in mfdask("status").stdout


def test_wrong_usage(mfdask, home):
    refused(mfdask("nightly", "--config", "none.toml"), "no such file", "mfdask nightly --init")
    refused(mfdask("nightly", "--set", "gate.tolerence=1"), "did you mean tolerance?")
    refused(mfdask("nightly", "--factors", "many"), "training.factors", "a whole number")
    refused(mfdask("models", "show"), "nothing is published yet")
    refused(mfdask("models", "show", "000009"), "no release there")
    refused(mfdask("models", "promote", "000009"), "no release there")
    refused(mfdask("schedule", "--at", "25:00"), "HH:MM")


@pytest.mark.parametrize(
    ("name", "seen"), [("[b]x.csv", "[b]x.csv"), ("\udce9.csv", r"\udce9.csv")]
)
def test_names_are_shown_as_they_are(name, seen, mfdask, home):
    """And not as the markup that they may be taken for; nor need they be text."""
    (home.root / "inbox" / name).write_text("what,is,this\n1,2\n")
    assert seen in mfdask("nightly", "--dry-run").stdout
    refused(mfdask("nightly"), seen, code=3)
    assert seen in mfdask("status").stdout


def test_the_next_start_is_told_in_the_zone_of_then(monkeypatch):
    """Summer time begins in the night between."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        told = next_start_after("04:15", datetime(2026, 3, 28, 12))
    time.tzset()
    assert told == "2026-03-29T04:15+02:00"


def test_a_damaged_release_is_shown_as_one(mfdask, home):
    (home.models / "000009").mkdir(parents=True)
    done = mfdask("models", "list", "--json")
    assert json.loads(done.stdout) == {"models": [{"version": "000009", "state": "damaged"}]}
    assert done.exit_code == 2
    assert done.stderr.startswith(f"mfdask: damaged: {home.models / '000009'}")
    assert "damaged" in mfdask("models", "list").stdout


def test_no_home_is_made_to_look_after(mfdask, home):
    shutil.rmtree(home.root)
    for words in (("promote", "000001"), ("rollback",), ("prune",)):
        refused(mfdask("models", *words), "no such folder")
    assert mfdask("status").exit_code == mfdask("models", "list").exit_code == 0
    assert not home.root.exists()


def test_another_night_is_running(mfdask, home):
    with home.alone():
        refused(mfdask("nightly"), "another night is running", code=3)
        refused(mfdask("nightly", "--wait", 0.3), "another night is running", code=3)
        refused(mfdask("models", "rollback"), "another night is running", code=3)


def test_a_home_that_cannot_be_written(mfdask, home, tmp_path):
    (tmp_path / "file").write_text("")
    refused(mfdask("nightly", "--home", "file/home"), "file")


def test_a_read_only_home(mfdask, home, monkeypatch):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    home.root.chmod(0o500)
    refused(mfdask("nightly"), "permission denied")
    home.root.chmod(0o700)


def test_schedule(mfdask, result_of, home):
    units = result_of("schedule", "--at", "03:15")
    assert "OnCalendar=*-*-* 03:15:00" in units["timer"]
    assert str(home.root.parent / "nightly.toml") in units["service"]
    assert units["cron"].startswith("15 3 * * * ")
    assert units["installed"] == []
    told = mfdask("schedule").stdout
    assert "02:30:00" in told
    lines = told.splitlines()
    assert result_of("schedule")["cron"].strip() in lines  # whole, however long the folder's name


def test_sigterm_ends_a_night_that_can_go_on(home, ratings, result_of):
    arrive(home, ratings)
    job = subprocess.Popen(
        job_command("nightly", "--set", "training.tolerance=0", "--sweeps=1000000"),
        cwd=home.root.parent,
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoint = home.work / "checkpoint-model" / "state.json"
    end = time.monotonic() + 120
    while not checkpoint.exists():
        assert job.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=30)
    # 143: it was slow to clear up, and ended all the same.
    assert job.returncode in (130, 143)
    assert job.returncode == 143 or "interrupted" in said.splitlines()[-1]
    assert " - INFO - " not in said  # what Dask says of the workers that it loses
    assert State.load(home.state).done == ["check", "grow"]
    assert json.loads(checkpoint.read_text())["history"]
    assert names(home.root / "inbox") == ["new.csv"]
    line = result_of("nightly")
    assert (line["run"], line["status"]) == (1, "published")
