"""Write the prediction of every user and item, as one matrix: a Zarr folder, or lists of the best.

After an interruption, the same command goes on where it was.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from jobs.common import DATA, Outcome, cluster_options, job, progress_bars, say, table
from mfdask.cluster import ClusterConfig, open_cluster
from mfdask.downstream.dense import DTYPES, densify
from mfdask.errors import InputError
from mfdask.memory import PeakMemory
from mfdask.models import Model, load_model
from mfdask.recommend import Ranking, write_recommendations
from mfdask.recommend.candidates import parse_id, read_ids
from mfdask.shards import Dataset

_FILE = click.Path(path_type=Path)


@click.command("densify", help=__doc__)
@click.argument("model", type=_FILE)
@click.option(
    "--out", type=_FILE, help="Folder for the predictions.  [default: output/predictions/MODEL]"
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    help="How a prediction is stored; uint8 has 256 steps.  [default: float32]",
)
@click.option("--user", multiple=True, metavar="ID", help="Only this user; may be repeated.")
@click.option("--users", "users_file", type=_FILE, help="Only these users: a file, one id a line.")
@click.option("--item", multiple=True, metavar="ID", help="Only this item; may be repeated.")
@click.option("--items", "items_file", type=_FILE, help="Only these items: a file, one id a line.")
@click.option(
    "--top",
    type=int,
    help="Write only each user's TOP best items, as Parquet, in place of the matrix.",
)
@click.option(
    "--data", type=DATA, help="With --top: leave out what users have rated in this data set."
)
@click.option(
    "--force",
    is_flag=True,
    help="Begin even if the disk looks too small, and replace other predictions in --out.",
)
@job
@cluster_options
def main(
    model: Path,
    out: Path | None,
    dtype: str | None,
    user: tuple[str, ...],
    users_file: Path | None,
    item: tuple[str, ...],
    items_file: Path | None,
    top: int | None,
    data: str | None,
    force: bool,
    cluster: ClusterConfig,
) -> Outcome:
    """See the module."""
    learned = load_model(model)
    users = _ids(learned, "user", user, users_file)
    items = _ids(learned, "item", item, items_file)
    out = out or Path("output/predictions") / model.name
    if top is None:
        if data is not None:
            raise InputError("--data is of --top: the matrix holds rated items too")
        return _matrix(model, out, dtype or DTYPES[0], users, items, force, cluster)
    if dtype or force:
        raise InputError("--dtype and --force are of the matrix; leave them out with --top")
    ranking = Ranking(top, bias_weight=1.0, min_ratings=0, allow=items)
    return _lists(model, out, ranking, data, users, cluster)


def _ids(
    model: Model, name: str, given: tuple[str, ...], file: Path | None
) -> tuple[Any, ...] | None:
    """Return the ids given one by one and in a file, None where neither is."""
    if not given and file is None:
        return None
    known = (model.users if name == "user" else model.items)[f"{name}_id"]
    listed = () if file is None else read_ids(file, known)
    return (*listed, *(parse_id(text, known, f"--{name}") for text in given))


def _matrix(
    model: Path,
    out: Path,
    dtype: str,
    users: tuple[Any, ...] | None,
    items: tuple[Any, ...] | None,
    force: bool,
    cluster: ClusterConfig,
) -> Outcome:
    began = time.perf_counter()
    with PeakMemory() as memory, open_cluster(cluster) as client, progress_bars() as progress:
        say(f"Dask dashboard: {client.dashboard_link}")
        made = densify(
            model, out, dtype=dtype, user_ids=users, item_ids=items, force=force,
            client=client, progress=progress,
        )  # fmt: skip
    values = {
        "out": str(out),
        "users": made.shape[0],
        "items": made.shape[1],
        "dtype": dtype,
        "bytes": made.bytes,
        "found_bytes": made.found,
        "max_error": made.max_error,
        "seconds": time.perf_counter() - began,
        "peak_memory_bytes": memory.bytes,
    }
    lines = {
        "users x items": f"{made.shape[0]:,} x {made.shape[1]:,}",
        "stored as": f"{dtype}, {made.bytes / 2**20:,.0f} MiB",
        "kept from an earlier run": f"{made.found / 2**20:,.0f} MiB",
        "largest error": f"{made.max_error:.6f} rating units",
    }
    return _outcome("predictions", values, lines)


def _lists(
    model: Path,
    out: Path,
    ranking: Ranking,
    data: str | None,
    users: tuple[Any, ...] | None,
    cluster: ClusterConfig,
) -> Outcome:
    began = time.perf_counter()
    rated = None if data is None else Dataset.open(data)
    with PeakMemory() as memory, open_cluster(cluster) as client, progress_bars() as progress:
        say(f"Dask dashboard: {client.dashboard_link}")
        lines = write_recommendations(
            model, out, rated, ranking, user_ids=users, client=client, progress=progress
        )
    values = {
        "out": str(out),
        "lines": lines,
        "seconds": time.perf_counter() - began,
        "peak_memory_bytes": memory.bytes,
    }
    return _outcome(f"best {ranking.top} by predicted stars", values, {"lines": f"{lines:,}"})


def _outcome(title: str, values: dict[str, Any], lines: dict[str, str]) -> Outcome:
    """Show what both forms share below what is theirs alone."""
    view = table(title, "", "")
    view.show_header = False
    lines["seconds"] = f"{values['seconds']:.1f}"
    lines["peak memory"] = f"{values['peak_memory_bytes'] / 2**20:,.0f} MiB"
    lines["folder"] = values["out"]
    for name, value in lines.items():
        view.add_row(name, value)
    return Outcome(values, [view])


if __name__ == "__main__":
    main()
