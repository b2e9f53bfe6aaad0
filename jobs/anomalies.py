"""Look for attacks (dishonest ratings), shared accounts, and items that changed.

MODEL was learned from DATA, an ingested data set; without timestamps only attacks are looked for.
What comes out is a folder of Parquet tables, each line of which gives its reason.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table

from mfdask.cluster import ClusterConfig
from mfdask.downstream.anomalies.attacks import AttackLimits
from mfdask.downstream.anomalies.batch import PARTS, Options, write_anomalies
from mfdask.models import Ability, load_model, require_ability
from mfdask.shards import Dataset

from .common import Outcome, job, running, worth_starting
from .options import DATA, MODEL, OUT_FOLDER, cluster_options, options_of
from .terminal import facts_table, table

#: Attacked items that are shown.
_SHOWN = 10


@click.command("anomalies", help=__doc__)
@click.argument("model", type=MODEL)
@click.argument("data", type=DATA)
@click.option(
    "--out", type=OUT_FOLDER, help="Folder for the tables.  [default: output/anomalies/DATA]"
)
@click.option(
    "--only",
    "parts",
    default=",".join(PARTS),
    show_default=True,
    metavar="PARTS",
    help="What to look for, joined by commas; sharing and drift need --folds refits of the model.",
)
@click.option(
    "--clean-out",
    type=OUT_FOLDER,
    help="Also write all ratings but those of suspected attackers, for `mfdask ingest`: a folder.",
)
@job
@options_of(Options, "options")
@options_of(AttackLimits, "limits")
@cluster_options
def main(
    model: Path,
    data: str,
    out: Path | None,
    parts: str,
    options: Options,
    limits: AttackLimits,
    clean_out: Path | None,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    learned, dataset = load_model(model), Dataset.open(data)
    out = out or Path("output/anomalies") / dataset.name
    wanted = tuple(filter(None, map(str.strip, parts.split(","))))
    options = replace(options, parts=wanted, rule=limits, clean_out=clean_out)
    require_ability(learned, Ability.RATINGS, "a search for anomalies")
    with running(worth_starting(cluster, dataset.n_train)) as run:
        summary = write_anomalies(
            learned, dataset, out, options, client=run.client, progress=run.progress
        )
    facts = _facts(summary) | run.last_rows("tables", out)
    views = [facts_table(f"anomalies of {summary['data']}", facts), *_attacked(out, summary)]
    return Outcome({"out": str(out), **summary, **run.cost}, views)


def _facts(summary: dict[str, Any]) -> dict[str, str]:
    facts = {}
    if left := summary["not_looked_for"]:
        facts["not looked for, without times"] = ", ".join(left)
    if attacks := summary.get("attacks"):
        facts["suspected attacks: items"] = f"{attacks['items']:,} of {summary['items']:,}"
        facts["suspected attacks: users"] = f"{attacks['users']:,} of {summary['users']:,}"
        facts["groups of attackers"] = f"{attacks['groups']:,}"
        for way, words in (("accounts", "all ratings of theirs"), ("targets", "of those items")):
            n = attacks[f"ratings_of_{way}"]
            facts[words] = f"{n:,} ({n / summary['ratings']:.1%})"
        if "cleaned" in attacks:
            facts["ratings left out"] = f"{attacks['ratings_left_out']:,}"
            facts["cleaned ratings"] = attacks["cleaned"]
    for part, rows, name in (
        ("sharing", "users", "suspected sharing: users"),
        ("drift", "items", "drifting items"),
    ):
        if found := summary.get(part):
            facts[name] = f"{found[rows]:,} of {found[f'{rows}_judged']:,} judged"
    return facts


def _attacked(out: Path, summary: dict[str, Any]) -> list[Table]:
    """Build a table of the items that seem attacked, the surest first."""
    if not summary.get("attacks", {}).get("items"):
        return []
    lines = pd.read_parquet(out / "suspected_attacks.parquet")
    view = table(
        "attacked items; predicted stars with all ratings, and without the suspects'",
        *("item", "", "from", "ratings", "expected", "predicted", "without", "id"),
    )
    for line in lines[lines["entity"] == "item"].head(_SHOWN).to_dict("records"):
        view.add_row(
            line["title"],
            line["direction"],
            "" if pd.isna(line["window_start"]) else f"{line['window_start']:%Y-%m-%d}",
            f"{line['n_extreme']:,}",
            "" if pd.isna(line["n_expected"]) else f"{line['n_expected']:.2g}",
            f"{line['prediction']:.2f}",
            f"{line['prediction_cleaned']:.2f}",
            str(line["item_id"]),
        )
    return [view]
