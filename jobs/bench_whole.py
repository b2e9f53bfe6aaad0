"""Measure the whole work, from a CSV to lists, tables and a report."""

from __future__ import annotations

from pathlib import Path

import click

from mfdask.bench.whole import STEPS, WholePlan, measure_whole, total
from mfdask.ratings.synthetic import NAMED

from .bench_common import FACTORS, measured
from .common import Outcome, job
from .options import PATH
from .terminal import progress_bars, table


@click.command("whole")
@click.argument("file", required=False, type=PATH)
@click.option(
    "--ratings",
    default=NAMED["32m"].ratings,
    show_default=True,
    type=click.IntRange(1),
    help="Synthetic ratings to make, if no FILE is given.",
)
@FACTORS
@click.option(
    "--sweeps", default=10, show_default=True, type=click.IntRange(2), help="Sweeps of each fit."
)
@click.option(
    "--peers/--no-peers", default=True, show_default=True, help="Run the script of others, too."
)
@job
def whole(file: Path | None, ratings: int, factors: int, sweeps: int, peers: bool) -> Outcome:
    """Time each step from a CSV to lists, tables and a report, beside a script of others.

    The script does by hand what these steps are for, with pandas, cmfrec, implicit, scikit-learn
    and lifetimes, in one process.
    """
    with progress_bars() as progress:
        found = measure_whole(file or ratings, WholePlan(factors, sweeps, peers), progress)
    here, script = found["here"], found["script"]
    head = f"{found['ratings']:,} ratings, {found['file_bytes'] / 2**20:,.0f} MiB"
    view = table(head, "step", "seconds", "GB at most", "script, seconds", "GB at most")
    for step, words in STEPS.items():
        view.add_row(words, *_figures(here[step]), *_figures(script.get(step)))
    sides = [side for side in (here, script) if "missing" not in side]
    view.add_row("all", *(cell for side in sides for cell in _cells(*total(side))))
    view.caption = script.get("missing")
    return measured(found, view)


def _figures(one: dict[str, float] | None) -> tuple[str, ...]:
    return () if one is None else _cells(one["seconds"], one["peak_bytes"])


def _cells(seconds: float, peak_bytes: float) -> tuple[str, str]:
    return f"{seconds:,.1f}", f"{peak_bytes / 1e9:.2f}"
