"""Show the items on which tastes differ most, and least: the longest and shortest factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table

from mfdask.models import load_model
from mfdask.recommendation import polarity
from mfdask.recommendation.neighbours import enough_ratings

from .common import Outcome, job
from .options import MODEL
from .terminal import table


@click.command("polarity", help=__doc__)
@click.argument("model", type=MODEL)
@click.option("--top", default=10, show_default=True, help="How many items to show of either kind.")
@click.option(
    "--min-ratings",
    type=int,
    help="Leave out items with fewer training ratings.  [default: 1,000, or fewer where less than "
    "a hundred items have as many]",
)
@job
def main(model: Path, top: int, min_ratings: int | None) -> Outcome:
    """Print both tables."""
    learned = load_model(model)
    fewest = enough_ratings(learned) if min_ratings is None else min_ratings
    most, least = polarity(learned, top=top, min_ratings=fewest)
    values = {"min_ratings": fewest, "most": _lines(most), "least": _lines(least)}
    title = f"tastes differ most ({fewest:,} ratings or more)"
    return Outcome(values, [_view(title, most), _view("least", least)])


def _lines(found: pd.DataFrame) -> list[dict[str, Any]]:
    lines: Any = found[["item_id", "title", "n_train", "polarity"]].to_dict("records")
    return list(lines)


def _view(title: str, found: pd.DataFrame) -> Table:
    view = table(title, "item", "polarity", "ratings", "id")
    for line in _lines(found):
        cells = (f"{line['polarity']:.3f}", f"{line['n_train']:,}", str(line["item_id"]))
        view.add_row(line["title"] or str(line["item_id"]), *cells)
    return view
