"""Kill nights at random instants, start them again, and see that nothing comes out differently.

Struck are the job, one of its children (a worker, a job that makes tables), or its whole process
group, with retention of one release; and in turn `models prune`, `rollback` and `promote`.
``python -m tests.nightly.kills --runs 50`` prints a line for each; a few run among the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from mfdask.job_registry import job_command
from mfdask.models import load_model
from mfdask.nightly import journal
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current, reading, releases
from mfdask.ratings.formats import open_source

CONFIG = """
home = "home"
[inbox]
settle_seconds = 0
[data]
blocks = 2
[training]
factors = 8
sweeps = 40
tolerance = 0
checkpoint_every = 5
[gate]
tolerance = 1.0  # of forty sweeps on little data; what is killed here is not the gate
[cluster]
threads = 1
dashboard_address = "127.0.0.1:0"
[retention]
models = 1
[[downstream]]
job = "report"
arguments = ["--data", "{data}", "--out", "{tables}/page.html"]
"""
TARGETS = ("the job", "a child", "the group")
FIRST, SECOND, ALL = 12_000, 13_500, 15_000


def night(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a night in a process group of its own."""
    return start(folder, "nightly", *options)


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a job in a process group of its own."""
    return subprocess.Popen(
        job_command(*words, "--config", str(folder / "nightly.toml"), "--json"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(job: subprocess.Popen[bytes]) -> int:
    """Wait for a night, and say what it said if it did not end well."""
    _, said = job.communicate(timeout=300)
    if job.returncode not in (0, -signal.SIGKILL):
        print(said.decode()[-2000:], file=sys.stderr)
    return job.returncode


def prepare(folder: Path) -> Path:
    """Return a folder behind its first night, with two files in the inbox for the second."""
    base = folder / "base"
    inbox = base / "home" / "inbox"
    inbox.mkdir(parents=True)
    (base / "nightly.toml").write_text(CONFIG)
    source = open_source("synthetic:users=300,items=150,ratings=15000", seed=3)
    ratings = pd.concat([part.read().ratings for part in source.parts], ignore_index=True)
    ratings = ratings.sort_values("timestamp", kind="stable")
    ratings.iloc[:FIRST].to_csv(inbox / "first.csv", index=False)
    assert finish(night(base)) == 0
    ratings.iloc[FIRST:SECOND].to_csv(inbox / "a.csv", index=False)
    ratings.iloc[SECOND:ALL].to_csv(inbox / "b.csv", index=False)
    return base


class Reader(threading.Thread):
    """Reads the published model all the time, and collects what goes wrong."""

    def __init__(self, home: NightlyPaths) -> None:
        super().__init__()
        self.home, self.over, self.faults, self.reads = home, threading.Event(), [], 0

    def run(self) -> None:
        """See the class."""
        while not self.over.wait(0.02):
            try:
                with reading(self.home) as release:
                    assert len(load_model(release.model).users) > 0
                    self.reads += 1
            except Exception as error:
                self.faults.append(error)


def strike(job: subprocess.Popen[bytes], after: float, target: str) -> str:
    """Kill the job, one of its children or its group some seconds from now; say what was hit.

    Nothing, "", if the job is over by then.
    """
    with suppress(subprocess.TimeoutExpired):
        job.wait(after)
        return ""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if target == "the group":
            os.killpg(job.pid, signal.SIGKILL)
            return target
        process = psutil.Process(job.pid)
        lines = [(child, " ".join(child.cmdline())) for child in process.children()]
        found = [child for child, line in lines if "spawn_main" in line or "mfdask" in line]
        if target == "a child" and found:
            found[0].kill()
            return target
        process.kill()
    return "the job"


def one_run(base: Path, whole: NightlyPaths, folder: Path, after: float, target: str) -> str:
    """Strike a night, run it again, and compare; returns what was hit, "" if it was too late."""
    shutil.copytree(base, folder, symlinks=True)
    home = NightlyPaths(folder / "home")
    reader = Reader(home)
    reader.start()
    job = night(folder)
    hit = strike(job, after, target)
    code = finish(job)
    done = json.loads(home.state.read_text())["done"] if home.state.exists() else []
    if code != 0:
        assert finish(night(folder)) == 0  # finds nothing to do if it was killed behind its end
    reader.over.set()
    reader.join()
    assert not reader.faults, reader.faults[:3]
    compare(home, whole)
    if not hit:
        return ""
    return (
        f"{hit} after {after:.2f} s, behind {done[-1] if done else 'nothing'}, {reader.reads} reads"
    )


def compare(home: NightlyPaths, whole: NightlyPaths) -> None:
    """Assert that a home is as if nothing had happened."""
    found, wanted = current(home), current(whole)
    assert found is not None
    assert wanted is not None
    assert found.version == wanted.version
    one, other = load_model(found.model), load_model(wanted.model)
    np.testing.assert_array_equal(one.user_rows, other.user_rows)
    np.testing.assert_array_equal(one.item_rows, other.item_rows)
    assert one.data == other.data
    files = sorted(path.name for path in home.taken.glob("*/*"))
    assert files == ["a.csv", "b.csv", "first.csv"]
    assert [release.version for release in releases(home.models)] == [found.version]
    assert json.loads(home.made_of.read_text())["version"] == found.version
    assert not [path for path in (home.root / "inbox").iterdir() if path.name[0] != "."]
    final = [line["run"] for line in journal.read(home.journal) if line["status"] == "published"]
    assert final == [1, 2]
    assert not home.work.exists()
    assert not home.state.exists()


def one_by_hand(two: Path, folder: Path, draw: random.Random) -> str:
    """Strike a job that publishes or removes releases, and see that the next night goes on."""
    shutil.copytree(two, folder, symlinks=True)
    home = NightlyPaths(folder / "home")
    older, newer = (release.version for release in releases(home.models))
    choices = [("prune", "--keep", "1"), ("rollback",), ("promote", older)]
    words = draw.choice(choices)
    took = time.monotonic()
    job = start(folder, "models", *words)
    hit = strike(job, draw.uniform(0.3, 2.0), draw.choice(("the job", "the group")))
    finish(job)
    took = time.monotonic() - took
    published = current(home)
    assert published is not None
    assert published.version in (older, newer)
    (home.root / "inbox" / "later.csv").write_text("user_id,item_id,rating,timestamp\n1,1,3,1\n")
    assert finish(night(folder)) == 0
    last = journal.read(home.journal)[-1]
    assert (last["status"], last["before"]) == ("published", published.version)
    assert len(releases(home.models)) == 1
    return f"{hit or 'nothing'} after {took:.2f} s of {words[0]}"


def many_runs(folder: Path, runs: int, seed: int) -> list[str]:
    """Strike so many nights, and every fifth time a job by hand; return a line for each."""
    base = prepare(folder)
    shutil.copytree(base, folder / "whole", symlinks=True)
    began = time.monotonic()
    assert finish(night(folder / "whole")) == 0
    took = time.monotonic() - began
    shutil.copytree(base, folder / "two", symlinks=True)
    assert finish(night(folder / "two", "--set", "retention.models=2")) == 0
    draw = random.Random(seed)
    lines: list[str] = []
    while len(lines) < runs:
        target, after = folder / "struck", draw.uniform(0, took)
        if len(lines) % 5 == 4:
            line = one_by_hand(folder / "two", target, draw)
        else:
            hit, whole = draw.choice(TARGETS), NightlyPaths(folder / "whole" / "home")
            line = one_run(base, whole, target, after, hit)
        shutil.rmtree(target)
        if line:
            lines.append(line)
            print(f"{len(lines)}: {line}", flush=True)
        else:
            took = after  # the machine has become faster
    return lines


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        many_runs(Path(folder), options.runs, options.seed)
    print(f"{options.runs} times killed, all went on and came out the same; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
