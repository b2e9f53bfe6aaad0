"""Place items and genres in a plane, by the factors of a model."""

from __future__ import annotations

from pathlib import Path

import click

from mfdask.embedding import METHODS, embed
from mfdask.models import load_model
from mfdask.results import write_table

from .common import Outcome, job
from .options import MODEL, OUT_PARQUET
from .terminal import table


@click.command("embed", help=__doc__)
@click.argument("model", type=MODEL)
@click.option(
    "--method",
    default="pca",
    show_default=True,
    type=click.Choice(METHODS),
    help="direct: the two factors of a model with two; pca: the plane of most variance; "
    "tsne: neighbours kept together.",
)
@click.option(
    "--out",
    type=OUT_PARQUET,
    help="Parquet file for the table.  [default: output/embeddings/MODEL-METHOD.parquet]",
)
@click.option(
    "--min-ratings",
    default=1,
    show_default=True,
    help="Leave out items with fewer training ratings.",
)
@click.option("--seed", default=42, show_default=True, help="Seed of t-SNE.")
@job
def main(model: Path, method: str, out: Path | None, min_ratings: int, seed: int) -> Outcome:
    """Write the table of coordinates."""
    placed = embed(load_model(model), method, min_ratings=min_ratings, seed=seed)
    out = out or Path("output/embeddings") / f"{model.name}-{method}.parquet"
    write_table(placed, out)
    genres = placed[placed["kind"] == "genre"]
    n_items = len(placed) - len(genres)
    values = {"items": n_items, "genres": len(genres), "method": method, "out": str(out)}
    view = table(f"genres by {method}; {n_items:,} items in {out}", "genre", "ratings", "x", "y")
    for line in genres.to_dict("records"):
        view.add_row(line["title"], f"{line['n_train']:,}", f"{line['x']:.3f}", f"{line['y']:.3f}")
    return Outcome(values, [view])
