"""Tell whether anything has become slower since a file of ratios was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from mfdask.bench.guard import (
    GuardPlan,
    measure_guard,
    read_guard,
    slower,
    write_guard,
)
from mfdask.cluster import ClusterConfig
from mfdask.errors import RefusedError

from .bench_common import ROUNDS, measured
from .common import Outcome, job, running
from .options import PATH, cluster_options
from .terminal import table


@click.command("guard")
@click.option(
    "--file",
    default="docs/benchmarks.json",
    show_default=True,
    type=PATH,
    help="Ratios to compare with: JSON.",
)
@click.option("--renew", is_flag=True, help="Write the file in place of comparing with it.")
@ROUNDS
@job
@cluster_options
def guard(file: Path, renew: bool, rounds: int, cluster: ClusterConfig) -> Outcome:
    """Measure a few ratios, and end with code 3 if one is larger than a file allows.

    It makes its own data, needs no other libraries, and takes some minutes. Only ratios are
    compared, each of the quickest rounds of both: another machine may still give others.
    """
    known = {} if renew else read_guard(file)["ratios"]
    with running(cluster) as run:
        found = measure_guard(run.client, GuardPlan(rounds=rounds), run.progress)
    if renew:
        write_guard(file, found, "mfdask bench guard --renew")
    too_slow = {} if renew else slower(found, file)
    view = table("seconds over seconds", "ratio", "now", "in the file", "at most")
    for name, ratio in found.items():
        one = known.get(name)
        limits = (one["value"], one["value"] * (1 + one["tolerance"])) if one else ()
        view.add_row(name, *(f"{number:.3f}" for number in (ratio, *limits)))
    values = {"file": str(file), "renewed": renew, "ratios": found, "slower": [*too_slow]}
    outcome = measured(values | run.cost, view)
    if not too_slow:
        return outcome
    trouble = RefusedError(
        f"slower than {file} allows: {'; '.join(too_slow.values())}; measure again on a quiet "
        "machine, or write what is right now with --renew"
    )
    return replace(outcome, trouble=trouble)
