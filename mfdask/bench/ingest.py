"""Benchmark of ingest against a plain pandas process on the same file: seconds and memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.csv

from mfdask.bench.machine import Run, measure_module
from mfdask.bench.peers import INSTALL
from mfdask.bench.rounds import take_in_turn
from mfdask.errors import InputError
from mfdask.progress import Progress, silent
from mfdask.ratings.synthetic import NAMED, Spec, open_synthetic

#: The data set of the catalogue whose shape a synthetic file of any size has.
_SHAPE = NAMED["32m"]
_FEWEST_ITEMS = 400
_COLUMNS = ["user_id", "item_id", "rating", "timestamp"]


def spec_of(ratings: int) -> Spec:
    """Return users and items for so many ratings: MovieLens 32M's shape, larger or smaller."""
    share = ratings / _SHAPE.ratings
    users = max(round(share * _SHAPE.users), 10)
    return Spec(users, max(round(share * _SHAPE.items), _FEWEST_ITEMS), ratings)


def write_csv(file: Path, ratings: int, seed: int = 0, progress: Progress = silent) -> None:
    """Write a CSV of synthetic ratings, by user, with header and timestamps.

    Raises
    ------
    InputError
        If there cannot be so many.
    """
    spec = spec_of(ratings)
    text = f"synthetic:users={spec.users},items={spec.items},ratings={spec.ratings}"
    parts = open_synthetic(text, seed).parts
    writer = None
    for done, part in enumerate(parts):
        progress("write", done, len(parts))
        table = pa.Table.from_pandas(part.read().ratings[_COLUMNS], preserve_index=False)
        writer = writer or pyarrow.csv.CSVWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    progress("write", len(parts), len(parts))


def measure_ingest(
    source: Path | int, rounds: int, arguments: Sequence[object] = (), progress: Progress = silent
) -> dict[str, Any]:
    """Ingest a file as a user would, and in turn read it the plain way (`mfdask.bench.baseline`).

    Parameters
    ----------
    source : Path or int
        A CSV with the columns `user_id, item_id, rating`; or how many synthetic ratings to write.
    rounds : int
    arguments : sequence
        Further arguments of the ingest job, such as those of its cluster.
    progress : Progress, optional

    Returns
    -------
    dict
        ``file_bytes``; ``ingest`` and ``baseline``, each ``command``, ``seconds`` and
        ``peak_memory_bytes`` (the median and the maximum over the rounds) and the counts it
        printed; and ``ingest_over_baseline``, the median of the rounds' ratios of seconds. Without
        SciPy ``baseline`` is a word on that, and there is no ratio.

    Raises
    ------
    InputError
        If the file is missing, or there cannot be so many ratings.
    FailedRunError
        If one of the processes fails.
    """
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file, out = source_file(source, Path(folder), progress), Path(folder) / "data"
        options = ["ingest", file, "--out", out, *arguments, "--json"]
        timed = {"ingest": _timing(runs, "ingest", "mfdask", options, out)}
        if find_spec("scipy") is not None:
            timed["baseline"] = _timing(runs, "baseline", "mfdask.bench.baseline", [file])
        taken = take_in_turn(timed, rounds, progress)
        found: dict[str, Any] = {"file_bytes": file.stat().st_size, "rounds": taken.seconds}
    found |= {name: _summary(each) for name, each in runs.items()}
    if "baseline" in timed:
        found["ingest_over_baseline"] = taken.ratio("ingest", "baseline")
    else:
        found["baseline"] = {"missing": f"SciPy is not installed: {INSTALL}"}
    return found


def source_file(source: Path | int, folder: Path, progress: Progress) -> Path:
    """Return the file to read; a synthetic one is written into the folder.

    Raises
    ------
    InputError
        If the file is missing, or there cannot be so many ratings.
    """
    if isinstance(source, int):
        write_csv(folder / "ratings.csv", source, progress=progress)
        return folder / "ratings.csv"
    if not source.is_file():
        raise InputError(f"{source}: there is no such file; give a CSV, or --ratings")
    return source.absolute()


def _timing(
    runs: dict[str, list[Run]],
    name: str,
    module: str,
    arguments: Sequence[object],
    out: Path | None = None,
) -> Callable[[], float]:
    """Return what runs a module, keeps the run under its name, and returns its seconds.

    `out` is the folder that it makes; an earlier round's is removed first, at no one's cost.
    """
    runs[name] = []

    def measure() -> float:
        if out is not None:
            shutil.rmtree(out, ignore_errors=True)
        runs[name].append(measure_module(module, arguments))
        return runs[name][-1].seconds

    return measure


def _summary(runs: Sequence[Run]) -> dict[str, Any]:
    said = runs[-1].json()
    return {
        "command": runs[-1].command,
        "seconds": median(run.seconds for run in runs),
        "peak_memory_bytes": max(run.peak_bytes for run in runs),
        **{name: said[name] for name in ("ratings", "users", "items")},
    }
