"""Look for attacks (dishonest ratings), shared accounts, and items that changed.

MODEL was learned from DATA, an ingested data set with timestamps. What comes out is a folder of
Parquet tables, each line of which gives its reason.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.markup import escape
from rich.table import Table

from jobs.common import DATA, Outcome, cluster_options, job, progress_bars, say, table
from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.downstream.anomalies.attacks import AttackLimits
from mfdask.downstream.anomalies.batch import PARTS, Options, write_anomalies
from mfdask.memory import PeakMemory
from mfdask.models import load_model
from mfdask.shards import Dataset

#: Attacked items that are shown.
_SHOWN = 10


@click.command("anomalies", help=__doc__)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=DATA)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the tables.  [default: output/anomalies/DATA]",
)
@click.option(
    "--only",
    default=",".join(PARTS),
    show_default=True,
    metavar="PARTS",
    help="What to look for, joined by commas; sharing and drift need --folds refits of the model.",
)
@click.option(
    "--folds",
    default=Options.folds,
    show_default=True,
    help="Parts of the ratings; each is judged by a model learned from the others.",
)
@click.option(
    "--false-per-1000",
    default=AttackLimits.false_per_1000,
    show_default=True,
    help="Honest items of 1,000 that may be suspected of a push; the same again for talking down.",
)
@click.option(
    "--fdr",
    default=AttackLimits.fdr,
    show_default=True,
    help="False-discovery rate: share of honest bursts among the suspected ones, in (0, 1).",
)
@click.option(
    "--clean-out",
    type=click.Path(path_type=Path),
    help="Also write all ratings but those of suspected attackers, for `mfdask ingest`: a folder.",
)
@job
@cluster_options
def main(
    model: Path,
    data: str,
    out: Path | None,
    only: str,
    folds: int,
    false_per_1000: float,
    fdr: float,
    clean_out: Path | None,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    learned, dataset = load_model(model), Dataset.open(data)
    out = out or Path("output/anomalies") / dataset.name
    options = Options(
        tuple(filter(None, (part.strip() for part in only.split(",")))),
        folds,
        AttackLimits(fdr=fdr, false_per_1000=false_per_1000),
        clean_out,
    )
    began = time.perf_counter()
    with PeakMemory() as memory, open_cluster(cluster) as client, progress_bars() as progress:
        say(f"Dask dashboard: {client.dashboard_link}")
        summary = write_anomalies(learned, dataset, out, options, client=client, progress=progress)
    seconds = time.perf_counter() - began
    values = {
        "out": str(out), **summary, "seconds": seconds, "peak_memory_bytes": memory.bytes
    }  # fmt: skip
    return Outcome(values, [_view(values), *_attacked(out, summary)])


def _view(values: dict[str, Any]) -> Table:
    view = table(f"anomalies of {values['data']}", "", "")
    view.show_header = False
    if attacks := values.get("attacks"):
        view.add_row("suspected attacks: items", f"{attacks['items']:,} of {values['items']:,}")
        view.add_row("suspected attacks: users", f"{attacks['users']:,} of {values['users']:,}")
        if "cleaned" in attacks:
            view.add_row("ratings left out", f"{attacks['ratings_left_out']:,}")
            view.add_row("cleaned ratings", attacks["cleaned"])
    for part, rows, name in (
        ("sharing", "users", "suspected sharing: users"),
        ("drift", "items", "drifting items"),
    ):
        if found := values.get(part):
            view.add_row(name, f"{found[rows]:,} of {found[f'{rows}_judged']:,} judged")
    view.add_row("seconds", f"{values['seconds']:.1f}")
    view.add_row("peak memory", f"{values['peak_memory_bytes'] / 2**20:,.0f} MiB")
    view.add_row("tables", values["out"])
    return view


def _attacked(out: Path, summary: dict[str, Any]) -> list[Table]:
    """Build a table of the items that seem attacked, the surest first."""
    if not summary.get("attacks", {}).get("items"):
        return []
    lines = pd.read_parquet(out / "suspected_attacks.parquet")
    view = table(
        "attacked items; predicted stars with all ratings, and without the suspects'",
        "item", "", "from", "ratings", "expected", "predicted", "without", "id",
    )  # fmt: skip
    for line in lines[lines["entity"] == "item"].head(_SHOWN).to_dict("records"):
        view.add_row(
            escape(line["title"]), line["direction"], f"{line['window_start']:%Y-%m-%d}",
            f"{line['n_extreme']:,}", f"{line['n_expected']:.2g}", f"{line['prediction']:.2f}",
            f"{line['prediction_cleaned']:.2f}", str(line["item_id"]),
        )  # fmt: skip
    return [view]


if __name__ == "__main__":
    main()
