"""Damage every file of a data set, of models and of nightly homes, and see what readers make of it.

Each file has one bit flipped, is cut, emptied and removed in turn; each time a reader, drawn from
those that there are, must end with exit code 2 and one line, or with the same result as before.
Readers run through the command line, in this process. ``python -m tests.trials.damage`` prints what
went wrong, and how many trials there were; a sample runs among the tests.

Left out are what nobody reads again (`taken/`, `refused/`, `tables/`, `metrics.prom`, which is
written anew with each run) and what has no checksum because it comes from others (`inbox/`).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
from click.testing import CliRunner, Result
from distributed import Client

from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.jobs.cli import main as command
from mfdask.models import load_model
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import current
from mfdask.nightly.run import STEPS
from mfdask.ratings.formats import open_source
from mfdask.shards import Dataset

#: The kinds of model, with the options that make them small.
KINDS = {
    "als": "--sweeps 3",
    "genre": "--sweeps 3",
    "bayes": "--sweeps 4 --burn-in 1",
}
#: What a result says of the time at which it was made, or of the machine.
TIMES = {
    "created", "ended", "started", "memory_bytes", "peak_memory_bytes", "tables_made",
    "taken", "options",
}  # fmt: skip
CONFIG = """
home = "home"
[inbox]
settle_seconds = 0
[data]
blocks = 2
[training]
factors = 3
sweeps = 3
checkpoint_every = 2
[gate]
tolerance = 1.0
[retention]
models = 5
"""
#: Below a home, what no trial damages.
_LEFT_OUT = ("taken", "refused", "tables", "inbox", "metrics.prom", "nightly.toml")


def flip(file: Path, draw: random.Random) -> None:
    """Turn one bit of a file round, or of what a link names."""
    if file.is_symlink():
        name = bytearray(os.fsencode(file.readlink()))
        name[draw.randrange(len(name))] ^= 1  # any other bit may make a separator of it
        file.unlink()
        file.symlink_to(os.fsdecode(bytes(name)))
        return
    held = bytearray(file.read_bytes())
    if held:
        held[draw.randrange(len(held))] ^= 1 << draw.randrange(8)
    rewrite(file, bytes(held))


def cut(file: Path, draw: random.Random) -> None:
    """Take away the end of a file, of random length."""
    if not file.is_symlink():
        held = file.read_bytes()
        rewrite(file, held[: draw.randrange(len(held))] if held else held)


def empty(file: Path, draw: random.Random) -> None:
    """Leave nothing in a file; in the place of a link is one."""
    rewrite(file, b"")


def remove(file: Path, draw: random.Random) -> None:
    """Take a file away."""
    file.unlink()


def rewrite(file: Path, held: bytes) -> None:
    """Write a file anew: the old one may have other names."""
    file.unlink()
    file.write_bytes(held)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (flip, cut, empty, remove)


@dataclass(frozen=True)
class Reader:
    """A job, and what its result is beside its JSON.

    Attributes
    ----------
    words : str
        Its command, in the folder of the trial.
    result : callable
        Returns what it has made there, to be compared.
    """

    words: str
    result: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Subject:
    """What is damaged: files of a folder, and those who read them.

    Attributes
    ----------
    name : str
    files : list of str
        Below the folder of the trials.
    readers : list of Reader
    home : str
        The nightly home that is copied for a trial; "": data set and models.
    """

    name: str
    files: list[str]
    readers: Sequence[Reader]
    home: str = ""


def files_below(place: Path, root: Path) -> list[str]:
    """Return the files and links below a folder, by their paths from `root`."""
    found = []
    for folder, folders, names in os.walk(place):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found += [Path(folder, name).relative_to(root) for name in (*names, *links)]
    return sorted(str(path) for path in found if not set(path.parts) & set(_LEFT_OUT))


def digest(name: str) -> str:
    """Return what tells a file, or all files of a folder, from others."""
    place = Path(name)
    every = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    made = hashlib.sha256()
    for file in every:
        made.update(str(file.relative_to(place)).encode() + file.read_bytes())
    return made.hexdigest()


def digest_of_data(place: Path) -> str:
    """Return what tells the ratings of a data set from others; its files must be whole."""
    manifest = Dataset.open(place, verify=True).manifest
    return json.dumps(
        [manifest.fingerprint, manifest.counts.kept, sorted(map(str, manifest.files))]
    )


def digest_of_home() -> Any:
    """Return what is published in the home, whole, and what has become of the inbox's files."""
    home = NightlyPaths(Path("home"))
    release = current(home)
    assert release is not None
    model = load_model(release.model)
    rows = hashlib.sha256(model.user_rows.tobytes() + model.item_rows.tobytes()).hexdigest()
    files = sorted(path.name for path in home.taken.glob("*/*"))
    waiting = sorted(path.name for path in (home.root / "inbox").iterdir())
    return [release.version, rows, digest_of_data(release.data), files, waiting]


#: Subject, file, damage and reader.
Trial = tuple[Subject, str, Callable[[Path, random.Random], None], Reader]


class Trials:
    """Data set, models and homes in a folder, to be copied, damaged and read.

    Parameters
    ----------
    folder : Path
    client : distributed.Client
        Its cluster is the one that all jobs use.
    """

    def __init__(self, folder: Path, client: Client) -> None:
        self.whole, self.place = folder / "whole", folder / "place"
        self.whole.mkdir()
        assert client.scheduler is not None
        self.cluster = ("--scheduler", client.scheduler.address)
        self.subjects = self._prepare()
        self._results: dict[tuple[str, str], Any] = {}

    def run(self, words: str) -> Result:
        """Run a job in the folder of the trial."""
        job, *arguments = words.split()
        cluster = self.cluster if job in ("train", "recommend", "nightly") else ()
        return CliRunner().invoke(command, [job, *arguments, *cluster, "--json"])

    def _must(self, words: str) -> None:
        done = self.run(words)
        assert done.exit_code == 0, done.output

    def _prepare(self) -> list[Subject]:
        source = open_source("synthetic:users=60,items=40,ratings=1000", seed=3)
        ratings = pd.concat([part.read().ratings for part in source.parts], ignore_index=True)
        ratings = ratings.sort_values("timestamp", kind="stable")
        with chdir(self.whole):
            ratings.iloc[-100:].to_csv("more.csv", index=False)
            self._must("ingest synthetic:users=60,items=40,ratings=1000 --out d --blocks 2")
            for kind, options in KINDS.items():
                self._must(f"train d --model {kind} {options} --out {kind}")
            self._prepare_home(ratings)
            shutil.copytree("home", "broken-home", symlinks=True)
            self._break_off()
        return [self._data(), *map(self._model, KINDS), *self._homes()]

    def _prepare_home(self, ratings: pd.DataFrame) -> None:
        """Run two nights, and leave files in the inbox for a third: new ones, and known ones."""
        inbox = Path("home", "inbox")
        inbox.mkdir(parents=True)
        Path("nightly.toml").write_text(CONFIG)
        for name, first, stop in (("first.csv", 0, 700), ("second.csv", 700, 800)):
            ratings.iloc[first:stop].to_csv(inbox / name, index=False)
            self._must("nightly")
        ratings.iloc[800:900].to_csv(inbox / "refused.csv", index=False)
        assert self.run("nightly --set gate.max_rmse=0.01").exit_code == 3
        ratings.iloc[900:].to_csv(inbox / "third.csv", index=False)
        ratings.iloc[700:800].to_csv(inbox / "known.csv", index=False)

    def _break_off(self) -> None:
        """Break a night off in the other home, when its model is there and not judged yet."""

        def stop(night: object) -> None:
            raise KeyboardInterrupt

        Path("home").rename("kept")
        Path("broken-home").rename("home")
        with patch.dict(STEPS, {"gate": stop}):
            assert self.run("nightly").exit_code == 130
        Path("home").rename("broken-home")
        Path("kept").rename("home")

    def _data(self) -> Subject:
        readers = [
            Reader("inspect d"),
            Reader("evaluate als d"),
            Reader("recommend als --data d --min-ratings 1 --out out", lambda: digest("out")),
            Reader("ingest more.csv --into d", lambda: digest_of_data(Path("d"))),
            Reader("train d --sweeps 2 --out new", lambda: digest("new/users.parquet")),
            Reader("report --data d --out page.html"),
        ]
        return Subject("data set", files_below(self.whole / "d", self.whole), readers)

    def _model(self, kind: str) -> Subject:
        readers = [
            Reader(f"evaluate {kind} d"),
            Reader(f"recommend {kind} --data d --min-ratings 1 --out out", lambda: digest("out")),
            Reader(f"embed {kind} --min-ratings 1 --out themes", lambda: digest("themes")),
            Reader(f"report --data d --model {kind} --out page.html"),
        ]
        return Subject(f"{kind} model", files_below(self.whole / kind, self.whole), readers)

    def _homes(self) -> Iterator[Subject]:
        older, _ = sorted(p.name for p in (self.whole / "home" / "models").glob("0*"))
        (candidate,) = (p.name for p in (self.whole / "home" / "candidates").iterdir())
        looks = [Reader("status"), Reader("models list"), Reader("models show")]
        words = ("rollback", f"promote {older}", f"promote {candidate}")
        changes = [Reader(f"models {own}", digest_of_home) for own in words]
        night, user = Reader("nightly", digest_of_home), Reader("evaluate home/model home/data")
        readers = [*looks, *changes, user, night]
        yield Subject("home", files_below(self.whole / "home", self.whole), readers, "home")
        unfinished = ["broken-home/run.json", "broken-home/runs.jsonl"]
        unfinished += files_below(self.whole / "broken-home" / "work", self.whole)
        yield Subject("unfinished night", unfinished, [looks[0], night], "broken-home")

    def every(self, draw: random.Random) -> list[Trial]:
        """Return a trial of each damage to each file, each with one of the readers."""
        return [
            (subject, *own, draw.choice(subject.readers))
            for subject in self.subjects
            for own in itertools.product(subject.files, DAMAGES)
        ]

    def one(
        self,
        subject: Subject,
        name: str,
        damage: Callable[[Path, random.Random], None],
        reader: Reader,
        draw: random.Random,
    ) -> tuple[str, str]:
        """Damage a file and read it; return `refused` or `same`, and what is wrong, if anything."""
        whole = self._result(subject, reader)
        with self._copy(subject):
            damage(Path(name.removeprefix("broken-")), draw)
            code, said, *result = self._read(reader)
        if (code, said, *result) == whole:
            return "same", ""
        if code == 2 and said.splitlines()[-1].startswith("mfdask: "):
            return "refused", ""
        what = f"{damage.__name__} {name}: {reader.words}: code {code}, {said}, {result}"
        return "fault", what

    def _result(self, subject: Subject, reader: Reader) -> tuple[Any, ...]:
        """Return what a reader makes of undamaged files."""
        key = subject.name, reader.words
        if key not in self._results:
            with self._copy(subject):
                self._results[key] = self._read(reader)
            assert self._results[key][0] == 0, (reader.words, self._results[key])
        return self._results[key]

    def _read(self, reader: Reader) -> tuple[Any, ...]:
        """Return exit code, what is said, and the result of a job in the folder it stands in."""
        done = self.run(reader.words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return -1, f"Traceback: {done.exception!r}", None
        if done.exit_code:
            return done.exit_code, done.stderr, None
        try:
            return 0, without_times(json.loads(done.stdout.splitlines()[-1])), reader.result()
        except Exception as error:
            return 0, f"and its result is {error!r}", None

    @contextmanager
    def _copy(self, subject: Subject) -> Iterator[None]:
        """Copy what a subject's readers need to the folder of the trial, and work there."""
        shutil.rmtree(self.place, ignore_errors=True)
        if subject.home:
            self.place.mkdir()
            shutil.copy(self.whole / "nightly.toml", self.place)
            shutil.copytree(self.whole / subject.home, self.place / "home", symlinks=True)
        else:
            shutil.copytree(self.whole, self.place, ignore=shutil.ignore_patterns("*home"))
        with chdir(self.place):
            yield


def without_times(said: Any) -> Any:
    """Return what JSON says without what is of the hour."""
    if isinstance(said, dict):
        return {key: without_times(one) for key, one in said.items() if not _is_time(key)}
    return [without_times(one) for one in said] if isinstance(said, list) else said


def _is_time(key: str) -> bool:
    return key in TIMES or "seconds" in key


def many(folder: Path, client: Client, n: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Make a random choice of `n` trials, or all; return how each ended, and all faults."""
    trials, draw = Trials(folder, client), random.Random(seed)
    chosen = trials.every(draw)
    if n:
        chosen = draw.sample(chosen, n)
    ends: Counter[str] = Counter()
    faults = []
    for number, own in enumerate(chosen, 1):
        end, what = trials.one(*own, draw)
        ends[end] += 1
        if what:
            faults.append(what)
            print(f"{number}: {what}", flush=True)
        if number % 100 == 0:
            print(f"{number} of {len(chosen)}: {dict(ends)}", flush=True)
    return ends, faults


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=0, help="0: all there are")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cluster = ClusterConfig(threads=1, dashboard_address="127.0.0.1:0")
    with tempfile.TemporaryDirectory() as folder, open_cluster(cluster) as client:
        ends, faults = many(Path(folder), client, options.trials, options.seed)
    print(f"{ends.total()} trials, seed {options.seed}: {dict(ends)}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
