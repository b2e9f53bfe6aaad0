"""Tables of recommended items, with what each rests on."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.table import Table

from mfdask.recommendation import Reasons
from mfdask.results import records

from .terminal import table

#: Reasons shown for each recommendation.
_REASONS = 3


def list_table(title: str, lines: pd.DataFrame) -> Table:
    """Build a readable list of items.

    Parameters
    ----------
    title : str
    lines : DataFrame
        `rank`, `title`, `item_id`, `n_train`, `score`, and `stars` and `why` if there are any.
    """
    stars, why = ["stars"] * ("stars" in lines), ["because of"] * ("why" in lines)
    view = table(title, "item", "score", *stars, "ratings", "id", *why)
    counts = (lines["score"] % 1 == 0).all()  # as of popularity
    for line in lines.to_dict("records"):
        cells = [f"{line['score']:,.0f}" if counts else f"{line['score']:.4f}"]
        cells += [f"{line['stars']:.2f}"] if stars else []
        cells += [f"{line['n_train']:,}", str(line["item_id"])]
        cells += [line["why"]] if why else []
        view.add_row(f"{line['rank']}. {line['title'] or line['item_id']}", *cells)
    if why:
        view.columns[-1].justify = "left"
    return view


def because(reasons: Reasons, item_ids: Any, items: pd.DataFrame) -> list[str]:
    """Name the parts that say most of the score of each item, the largest first."""
    titles = items.set_index("item_id")["title"]
    titles = titles.where(titles != "", titles.index.astype(str))
    rated = reasons.rated.assign(name=titles[reasons.rated["rated_id"]].array)
    parts = pd.concat([rated, reasons.genres.rename(columns={"genre": "name"})])
    by_item = dict(list(parts.groupby("item_id")))
    return [_most_telling(by_item[item]) if item in by_item else "" for item in item_ids]


def _most_telling(parts: pd.DataFrame) -> str:
    parts = parts[parts["part"] != 0]
    if not len(parts):
        return "nothing that they have rated"
    most = parts.sort_values("part", key=lambda part: -part.abs(), kind="stable").head(_REASONS)
    return "\n".join(
        f"{part:+.4f} {name}" for part, name in zip(most["part"], most["name"], strict=True)
    )


def reason_values(reasons: Reasons) -> dict[str, Any]:
    """Return reasons for `--json`."""
    parts = {f"{name}_parts": getattr(reasons, name) for name in ("items", "rated", "genres")}
    return {
        "basis": reasons.basis,
        "mean": reasons.mean,
        "user_bias": reasons.user_bias,
        **{name: records(table) for name, table in parts.items()},
    }
