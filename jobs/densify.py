"""Write the prediction of every user and item, as one matrix: a Zarr folder, or lists of the best.

After an interruption, the same command goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mfdask.cluster import ClusterConfig
from mfdask.downstream.dense import DTYPES, densify
from mfdask.errors import InputError
from mfdask.models import Ability, Model, load_model
from mfdask.models.factor_model import require_factors
from mfdask.recommendation import Ranking, write_recommendations
from mfdask.recommendation.candidates import parse_id, read_ids
from mfdask.shards import Dataset

from .common import Outcome, job, running, worth_starting
from .options import DATA, MODEL, OUT_FOLDER, PATH, cluster_options
from .terminal import facts_table, mebibytes


@click.command("densify", help=__doc__)
@click.argument("model", type=MODEL)
@click.option(
    "--out",
    type=OUT_FOLDER,
    help="Folder for the predictions.  [default: output/predictions/MODEL]",
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    help="How a prediction is stored; uint8 has 256 steps.  [default: float32]",
)
@click.option("--user", multiple=True, metavar="ID", help="Only this user; may be repeated.")
@click.option("--users", "users_file", type=PATH, help="Only these users: a file, one id a line.")
@click.option("--item", multiple=True, metavar="ID", help="Only this item; may be repeated.")
@click.option("--items", "items_file", type=PATH, help="Only these items: a file, one id a line.")
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
    started = worth_starting(cluster, learned.data.n_train)
    if top is None:
        if data is not None:
            raise InputError("--data is of --top: the matrix holds rated items too")
        require_factors(learned, "the completed matrix", Ability.BIASES)  # before a cluster starts
        return _matrix(model, out, dtype or DTYPES[0], users, items, force, started)
    if dtype or force:
        raise InputError("--dtype and --force are of the matrix; leave them out with --top")
    ranking = Ranking(top, bias_weight=1.0, min_ratings=0, allow=items)
    return _lists(model, out, ranking, data, users, started)


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
    cluster: ClusterConfig | None,
) -> Outcome:
    with running(cluster) as run:
        made = densify(
            model,
            out,
            dtype=dtype,
            user_ids=users,
            item_ids=items,
            force=force,
            client=run.client,
            progress=run.progress,
        )
    values = {
        "out": str(out),
        "users": made.shape[0],
        "items": made.shape[1],
        "dtype": dtype,
        "bytes": made.bytes,
        "found_bytes": made.found,
        "max_error": made.max_error,
        **run.cost,
    }
    facts = {
        "users x items": f"{made.shape[0]:,} x {made.shape[1]:,}",
        "stored as": f"{dtype}, {mebibytes(made.bytes)}",
        "kept from an earlier run": mebibytes(made.found),
        "largest error": f"{made.max_error:.6f} rating units",
    }
    return Outcome(values, [facts_table("predictions", facts | run.last_rows("folder", out))])


def _lists(
    model: Path,
    out: Path,
    ranking: Ranking,
    data: str | None,
    users: tuple[Any, ...] | None,
    cluster: ClusterConfig | None,
) -> Outcome:
    rated = None if data is None else Dataset.open(data)
    with running(cluster) as run:
        written = write_recommendations(
            model, out, rated, ranking, user_ids=users, client=run.client, progress=run.progress
        )
    facts = {"lines": f"{written.lines:,}", **run.last_rows("folder", out)}
    view = facts_table(f"best {ranking.top} by predicted stars", facts)
    return Outcome({"out": str(out), "lines": written.lines, **run.cost}, [view])
