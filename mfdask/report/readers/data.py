"""The report for who looks after the data."""

from __future__ import annotations

import numpy as np

from mfdask.figures.figure import Section
from mfdask.report.data.concentration import head_share
from mfdask.report.data.facts import Facts
from mfdask.report.readers.summary import counted, summary_section

#: Ratings with which a user or item is still hardly known.
_FEW = 5


def data_summary(facts: Facts) -> Section:
    """Return what a data set is, how full and how even it is, and what it lacks."""
    sides = {side: np.sort(facts.counts(side)) for side in ("users", "items")}
    n, users, items = int(facts.all.item_levels.sum()), *map(len, sides.values())
    share = head_share(sides["items"], 0.2)
    verdict = (
        f"{n:,} ratings by {counted(users, 'user')} of {counted(items, 'item')}: "
        f"{n / (users * items):.2%} of all that could be. Half the users have "
        f"{np.median(sides['users']):,.0f} ratings or fewer, half the items "
        f"{np.median(sides['items']):,.0f}; the most rated fifth of the items has {share:.0%} of "
        f"the ratings. {_lacks(facts)}"
    )
    numbers = {
        "ratings": n,
        "held out": facts.data.n_test,
        "users": users,
        "items with a rating": items,
        "items without": facts.data.n_items - items,
        f"users with fewer than {_FEW} ratings": int((sides["users"] < _FEW).sum()),
        f"items with fewer than {_FEW} ratings": int((sides["items"] < _FEW).sum()),
        "mean rating": facts.data.mean,
        "rows refused when they were ingested": facts.data.manifest.counts.rejected,
    }
    return summary_section(verdict.strip(), {"value": numbers})


def _lacks(facts: Facts) -> str:
    """Return what figures, and other jobs, will miss."""
    items = facts.items
    has = {
        "times": facts.first_hour is not None,
        "titles": bool((items["title"].fillna("") != "").any()),
        "genres": bool((items["genres"].fillna("").str.strip("|") != "").any()),
        "held-out ratings": facts.data.n_test > 0,
    }
    lacking = [name for name, there in has.items() if not there]
    return f"It has no {', no '.join(lacking)}." if lacking else "It has times, titles and genres."
