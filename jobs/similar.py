"""Show the items that are most like one item."""

from __future__ import annotations

from pathlib import Path

import click

from mfdask.models import load_model
from mfdask.recommendation import Titles, similar
from mfdask.recommendation.neighbours import least_alike

from .common import Outcome, job
from .options import MODEL
from .terminal import table


@click.command("similar", help=__doc__)
@click.argument("model", type=MODEL)
@click.argument("item")
@click.option("--top", default=10, show_default=True, help="How many items to show.")
@click.option(
    "--min-ratings",
    type=int,
    help="Leave out items with fewer training ratings.  [default: 100, or fewer where less than a "
    "hundred items have as many]",
)
@job
def main(model: Path, item: str, top: int, min_ratings: int | None) -> Outcome:
    """Print a table; ITEM is an id or a title (``title:1917`` if it looks like an id)."""
    learned = load_model(model)
    titles = Titles(learned.items)
    item_id = titles.find(item)
    least = least_alike(learned) if min_ratings is None else min_ratings
    found = similar(learned, item_id, top=top, min_ratings=least)
    lines = found[["item_id", "title", "n_train", "cosine"]].to_dict("records")
    title = f"like {titles.name_of(item_id)} ({least:,} ratings or more)"
    view = table(title, "item", "cosine", "ratings", "id")
    for line in lines:
        cells = (f"{line['cosine']:.3f}", f"{line['n_train']:,}", str(line["item_id"]))
        view.add_row(line["title"] or str(line["item_id"]), *cells)
    return Outcome({"item_id": item_id, "min_ratings": least, "similar": lines}, [view])
