"""Items for those who are likely to leave: what a ranking model puts first for them."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mfdask.downstream.customers.study import Study
from mfdask.models import Model
from mfdask.recommendation import Ranking, recommend
from mfdask.shards import Dataset

#: Items for each user.
_TOP = 2
#: Whose risk is at least that.
_AT_RISK = ("medium", "high")


def with_suggestions(study: Study, model: Model, data: Dataset) -> Study:
    """Return a study of churn whose table has items for those at risk.

    `suggested_1`, `suggested_2` and `suggested_titles`, missing for others and for those whom the
    model does not know. What they have rated by now is left out: these are for today, and no part
    of the score.

    Parameters
    ----------
    study : Study
    model : Model
        Of `data`, or of a data set with the same ids.
    data : Dataset
    """
    table = study.table.set_index("user_id")
    at_risk = table.index[table["risk"].isin(_AT_RISK)]
    known = at_risk[at_risk.isin(model.users["user_id"])]
    lists = recommend(model, known, data, Ranking(top=_TOP)) if len(known) else None
    for rank in range(1, _TOP + 1):
        own = None if lists is None else lists[lists["rank"] == rank].set_index("user_id")
        items = pd.Series(dtype="Int64") if own is None else own["item_id"].convert_dtypes()
        table[f"suggested_{rank}"] = items.reindex(table.index)
    table["suggested_titles"] = _titles(lists).reindex(table.index).astype("str")
    names = [name for name in table if str(name).startswith("suggested_")]
    order = [name for name in table if name not in names]
    place = order.index("reason") + 1
    return replace(study, table=table[[*order[:place], *names, *order[place:]]].reset_index())


def _titles(lists: pd.DataFrame | None) -> pd.Series:
    """Return the titles of each user's list in one text; ids where there are none."""
    if lists is None:
        return pd.Series(dtype="str")
    ids = lists["item_id"].astype("str")
    titles = lists["title"].where(lists["title"] != "", ids) if "title" in lists else ids
    return titles.groupby(lists["user_id"], sort=False).agg("; ".join)
