"""Make test data for anomalies: put attacks, shared accounts or drifting items into ratings.

DATA is an ingested data set with timestamps. What comes out is a folder that `mfdask ingest` reads,
with the truth in Parquet files beside the ratings.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

import click
import pandas as pd

from mfdask.downstream.events import all_events, require_timestamps
from mfdask.downstream.inject import (
    KINDS,
    AttackPlan,
    DriftPlan,
    InjectionPlan,
    MixPlan,
    SharingPlan,
    inject,
    write_injected,
)
from mfdask.downstream.inject.write import MARK
from mfdask.files import check_place
from mfdask.shards import Dataset

from .common import Outcome, Running, facts_table, job, running
from .options import DATA, PATH


@click.command("inject", help=__doc__)
@click.argument("data", type=DATA)
@click.option(
    "--out",
    type=PATH,
    help="Folder for the ratings.  [default: output/injected/DATA]",
)
@click.option("--attack", metavar="KIND", help=f"Add attackers: {', '.join(KINDS)}.")
@click.option(
    "--direction",
    default=AttackPlan.direction,
    show_default=True,
    type=click.Choice(["push", "nuke"]),
    help="push: attackers give their targets the highest rating; nuke: the lowest.",
)
@click.option(
    "--size",
    default=AttackPlan.size,
    show_default=True,
    help="Attackers, as a share of the genuine users; up to 0.5.",
)
@click.option(
    "--window-days",
    default=AttackPlan.window_days,
    show_default=True,
    help="Days within which all attackers rate.",
)
@click.option("--targets", default=AttackPlan.n_targets, show_default=True, help="Attacked items.")
@click.option(
    "--target-ratings",
    default=AttackPlan.target_ratings,
    show_default=True,
    nargs=2,
    type=int,
    metavar="FROM TO",
    help="Fewest and most genuine ratings of an attacked item.",
)
@click.option(
    "--fillers",
    default=AttackPlan.fillers,
    show_default=True,
    type=click.Choice(["popular", "uniform"]),
    help="Other items that attackers rate: as popular as in an average profile, or all alike.",
)
@click.option("--sharing", type=int, metavar="N", help="Merge pairs of users into N accounts.")
@click.option(
    "--sharing-style",
    default=SharingPlan.style,
    show_default=True,
    type=click.Choice(["mixed", "handover"]),
    help="mixed: two people share the account all along; handover: the second takes over one day.",
)
@click.option(
    "--partners",
    default=SharingPlan.partners,
    show_default=True,
    type=click.Choice(["random", "alike"]),
    help="Who is merged: any two users, or two who were active at about the same time.",
)
@click.option("--drift", type=int, metavar="N", help="Move the ratings of N items up or down.")
@click.option(
    "--drift-size",
    default=DriftPlan.size,
    show_default=True,
    help="Stars by which --drift moves ratings.",
)
@click.option(
    "--drift-shape",
    default=DriftPlan.shape,
    show_default=True,
    type=click.Choice(["step", "ramp"]),
    help="Whether --drift moves ratings all at once, or little by little.",
)
@click.option(
    "--mix",
    type=int,
    metavar="N",
    help="A trap: let harsher or kinder people rate N items from some day on; no opinion changes.",
)
@click.option(
    "--min-ratings",
    type=int,
    help="Fewest ratings of an item that --drift or --mix changes.  "
    f"[default: {DriftPlan.min_ratings} for --drift, {MixPlan.min_ratings} for --mix]",
)
@click.option("--seed", default=42, show_default=True, help="Seed of all that is drawn at random.")
@job
def main(
    data: str,
    out: Path | None,
    attack: str | None,
    direction: Literal["push", "nuke"],
    size: float,
    window_days: float,
    targets: int,
    target_ratings: tuple[int, int],
    fillers: Literal["popular", "uniform"],
    sharing: int | None,
    sharing_style: Literal["mixed", "handover"],
    partners: Literal["random", "alike"],
    drift: int | None,
    drift_size: float,
    drift_shape: Literal["step", "ramp"],
    mix: int | None,
    min_ratings: int | None,
    seed: int,
) -> Outcome:
    """Inject what is asked for, write ratings and truth."""
    plan = InjectionPlan(
        sharing=None if sharing is None else SharingPlan(sharing, sharing_style, partners),
        mix=None
        if mix is None
        else MixPlan(mix, min_ratings=_or(min_ratings, MixPlan.min_ratings)),
        drift=None
        if drift is None
        else DriftPlan(
            drift, drift_size, drift_shape, min_ratings=_or(min_ratings, DriftPlan.min_ratings)
        ),
        attack=None
        if attack is None
        else AttackPlan(attack, direction, size, window_days, targets, target_ratings, fillers),
    )
    with running() as run:
        opened = Dataset.open(data)
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
    return Outcome(values, [facts_table("injected", _facts(values, truth, run))])


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _ingest_command(data: Dataset, out: Path) -> str:
    """Return the command that reads what was written, ids of the same kind as before."""
    kinds = {data.manifest.user_kind, data.manifest.item_kind}
    return shlex.join(
        ["mfdask", "ingest", str(out), *(["--ids", "string"] if kinds == {"string"} else [])]
    )


def _facts(values: dict[str, Any], truth: dict[str, pd.DataFrame], run: Running) -> dict[str, str]:
    facts = {"ratings": f"{values['ratings']:,}"}
    facts |= {name.replace("_", " "): f"{len(lines):,}" for name, lines in truth.items()}
    if "attacked_items" in truth:
        first = truth["attacked_items"].iloc[0]
        begin, end = pd.to_datetime(first[["window_start", "window_end"]].to_numpy(), unit="s")
        facts["attacked from"] = f"{begin:%Y-%m-%d %H:%M}"
        facts["to"] = f"{end:%Y-%m-%d %H:%M} UTC"
    facts |= run.last_rows("truth", f"{values['out']}/truth")
    return {**facts, "read it with": values["command"]}
