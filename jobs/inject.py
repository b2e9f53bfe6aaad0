"""Make test data for anomalies: put attacks, shared accounts or drifting items into ratings.

DATA is an ingested data set; without timestamps an attack alone can be put into it. What comes out
is a folder that `mfdask ingest` reads, with the truth in Parquet files beside the ratings.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import pandas as pd

from mfdask.downstream.events import all_events, require_timestamps
from mfdask.downstream.inject import (
    AttackPlan,
    DriftPlan,
    InjectionPlan,
    MixPlan,
    SharingPlan,
    inject,
    write_injected,
)
from mfdask.downstream.inject.write import MARK
from mfdask.errors import InputError
from mfdask.files import check_place
from mfdask.parameters import Parameter, known_parameters, parameters_of
from mfdask.shards import Dataset

from .common import Outcome, Running, job, running
from .options import DATA, OUT_FOLDER, Decorated, option_of
from .terminal import facts_table

Plan = TypeVar("Plan", AttackPlan, DriftPlan, MixPlan, SharingPlan)


def _options(owner: type, *omit: str) -> Callable[[Decorated], Decorated]:
    """Return the decorator that adds the options of a plan; the first of them asks for it."""
    own = [each for name, each in parameters_of(owner).items() if name not in omit]
    first, *others = (replace(each, name=_key(each)) for each in own)

    def decorate(run: Decorated) -> Decorated:
        for each in reversed(others):
            run = option_of(each)(run)
        return option_of(replace(first, choices=()), shown="", unset=True)(run)  # its plan checks

    return decorate


def _key(own: Parameter) -> str:
    """Return the option's own name: two plans have parameters of one name."""
    return own.option.replace("-", "_")


@click.command("inject", help=__doc__)
@click.argument("data", type=DATA)
@click.option(
    "--out", type=OUT_FOLDER, help="Folder for the ratings.  [default: output/injected/DATA]"
)
@_options(AttackPlan)
@click.option(
    "--target-ratings",
    default=AttackPlan.target_ratings,
    show_default=True,
    nargs=2,
    type=int,
    metavar="FROM TO",
    help="Fewest and most genuine ratings of an attacked item.",
)
@_options(SharingPlan, "min_days", "min_share")
@_options(DriftPlan, "direction", "min_ratings")
@_options(MixPlan, "direction", "min_ratings")
@click.option(
    "--min-ratings",
    type=int,
    help="Fewest ratings of an item that --drift or --mix changes.  "
    f"[default: {DriftPlan.min_ratings} for --drift, {MixPlan.min_ratings} for --mix]",
)
@click.option("--seed", default=42, show_default=True, help="Seed of all that is drawn at random.")
@job
def main(data: str, out: Path | None, seed: int, **options: Any) -> Outcome:
    """Inject what is asked for, write ratings and truth."""
    plan = InjectionPlan(
        sharing=_plan(SharingPlan, options),
        mix=_plan(MixPlan, options),
        drift=_plan(DriftPlan, options),
        attack=_plan(AttackPlan, options),
    )
    with running() as run:
        opened = Dataset.open(data)
        opened.require_ratings("inject")
        if plan.needs_times:
            require_timestamps(opened, "inject")
        out = out or Path("output/injected") / opened.name
        check_place(out, MARK, "injected ratings")
        injected = inject(all_events(opened), opened.n_items, plan, seed)
        truth = write_injected(opened, injected, plan, seed, out)
    values: dict[str, Any] = {
        "out": str(out),
        "ratings": len(injected.ratings),
        **{name: len(lines) for name, lines in truth.items()},
        "command": _ingest_command(opened, out),
        **run.cost,
    }
    timed = opened.manifest.has_timestamps
    return Outcome(values, [facts_table("injected", _facts(values, truth, timed, run))])


def _plan(owner: type[Plan], options: Mapping[str, Any]) -> Plan | None:
    """Return the plan that its options ask for, if they do; errors name the options."""
    own = parameters_of(owner).values()
    if options[_key(next(iter(own)))] is None:
        return None
    keys = {"target_ratings": "target_ratings"} | {each.name: _key(each) for each in own}
    given = {name: options[key] for name, key in keys.items() if options.get(key) is not None}
    try:
        return owner(**known_parameters(owner, given))
    except InputError as error:
        names = {name: f"--{key.replace('_', '-')}" for name, key in keys.items()}
        raise InputError(error.with_names(names)) from None


def _ingest_command(data: Dataset, out: Path) -> str:
    """Return the command that reads what was written, ids of the same kind as before."""
    kinds = {data.manifest.user_kind, data.manifest.item_kind}
    return shlex.join(
        ["mfdask", "ingest", str(out), *(["--ids", "string"] if kinds == {"string"} else [])]
    )


def _facts(
    values: dict[str, Any], truth: dict[str, pd.DataFrame], timed: bool, run: Running
) -> dict[str, str]:
    facts = {"ratings": f"{values['ratings']:,}"}
    facts |= {name.replace("_", " "): f"{len(lines):,}" for name, lines in truth.items()}
    if timed and "attacked_items" in truth:
        first = truth["attacked_items"].iloc[0]
        begin, end = pd.to_datetime(first[["window_start", "window_end"]].to_numpy(), unit="s")
        facts["attacked from"] = f"{begin:%Y-%m-%d %H:%M}"
        facts["to"] = f"{end:%Y-%m-%d %H:%M} UTC"
    facts |= run.last_rows("truth", f"{values['out']}/truth")
    return {**facts, "read it with": values["command"]}
