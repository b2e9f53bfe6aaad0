"""Kill nights at random instants, start them again, and see that nothing comes out differently.

A night learns a rating model and a ranking one, and makes lists of both.

Struck are the job, one of its children (a worker, a job that makes tables), its whole process
group, or the nanny of a worker that was started by hand; in a whole night, while it makes tables,
and in `models prune`, `rollback` and `promote`; with retention of one release.
``python -m tests.nightly.kills --runs 200`` prints a line for each; a few run among the tests.
"""

from __future__ import annotations

import argparse
import filecmp
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
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from mfdask.job_registry import job_command
from mfdask.models import load_model
from mfdask.nightly import journal
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current, reading, releases
from mfdask.nightly.state import State
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset
from tests.by_hand import cluster_by_hand

CONFIG = """
home = "home"
[inbox]
settle_seconds = 0
[data]
blocks = 2
[training]
factors = 4
sweeps = 20
tolerance = 0
checkpoint_every = 3
[gate]
tolerance = 1.0  # of a few sweeps on little data; what is killed here is not the gate
[cluster]
threads = 1
dashboard_address = "127.0.0.1:0"
[retention]
models = 1
[ranking]
model = "ials"
factors = 4
sweeps = 4
checkpoint_every = 1
[[downstream]]
job = "embed"
arguments = ["{model}", "--out", "{tables}/themes"]
[[downstream]]
job = "recommend"
arguments = ["{ranking}", "--stars", "{model}", "--data", "{data}", "--out", "{tables}/lists",
             "--top", "3", "--min-ratings", "0", "--workers", "1", "--threads", "1"]
"""
FIRST, SECOND, ALL = 4_000, 4_500, 5_000
JOB, CHILD, GROUP, NANNY = "the job", "a child", "the group", "a nanny"
#: What is struck in turn, and who may be hit there.
PHASES = {
    "night": (JOB, CHILD, GROUP, NANNY),
    "tables": (JOB, CHILD, GROUP),
    "prune": (JOB, GROUP),
    "rollback": (JOB, GROUP),
    "promote": (JOB, GROUP),
}
TURNS = ("night", "prune", "night", "tables", "night", "rollback", "night", "promote")
#: Seconds after which a job hangs.
_LONG = 180


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


def finish(job: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for a job, and return its exit code and what it said; one that hangs is ended."""
    try:
        said = job.communicate(timeout=_LONG)[1]
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        said = job.communicate()[1] + f"\nit hung for {_LONG} seconds".encode()
        return 1, said.decode()
    return job.returncode, said.decode()


def run(job: subprocess.Popen[bytes]) -> None:
    """Wait for a job that must end well."""
    code, said = finish(job)
    assert code == 0, f"exit code {code}: {said[-2000:]}"


def lock(folder: Path) -> Path:
    """Return the file that is there while a job works in the home of a folder."""
    return folder / "home" / ".nightly.lock"


@contextmanager
def working(job: subprocess.Popen[bytes], folder: Path) -> Iterator[None]:
    """Run the block once a job has begun to work in its home, or is over."""
    while job.poll() is None and not lock(folder).exists():
        time.sleep(0.0005)
    yield


def seconds_of(job: subprocess.Popen[bytes], folder: Path) -> float:
    """Wait for a job that must end well, and return how long it worked in its home."""
    with working(job, folder):
        began = time.monotonic()
    while job.poll() is None and lock(folder).exists():
        time.sleep(0.0005)
    took = time.monotonic() - began
    run(job)
    return took


class Reader(threading.Thread):
    """Reads the published model all the time, and collects what goes wrong."""

    def __init__(self, home: NightlyPaths) -> None:
        super().__init__(daemon=True)
        self.home, self.over, self.faults, self.reads = home, threading.Event(), [], 0

    def run(self) -> None:
        """See the class."""
        while not self.over.wait(0.2):
            try:
                with reading(self.home) as release:
                    assert len(load_model(release.model).users) > 0
                    self.reads += 1
            except Exception as error:
                self.faults.append(error)


@contextmanager
def read_meanwhile(home: NightlyPaths) -> Iterator[Reader]:
    """Read the published model while the block runs; each time there must be a whole one."""
    reader = Reader(home)
    reader.start()
    try:
        yield reader
    finally:
        reader.over.set()
        reader.join()
    assert not reader.faults, reader.faults[:3]


def strike(job: subprocess.Popen[bytes], folder: Path, after: float, target: str) -> str:
    """Kill somebody, some seconds after a job has begun to work; say who was hit.

    Nobody, "", if the job is over by then.
    """
    with working(job, folder), suppress(subprocess.TimeoutExpired):
        job.wait(after)
        return ""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        if target == GROUP:
            os.killpg(job.pid, signal.SIGKILL)
            return target
        found = nannies() if target == NANNY else children(job.pid)
        if target in (CHILD, NANNY) and found:
            found[0].kill()
            return target
        psutil.Process(job.pid).kill()
    return JOB


def children(pid: int) -> list[psutil.Process]:
    """Return the workers of a night, and the job that makes its tables."""
    every = psutil.Process(pid).children()
    return [own for own in every if _is_of(own, "spawn_main") or _is_of(own, "mfdask")]


def nannies() -> list[psutil.Process]:
    """Return the processes ``dask worker`` that were started here, each a nanny with its worker."""
    return [own for own in psutil.Process().children() if _is_of(own, "worker")]


def _is_of(process: psutil.Process, word: str) -> bool:
    return any(word in part for part in process.cmdline())


@dataclass
class Trial:
    """Homes to begin with, and what strikes on copies of them have found.

    Attributes
    ----------
    folder : Path
        Holds `base`, behind its first night and with two files in the inbox; `whole`, the same
        behind its second night; `tables`, broken off in that before the tables; and `two`, with
        two releases.
    draw : Random
    took : dict of str to float
        Seconds that an undisturbed job works in its home, by phase.
    lines, faults : list of str
    """

    folder: Path
    draw: random.Random
    took: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the homes, and measure what each job takes."""
        base = self.folder / "base"
        inbox = base / "home" / "inbox"
        inbox.mkdir(parents=True)
        (base / "nightly.toml").write_text(CONFIG)
        source = open_source(f"synthetic:users=200,items=80,ratings={ALL}", seed=3)
        ratings = pd.concat([part.read().ratings for part in source.parts], ignore_index=True)
        ratings = ratings.sort_values("timestamp", kind="stable")
        ratings.iloc[:FIRST].to_csv(inbox / "first.csv", index=False)
        run(night(base))
        ratings.iloc[FIRST:SECOND].to_csv(inbox / "a.csv", index=False)
        ratings.iloc[SECOND:].to_csv(inbox / "b.csv", index=False)
        self.took["night"] = seconds_of(night(self.copy("base", "whole")), self.folder / "whole")
        run(night(self.copy("base", "two"), "--set", "retention.models=2"))
        self.took["tables"] = self.broken_off_before_tables()
        for phase in ("prune", "rollback", "promote"):
            with self.copied("two") as folder:
                self.took[phase] = seconds_of(start(folder, *self.words(phase)), folder)

    def broken_off_before_tables(self) -> float:
        """Make the home of that name, and return the seconds that its next night takes."""
        folder = self.copy("base", "tables")
        home, job = NightlyPaths(folder / "home"), night(folder)
        while "put away" not in done(home):
            time.sleep(0.01)
            assert job.poll() is None, finish(job)
        os.killpg(job.pid, signal.SIGKILL)
        finish(job)
        lock(folder).unlink()  # strikes count from where the next one takes it
        with self.copied("tables") as copy:
            return seconds_of(night(copy), copy)

    def copy(self, source: str, target: str) -> Path:
        """Copy a folder, with its home."""
        return Path(shutil.copytree(self.folder / source, self.folder / target, symlinks=True))

    @contextmanager
    def copied(self, source: str) -> Iterator[Path]:
        """Yield a copy for one trial; it stays where that fails."""
        folder = self.copy(source, f"struck-{len(self.lines)}")
        yield folder
        shutil.rmtree(folder)

    def words(self, phase: str) -> tuple[str, ...]:
        """Return what follows `mfdask`, in a folder with two releases."""
        older = releases(NightlyPaths(self.folder / "two" / "home").models)[0].version
        options = {"prune": ("--keep", "1"), "promote": (older,)}
        return "models", phase, *options.get(phase, ())

    def one(self, phase: str) -> None:
        """Strike once, and note what came of it; a strike that came too late is left out."""
        target = self.draw.choice(PHASES[phase])
        after = self.draw.uniform(0, self.took[phase])
        by_hand = phase not in ("night", "tables")
        act: Callable[..., str] = self.struck_by_hand if by_hand else self.struck_night
        try:
            said = act(phase, target, after)
        except Exception:
            said = f"FAULT {traceback.format_exc()}"
            self.faults.append(said)
        if not said:
            self.took[phase] = after  # the machine has become faster
        else:
            self.lines.append(f"{phase}: {target} after {after:.3f} s, {said}")
            print(f"{len(self.lines)}: {self.lines[-1]}", flush=True)

    def struck_night(self, phase: str, target: str, after: float) -> str:
        """Strike a night, let somebody prune, run it again, and compare."""
        with self.copied("base" if phase == "night" else "tables") as folder:
            home = NightlyPaths(folder / "home")
            workers = workers_by_hand(folder, target == NANNY)
            with workers as options, read_meanwhile(home) as reader:
                job = night(folder, *options)
                hit = strike(job, folder, after, target)
                code, _ = finish(job)
                where = (done(home) or ["nothing"])[-1]
                if code != 0 and self.draw.random() < 0.5:
                    run(start(folder, "models", "prune"))
                if code != 0:
                    run(night(folder, *options))
            compare(home, NightlyPaths(self.folder / "whole" / "home"))
        return hit and f"{hit} hit behind {where}, code {code}, {reader.reads} reads"

    def struck_by_hand(self, phase: str, target: str, after: float) -> str:
        """Strike a job that publishes or removes releases, and see that the next night goes on."""
        with self.copied("two") as folder:
            home = NightlyPaths(folder / "home")
            known = {release.version: release for release in releases(home.models)}
            job = start(folder, *self.words(phase))
            hit = strike(job, folder, after, target)
            finish(job)
            published = current(home)
            assert published is not None
            assert published.version in known
            before = known[published.version].facts["ratings"]
            new = "user_id,item_id,rating,timestamp\n99999,1,3,1\n"
            (home.root / "inbox" / "later.csv").write_text(new)
            run(night(folder))
            last = journal.read(home.journal)[-1]
            assert (last["status"], last["before"]) == ("published", published.version)
            assert last["ratings"] == before + 1
            check_whole(home)
        return hit and f"{hit} hit, then from {published.version}"


@contextmanager
def workers_by_hand(folder: Path, by_hand: bool) -> Iterator[list[str]]:
    """Yield the options of a night: none, or those for two workers that were started by hand."""
    if not by_hand:
        yield []
        return
    place = folder / "cluster"
    place.mkdir()
    with cluster_by_hand(place, "one", "two") as address:
        yield ["--scheduler", address]


def done(home: NightlyPaths) -> list[str]:
    """Return the steps that the unfinished run of a home has behind it."""
    state = State.load(home.state)
    return state.done if state else []


def check_whole(home: NightlyPaths) -> None:
    """Assert that a home is behind a night: one whole release with tables, nothing left over."""
    (found,) = releases(home.models)
    published = current(home)
    assert published is not None
    assert published.version == found.version
    assert load_model(found.model).data.fingerprint
    data = Dataset.open(found.data, verify=True)
    assert data.manifest.counts.kept == found.facts["ratings"]
    assert json.loads(home.made_of.read_text())["version"] == found.version
    for folder in (home.root / "inbox", home.models):
        hidden = [place.name for place in folder.iterdir() if place.name.startswith(".")]
        assert not hidden, hidden
    assert not list((home.root / "inbox").iterdir())
    assert not home.work.exists()
    assert not home.state.exists()


def compare(home: NightlyPaths, whole: NightlyPaths) -> None:
    """Assert that a home is as if nothing had happened."""
    check_whole(home)
    found, wanted = current(home), current(whole)
    assert found is not None
    assert wanted is not None
    assert found.version == wanted.version
    for mine, theirs in ((found.model, wanted.model), (found.ranking, wanted.ranking)):
        one, other = load_model(mine), load_model(theirs)
        np.testing.assert_array_equal(one.user_rows, other.user_rows)
        np.testing.assert_array_equal(one.item_rows, other.item_rows)
        assert one.data == other.data
    files = sorted(path.name for path in home.taken.glob("*/*"))
    assert files == ["a.csv", "b.csv", "first.csv"]
    assert not list(home.refused.glob("*/*"))
    final = [line["run"] for line in journal.read(home.journal) if line["status"] == "published"]
    assert final == [1, 2]
    tables = [path.relative_to(whole.tables) for path in whole.tables.rglob("*") if path.is_file()]
    assert filecmp.cmpfiles(home.tables, whole.tables, tables, shallow=False)[1:] == ([], [])


def many_runs(folder: Path, runs: int, seed: int) -> Trial:
    """Strike so many times, each phase in its turn, and return what came of it."""
    trial = Trial(folder, random.Random(seed))
    trial.prepare()
    while len(trial.lines) < runs:
        trial.one(TURNS[len(trial.lines) % len(TURNS)])
    return trial


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    trial = many_runs(folder, options.runs, options.seed)
    print(f"{len(trial.lines)} strikes, seed {options.seed}, {len(trial.faults)} faults")
    if trial.faults:
        sys.exit(f"the homes with faults are in {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
