"""Measure the whole work, from a CSV to lists, tables and a report."""

from __future__ import annotations

from pathlib import Path

import click

from mfdask.bench.whole import WholePlan, measure_whole

from .bench_common import FACTORS, RATINGS, measured
from .bench_views import whole_view
from .common import Outcome, job
from .options import PATH
from .terminal import progress_bars


@click.command("whole")
@click.argument("file", required=False, type=PATH)
@RATINGS
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
    return measured(found, *whole_view(found))
