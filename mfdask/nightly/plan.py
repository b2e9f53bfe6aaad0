"""The plan of a night: its files, and estimates of time, memory and disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mfdask.errors import RefusedError
from mfdask.files import free_bytes
from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.inbox import InboxFile
from mfdask.nightly.journal import Line
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import Release
from mfdask.shards import Manifest

#: Bytes of a rating in a text file, and in one that is compressed.
_TEXT_BYTES, _PACKED_BYTES = 25, 8
#: Of a machine of two cores, where no earlier run says better: seconds of a step, and seconds more
#: for a million ratings (of training: for a million ratings and a sweep, with 20 factors).
_SECONDS = {"grow": (4.0, 0.5), "train": (4.0, 0.02), "gate": (1.0, 0.1)}
#: Resident bytes of all processes: without ratings, and for each.
_MEMORY = (800 * 2**20, 40)
#: Disk that a rating takes while a data set is made, beside the one that is there.
_DISK_BYTES = 61


@dataclass(frozen=True)
class NightPlan:
    """Files and estimated cost of the next night.

    Attributes
    ----------
    base : str or None
        The release to begin with.
    files : list of InboxFile
        To be taken in.
    known : list of InboxFile
        Whose contents are in the data set already.
    ratings : int
        That the data set will hold, by the size of the files.
    seconds : dict of str to float
        Of each step.
    memory_bytes, disk_bytes : int
    source : str
        What the estimate rests on.
    waiting : dict of str to str
        Files left for another night, each with the reason.
    """

    base: str | None
    files: list[InboxFile]
    known: list[InboxFile]
    ratings: int
    seconds: dict[str, float]
    memory_bytes: int
    disk_bytes: int
    source: str
    waiting: dict[str, str] = field(default_factory=dict)

    def check(self, home: NightlyPaths) -> None:
        """Refuse to begin what the machine cannot hold.

        Raises
        ------
        RefusedError
            If memory or disk would not do, as far as one can tell.
        """
        memory = self.memory_bytes, psutil.virtual_memory().available
        disk = self.disk_bytes, free_bytes(home.root)
        for (needed, free), what, mend in (
            (memory, "memory", "end something else, or begin later"),
            (disk, "disk", "free some, or keep fewer models"),
        ):
            if needed > free:
                raise RefusedError(
                    f"{home.root}: a night needs {needed / 2**20:,.1f} MiB of {what} "
                    f"({self.source}) and {free / 2**20:,.1f} MiB are free; {mend}"
                )


def make_plan(
    config: NightlyConfig,
    begin: Path | None,
    base: Release | None,
    files: list[InboxFile],
    known: list[InboxFile],
    lines: Sequence[Line],
) -> NightPlan:
    """Estimate a night: by the last published run where there is one, else by rules.

    Parameters
    ----------
    config : NightlyConfig
    begin : Path or None
        The data set to extend.
    base : Release or None
    files, known : list of InboxFile
    lines : sequence
        Of `runs.jsonl`.
    """
    counts = Manifest.read(begin).counts if begin else None
    ratings = (counts.kept if counts else 0) + sum(map(_ratings_in, files))
    estimators = [training.estimator() for training in config.trainings.values()]
    measured = [line for line in lines if line["status"] == "published"]
    if measured:
        last = measured[-1]
        scale = max(ratings / max(last["ratings"], 1), 1.0)
        seconds = {step: took * scale for step, took in last["seconds"].items()}
        more = max(ratings - last["ratings"], 0)
        memory, source = (
            max(last["memory_bytes"].values(), default=_MEMORY[0]),
            f"as run {last['run']}",
        )
        memory += _MEMORY[1] * more  # most of the peak is the processes', whatever the ratings
    else:
        millions = ratings / 1e6
        seconds = {step: first + more * millions for step, (first, more) in _SECONDS.items()}
        sweeps = sum(estimator.most_sweeps for estimator in estimators)
        seconds["train"] += _SECONDS["train"][1] * millions * (sweeps - 1)
        memory, source = _MEMORY[0] + _MEMORY[1] * ratings, "by rule of thumb"
    rows = counts.users + counts.items if counts else ratings // 10
    models = sum(estimator.model_bytes(rows) for estimator in estimators)
    disk = _DISK_BYTES * ratings + 2 * models
    base_version = base.version if base else None
    return NightPlan(base_version, files, known, ratings, seconds, memory, disk, source)


def _ratings_in(arrival: InboxFile) -> int:
    packed = arrival.name.endswith((".gz", ".zip", ".parquet", ".pq"))
    return arrival.bytes // (_PACKED_BYTES if packed else _TEXT_BYTES)
