"""Benchmark of the whole work: from one CSV to lists, tables and a report, step by step.

Each step is a job in a process of its own, as one would type it. In turn with them runs a script
with other libraries (`mfdask.bench.script`). ``python -m mfdask.bench.whole FILE`` draws what
``mfdask bench whole --json`` printed into FILE as the picture of the documentation.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mfdask.bench.ingest import source_file
from mfdask.bench.machine import blas_environ, measure_module
from mfdask.bench.peers import INSTALL
from mfdask.cores import n_cores
from mfdask.progress import Progress, silent

#: Steps in their order, each with what a reader calls it.
STEPS = {
    "ingest": "read the CSV",
    "train": "learn stars",
    "rank": "learn preferences",
    "lists": "lists for everybody",
    "anomalies": "suspicious ratings",
    "churn": "who may leave",
    "ltv": "what is to come",
    "report": "a page to look at",
}
#: Libraries that the script needs; pandas, SciPy, scikit-learn and Bokeh are there anyway.
SCRIPT_PEERS = ("cmfrec", "implicit", "lifetimes")

Taken = dict[str, dict[str, float]]


@dataclass(frozen=True)
class WholePlan:
    """Options of `measure_whole`.

    Attributes
    ----------
    n_factors, sweeps : int
        Of all models, here and in the script.
    script : bool
        Whether the script is run, where its libraries are installed.
    """

    n_factors: int = 20
    sweeps: int = 10
    script: bool = True


def measure_whole(
    source: Path | int, plan: WholePlan | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Take the time and the memory of each step, here and in a script.

    Parameters
    ----------
    source : Path or int
        A CSV with the columns `user_id, item_id, rating, timestamp`; or how many synthetic ratings
        to write.
    plan : WholePlan, optional
    progress : Progress, optional

    Returns
    -------
    dict
        ``file_bytes``, ``ratings``; ``here`` and ``script``, for each of `STEPS` its ``seconds``
        and ``peak_bytes`` (resident memory of all processes at most). ``script`` is a word on what
        is missing where its libraries are.

    Raises
    ------
    InputError
        If the file is missing, or there cannot be so many ratings.
    FailedRunError
        If a step fails.
    """
    plan = plan or WholePlan()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = source_file(source, folder, progress)
        here, ratings = _take_jobs(file, folder, plan, progress)
        found = {"file_bytes": file.stat().st_size, "ratings": ratings, "here": here}
        return found | {"script": _take_script(file, folder, plan, progress)}


def job_arguments(file: Path, folder: Path, plan: WholePlan) -> dict[str, list[object]]:
    """Return what is given to ``mfdask`` for each of `STEPS`; results go into a folder."""
    data, stars, ranks = folder / "data", folder / "stars", folder / "ranks"
    size = ["--factors", plan.n_factors, "--sweeps", plan.sweeps]
    kept = ["--features", folder / "features"]
    tables = {name: folder / name for name in ("anomalies", "churn.parquet", "ltv.parquet")}
    anomalies, churn, ltv = tables.values()
    drawn = ["--anomalies", anomalies, "--churn", churn, "--ltv", ltv]
    return {
        "ingest": ["ingest", file, "--out", data],
        "train": ["train", data, "--out", stars, *size],
        "rank": ["train", data, "--model", "ials", "--out", ranks, *size],
        "lists": ["recommend", ranks, "--data", data, "--out", folder / "lists"],
        "anomalies": ["anomalies", stars, data, "--out", anomalies],
        "churn": ["churn", stars, data, *kept, "--out", churn],
        "ltv": ["ltv", stars, data, *kept, "--out", ltv],
        "report": [
            *("report", "--data", data, "--model", stars, "--model", ranks),
            *(*drawn, "--out", folder / "report.html"),
        ],
    }


def _take_jobs(file: Path, folder: Path, plan: WholePlan, progress: Progress) -> tuple[Taken, int]:
    """Run all jobs, and return what each took, and how many ratings the file has."""
    taken: Taken = {}
    ratings = 0
    for place, (step, arguments) in enumerate(job_arguments(file, folder, plan).items()):
        progress("jobs", place, len(STEPS), STEPS[step])
        run = measure_module("mfdask", [*arguments, "--json"])
        taken[step] = {"seconds": run.seconds, "peak_bytes": run.peak_bytes}
        if step == "ingest":
            ratings = run.json()["ratings"]
    progress("jobs", len(STEPS), len(STEPS))
    return taken, ratings


def _take_script(
    file: Path, folder: Path, plan: WholePlan, progress: Progress
) -> Taken | dict[str, str]:
    """Run the script, and return what each of its steps took, or why it cannot be run."""
    if not plan.script:
        return {"missing": "left out"}
    for name in SCRIPT_PEERS:
        if find_spec(name) is None:
            return {"missing": f"{name} is not installed: {INSTALL}"}
    out = folder / "script"
    out.mkdir()
    progress("script", 0, 1)
    arguments = [file, out, plan.n_factors, plan.sweeps]
    # implicit and cmfrec have threads of their own, which those of a matrix library slow down.
    environ = blas_environ(threads=1) | {"OMP_NUM_THREADS": str(n_cores())}
    taken: Taken = measure_module("mfdask.bench.script", arguments, environ).json()
    progress("script", 1, 1)
    return taken


#: Of the picture, pixels: width of names and of the longest bar, and height of a step.
_NAMES, _BARS, _STEP, _TOP = 160, 360, 44, 52
_STYLE = """<style>
  text { font: 14px system-ui, sans-serif; fill: #24292f; }
  .small { font-size: 12px; fill: #57606a; }
  .here { fill: #0072b2; } .script { fill: #8c959f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9da7b3; }
    .here { fill: #56b4e9; } .script { fill: #6e7681; }
  }
</style>"""


def draw_whole(found: Mapping[str, Any]) -> str:
    """Draw what `measure_whole` found as SVG: two bars a step, with seconds and memory.

    Parameters
    ----------
    found : mapping
        As `measure_whole` returns it.

    Returns
    -------
    str
    """
    sides = {name: found[name] for name in ("here", "script") if "missing" not in found[name]}
    longest = max(one["seconds"] for side in sides.values() for one in side.values())
    width, height = _NAMES + _BARS + 140, _TOP + _STEP * len(STEPS) + 30
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">', _STYLE, *_legend(found)]
    for place, (step, words) in enumerate(STEPS.items()):
        top = _TOP + _STEP * place
        lines.append(f'<text x="{_NAMES - 10}" y="{top + 21}" text-anchor="end">{words}</text>')
        for row, (name, side) in enumerate(sides.items()):
            lines += _bar(side[step], longest, top + 16 * row, name)
    return "\n".join([*lines, "</svg>", ""])


def total(side: Taken) -> dict[str, float]:
    """Return ``seconds`` of all steps, and the most ``peak_bytes`` of any."""
    steps = side.values()
    return {
        "seconds": sum(one["seconds"] for one in steps),
        "peak_bytes": max(one["peak_bytes"] for one in steps),
    }


def _legend(found: Mapping[str, Any]) -> list[str]:
    """Return the title that is read aloud, and a line that says which bar is which."""
    words = {"here": "mfdask", "script": "a script with pandas, cmfrec, implicit, lifetimes"}
    lines, x = [f"<title>Seconds of each step of {found['ratings']:,} ratings</title>"], 10
    for name, what in words.items():
        if "missing" not in found[name]:
            whole = total(found[name])
            said = f"{what}: {whole['seconds']:,.0f} s, {whole['peak_bytes'] / 1e9:.1f} GB"
            lines.append(f'<rect class="{name}" x="{x}" y="14" width="12" height="12"/>')
            lines.append(f'<text x="{x + 18}" y="25">{said}</text>')
            x += 200
    return lines


def _bar(one: Mapping[str, float], longest: float, top: int, name: str) -> list[str]:
    long = max(one["seconds"] / longest * _BARS, 1)
    said = f"{one['seconds']:,.1f} s, {one['peak_bytes'] / 1e9:.1f} GB"
    return [
        f'<rect class="{name}" x="{_NAMES}" y="{top}" width="{long:.1f}" height="14"/>',
        f'<text class="small" x="{_NAMES + long + 6:.1f}" y="{top + 11}">{said}</text>',
    ]


if __name__ == "__main__":
    print(draw_whole(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
