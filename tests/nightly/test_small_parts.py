"""The inbox, the journal, the metrics, hooks and the schedule."""

import os
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.nightly import inbox, journal
from mfdask.nightly.config import DownstreamConfig, HooksConfig
from mfdask.nightly.downstream import check_jobs, run_job, sharing_features
from mfdask.nightly.hooks import run_hook
from mfdask.nightly.inbox import look_into, put_away
from mfdask.nightly.metrics import metrics_text
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.processes import run_program
from mfdask.nightly.registry import Release
from mfdask.nightly.schedule import Schedule, next_start
from mfdask.nightly.state import State
from mfdask.nightly.watchdog import ended_after
from tests.nightly.conftest import names

LINE = {
    "run": 3, "status": "published", "ended": "1970-01-01T00:01:40+00:00", "version": "000003",
    "kind": "als", "ratings": 12, "seconds": {"grow": 1.5, "train": 2.0},
    "scores": [{"slice": "held out", "candidate": 0.875}],
}  # fmt: skip
RELEASE = Release(Path("models/000003"), {**LINE, "data_as_of": 90})


def test_what_is_still_written_waits(tmp_path):
    for name in ("b.csv", "a.csv", ".hidden.csv", "c.csv.partial", "d.tmp", "e.csv", "f.csv"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    for name, changed in (("a.csv", 1000.0), ("b.csv", 1060.0), ("e.csv", 2000.0), ("f.csv", 1065)):
        os.utime(tmp_path / name, (changed, changed))
    there = look_into(tmp_path, 30.0, now=1061.0)
    found, waiting = there.ready, there.waiting
    # e.csv is of the future: the clock was set back. f.csv is written by a clock that is ahead.
    assert [arrival.name for arrival in found] == ["a.csv", "e.csv"]
    assert found[0].bytes == 5
    assert len(found[0].sha256) == 64
    assert list(waiting) == ["b.csv", "c.csv.partial", "d.tmp", "f.csv"]
    assert "changed in the last 30 seconds" in waiting["b.csv"]


def test_a_file_that_cannot_be_read_waits(tmp_path, monkeypatch):
    """It stands in the way of no other."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(name)
    read = inbox.sha256

    def denied(place):
        if place.name == "a.csv":
            raise PermissionError(13, "Permission denied", str(place))
        return read(place)

    monkeypatch.setattr(inbox, "sha256", denied)
    found = look_into(tmp_path, 0)
    assert [arrival.name for arrival in found.ready] == ["b.csv"]
    assert found.waiting == {
        "a.csv": "cannot be read (Permission denied); check its owner and mode"
    }


def test_a_file_that_goes_while_the_inbox_is_looked_through(tmp_path, monkeypatch):
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text(name)
    read = inbox.sha256

    def reads_and_renames(place):
        (tmp_path / "b.csv").rename(tmp_path / "b.csv.old")
        monkeypatch.setattr(inbox, "sha256", read)
        return read(place)

    monkeypatch.setattr(inbox, "sha256", reads_and_renames)
    assert [arrival.name for arrival in look_into(tmp_path, 0).ready] == ["a.csv", "c.csv"]


def test_putting_away_is_done_once(tmp_path):
    inbox, taken = tmp_path / "inbox", tmp_path / "taken"
    inbox.mkdir()
    (inbox / "a.csv").write_text("one")
    (arrival,) = look_into(inbox, 0).ready
    put_away(arrival, inbox, taken)
    put_away(arrival, inbox, taken)
    (inbox / "a.csv").write_text("two")  # a new file of the old name
    put_away(arrival, inbox, taken)
    assert (names(inbox), names(taken)) == (["a.csv"], ["a.csv"])
    (other,) = look_into(inbox, 0).ready
    put_away(other, inbox, taken, "why")
    assert (taken / "a.csv").read_text() == "one"
    assert (taken / "2-a.csv").read_text() == "two"
    assert (taken / "2-a.csv.reason").read_text() == "why\n"
    long = f"{'ä' * 125}.csv"  # as long as a name may be
    (inbox / long).write_text("three")
    (third,) = look_into(inbox, 0).ready
    put_away(third, inbox, taken, "why not")
    assert (taken / long).read_text() == "three"
    assert (taken / f"{third.sha256}.reason").read_text() == "why not\n"


def test_a_torn_line_spoils_no_other(tmp_path):
    path = tmp_path / "runs.jsonl"
    assert journal.read(path) == []
    whole = {**LINE, "reason": "", "memory_bytes": {}}
    journal.append(path, {**whole, "run": 1})
    with path.open("a") as file:
        file.write('{"run": 2, "sta')
    journal.append(path, {**whole, "run": 3})
    for wrong in ({"run": "9"}, {"ended": "soon"}, {"status": "lost"}, {"seconds": {"grow": "x"}}):
        journal.append(path, {**whole, **wrong})
    with path.open("a") as file:
        file.write('[]\nnull\n{"run": 4')
    assert [line["run"] for line in journal.read(path)] == [1, 3]


def test_a_torn_state_is_none(tmp_path):
    path = tmp_path / "run.json"
    assert State.load(path) is None
    State(4, "x", None).save(path)
    assert State.load(path) == State(4, "x", None)
    path.write_text(path.read_text()[:-9])
    assert State.load(path) is None


def test_metrics():
    failed = {**LINE, "run": 4, "status": "failed", "ended": "1970-01-01T00:03:20+00:00"}
    lines = metrics_text([LINE, failed], RELEASE).splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    values = {name.removeprefix("mfdask_nightly_"): float(value) for name, value in values.items()}
    assert values["last_success_timestamp_seconds"] == 100
    assert values["last_run_timestamp_seconds"] == 200
    assert values['last_run_status{status="failed"}'] == 1
    assert values['last_run_status{status="published"}'] == 0
    assert values['step_seconds{step="grow"}'] == 1.5
    assert values['rmse{slice="held out"}'] == 0.875
    assert values['model_info{version="000003",kind="als"}'] == 1
    assert values["ratings"] == 12
    assert values["data_timestamp_seconds"] == 90
    assert metrics_text([], None) == "\n"
    assert "model_info" not in metrics_text([failed], None)
    assert "last_success" not in metrics_text(
        [{**LINE, "failed_jobs": ["polarity: exit code 2"]}], None
    )


def test_hooks_get_the_line(tmp_path):
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    good, bad = (
        shlex.join([sys.executable, "-c", write, str(tmp_path / name)]) for name in ("good", "bad")
    )
    assert run_hook(HooksConfig(good, bad), LINE) is None
    assert run_hook(HooksConfig(good, bad), {**LINE, "status": "refused"}) is None
    assert '"status": "published"' in (tmp_path / "good").read_text()
    assert '"status": "refused"' in (tmp_path / "bad").read_text()
    assert run_hook(HooksConfig(good, bad), {**LINE, "failed_jobs": ["polarity"]}) is None
    assert '"failed_jobs"' in (tmp_path / "bad").read_text()
    assert run_hook(HooksConfig(), LINE) is None
    assert run_hook(HooksConfig(" "), LINE) is None


def test_what_a_hook_says_does_not_matter():
    write = "import sys; sys.stdout.buffer.write(bytes([255]) * 2**21)"
    assert run_hook(HooksConfig(shlex.join([sys.executable, "-c", write])), LINE) is None


def test_hooks_that_fail_are_told():
    fail = shlex.join([sys.executable, "-c", "raise SystemExit(7)"])
    assert "exit code 7" in run_hook(HooksConfig(fail), LINE)
    assert "no-such-command" in run_hook(HooksConfig("no-such-command"), LINE)
    sleep = shlex.join([sys.executable, "-c", "import time; time.sleep(60)"])
    assert "not done after 0.2 seconds" in run_hook(HooksConfig(sleep, timeout_seconds=0.2), LINE)


def test_a_program_that_takes_too_long_ends_with_its_children(tmp_path):
    """One of them holds standard error open, and would be waited for."""
    child = f"import os, time; open({str(tmp_path / 'child')!r}, 'w').write(str(os.getpid()))"
    child += "; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="not done after 3 seconds"):
        run_program([sys.executable, "-c", parent], 3)
    assert time.monotonic() - began < 20
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_that_takes_too_long(monkeypatch):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr("mfdask.nightly.downstream.job_command", lambda *words: sleep)
    said = run_job(DownstreamConfig("polarity", timeout_minutes=0.005), {})
    assert said == "polarity: not done after 0.3 seconds, and ended (timeout_minutes)"


def test_churn_and_ltv_of_one_night_share_their_features():
    churn, ltv, other = (DownstreamConfig(name, ("{model}",)) for name in ("churn", "ltv", "embed"))
    assert sharing_features((churn, other)) == (churn, other)
    first, between, second = sharing_features((churn, other, ltv))
    assert between == other
    assert first.arguments == second.arguments == ("{model}", "--features", "{tables}/.features")
    told = DownstreamConfig("ltv", ("--features=mine",))
    assert sharing_features((churn, told))[1] == told


def test_a_night_that_takes_too_long():
    with (
        pytest.raises(RefusedError, match=r"/home: .*longer than 0.001 minutes"),
        ended_after(0.06, "/home"),
    ):
        time.sleep(20)
    with ended_after(30, "/home"):
        pass
    with pytest.raises(KeyboardInterrupt), ended_after(30, "/home"):
        raise KeyboardInterrupt


def test_jobs_that_there_are_not():
    check_jobs((DownstreamConfig("polarity"),))
    for name in ("polarities", "../polarity"):
        with pytest.raises(InputError, match="there is no job"):
            check_jobs((DownstreamConfig(name),))


def test_a_job_that_fails_says_why():
    said = run_job(DownstreamConfig("polarity", ("{model}",)), {"model": "/nothing"})
    assert said is not None
    assert "exit code 2, mfdask: /nothing: no model there" in said


def test_one_at_a_time(tmp_path):
    home = NightlyPaths(tmp_path)
    with home.alone(), pytest.raises(RefusedError, match="another night is running"):
        home.alone(0.3).__enter__()
    with home.alone():
        pass


def test_the_lock_of_a_dead_process_holds_nothing(tmp_path):
    (tmp_path / ".nightly.lock").write_text("")
    with NightlyPaths(tmp_path).alone():
        pass


def test_a_home_that_holds_something_else(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"/data: is in the way.*folder of its own"):
        NightlyPaths(tmp_path).prepare(tmp_path / "inbox")


def test_an_inbox_that_cannot_be_emptied(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda place, mode: place != tmp_path / "inbox")
    with pytest.raises(InputError, match="/inbox: files cannot be moved out of it"):
        NightlyPaths(tmp_path).prepare(tmp_path / "inbox")


def test_next_start():
    now = datetime(2026, 3, 10, 2, 30, tzinfo=UTC)
    assert next_start("02:31", now) == datetime(2026, 3, 10, 2, 31, tzinfo=UTC)
    assert next_start("02:30", now) == datetime(2026, 3, 11, 2, 30, tzinfo=UTC)


def test_schedule(tmp_path):
    schedule = Schedule("02:05", tmp_path / "of 100 %" / "nightly.toml")
    assert "OnCalendar=*-*-* 02:05:00" in schedule.timer()
    assert f'"{tmp_path}/of 100 %%/nightly.toml"' in schedule.service()
    assert schedule.cron().startswith("5 2 * * * cd ")
    assert r"100 \%" in schedule.cron()
    of_somebody = Schedule("02:05", tmp_path / "o'brien" / "nightly.toml")
    assert f'"{tmp_path}/o\'brien/nightly.toml"' in of_somebody.service()
    with pytest.raises(InputError, match="HH:MM"):
        Schedule("2:5", tmp_path)


def test_install_without_systemd(tmp_path, monkeypatch):
    schedule = Schedule("02:05", tmp_path / "nightly.toml")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RefusedError, match="crontab -e"):
        schedule.install(tmp_path / "units")
    assert not (tmp_path / "units").exists()


def test_install_tells_systemd(tmp_path, monkeypatch):
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$*" | tee -a {tmp_path}/told\n')
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    schedule = Schedule("02:05", tmp_path / "nightly.toml")
    files = schedule.install(tmp_path / "units")
    assert [file.read_text() for file in files] == [schedule.service(), schedule.timer()]
    told = (tmp_path / "told").read_text().splitlines()
    assert told[1:] == ["--user daemon-reload", "--user enable --now mfdask-nightly.timer"]
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    with pytest.raises(RefusedError, match="no bus"):
        schedule.install(tmp_path / "other")
