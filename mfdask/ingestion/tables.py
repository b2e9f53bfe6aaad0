"""Write the tables of users and items, in row order."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mfdask.ingestion.plan import BuildPlan
from mfdask.ratings.ids import Ranked
from mfdask.ratings.source import Source
from mfdask.shards.store import SCRATCH
from mfdask.shards.writer import Files

_CATALOGUE = f"{SCRATCH}/catalogue.parquet"
_DESCRIPTION = {"title": "str", "year": "Int16", "genres": "str"}


def write_side_table(plan: BuildPlan, side: str, rows: Ranked) -> Files:
    """Write the table of a side, once the catalogue and all shards are written."""
    if side == "users":
        table = pd.DataFrame({"user_id": rows.ids})
    else:
        table = _described(rows.ids, pd.read_parquet(plan.root / _CATALOGUE))
    return plan.writer.write_table(side, table.assign(n_read=rows.counts))


def write_catalogue(root: Path, source: Source) -> None:
    """Write what is known of items for the tasks to read, one line an item."""
    catalogue = source.catalogue
    if catalogue is None:
        ids = pd.Series([], dtype="int64" if source.item_kind == "int" else "str")
        catalogue = pd.DataFrame({"item_id": ids, "title": "", "year": pd.NA, "genres": ""})
    known = catalogue.drop_duplicates("item_id").astype(_DESCRIPTION)
    # Blanks around a bar, and genres of nothing else, are slips of a pen.
    known["genres"] = known["genres"].str.replace(r"\s*\|[\s|]*", "|", regex=True).str.strip(" |")
    known.to_parquet(root / _CATALOGUE, index=False)


def count_catalogue(root: Path) -> pd.Series:
    """Count the items of the catalogue as read zero times each, as `ids.count_ids` would."""
    return pd.Series(0, index=pd.read_parquet(root / _CATALOGUE, columns=["item_id"])["item_id"])


def _described(ids: pd.Index, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return `item_id, title, year, genres` for each id; empty or missing where unknown."""
    found = catalogue.set_index("item_id").reindex(ids)
    texts = {name: found[name].astype("str").fillna("").array for name in ("title", "genres")}
    described = {"item_id": ids, "title": texts["title"], "year": found["year"].array}
    return pd.DataFrame(described | {"genres": texts["genres"]}, index=range(len(ids)))
