"""Groups of suspected users who rate the same items in the same direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom

from mfdask.downstream.anomalies.evidence import Surprise
from mfdask.downstream.events import Events
from mfdask.kernels.types import Float64s, Int32s, Int64s

#: Members that a joint target has at least, and its chance, over all items and both directions.
LEAST, CHANCE = 3, 0.01
_COLUMNS = {
    "group": "int64", "n_members": "int64", "members": "object", "n_targets": "int64",
    "targets": "object", "direction": "str", "stars_of_members": "float64",
    "stars_of_others": "float64", "moved": "float64",
}  # fmt: skip


def groups_of(events: Events, suspects: Int32s, n_items: int) -> pd.DataFrame:
    """Find dense groups among suspects: users joined by targets that no chance explains.

    A joint target is an item that `LEAST` or more suspects have rated on the same side of their own
    mean, where as many have a chance (binomial: each suspect rates it as its share of all ratings
    on that side and the suspect's number of ratings make likely) of at most `CHANCE` over all
    items. No times are needed. Suspects with a joint target in common are of one group.

    Parameters
    ----------
    events : Events
    suspects : int32 (suspects,)
        User rows, ascending.
    n_items : int

    Returns
    -------
    DataFrame
        A line for each group and direction, the largest group first: `group`, `n_members` and
        `members` (list of user rows), `n_targets` and `targets` (item rows), `direction`,
        `stars_of_members` and `stars_of_others` (mean ratings of the targets), `moved`: mean stars
        by which the members move the targets' means.
    """
    if not len(suspects):
        return pd.DataFrame(columns=list(_COLUMNS)).astype(_COLUMNS)
    above = Surprise(events, n_items).above
    number = np.full(len(events.indptr) - 1, -1)
    number[suspects - events.start] = np.arange(len(suspects))
    users = number[events.users - events.start]
    links = [_joint(events, users, sign * above > 0, len(suspects), n_items) for sign in (1, -1)]
    both = scipy.sparse.hstack(links, format="csr")
    _, label = connected_components(both @ both.T, directed=False)
    lines = []
    for direction, link in zip(("push", "nuke"), links, strict=True):
        rated = link.tocoo()
        for group in np.unique(label[rated.row]):
            own = label[rated.row] == group
            found = np.unique(rated.row[own]), np.unique(rated.col[own]).astype(np.int32)
            lines.append({"group": group, "direction": direction} | _line(events, users, *found))
            lines[-1]["members"] = suspects[found[0]]
    table = pd.DataFrame(lines, columns=list(_COLUMNS)).astype(_COLUMNS)
    table = table.sort_values(["n_members", "group"], ascending=[False, True], ignore_index=True)
    return table.assign(group=pd.factorize(table["group"])[0] + 1)


def _joint(
    events: Events, users: Int64s, side: np.ndarray, n: int, n_items: int
) -> scipy.sparse.csr_array:
    """Return which suspects have rated which joint targets, float64 (suspects, items)."""
    own = side & (users >= 0)
    count = np.bincount(events.items[own], minlength=n_items)
    others = side & (users < 0)
    share = (np.bincount(events.items[others], minlength=n_items) + 0.5) / max(others.sum(), 1)
    chance = 1 - np.exp(-share * own.sum() / max(n, 1))  # that one suspect rates it
    sure = binom.sf(count - 1, n, chance) * 2 * n_items <= CHANCE
    joint = own & ((count >= LEAST) & sure)[events.items]
    pairs = users[joint], events.items[joint]
    return scipy.sparse.csr_array((np.ones(joint.sum()), pairs), shape=(n, n_items))


def _line(events: Events, users: Int64s, members: Int64s, targets: Int32s) -> dict[str, object]:
    """Return what a group does to its targets."""
    places = np.flatnonzero(np.isin(events.items, targets))
    item = np.searchsorted(targets, events.items[places])
    inside = np.isin(users[places], members)
    stars = events.ratings[places]
    own, others = (_means(item[which], stars[which], len(targets)) for which in (inside, ~inside))
    moved = _means(item, stars, len(targets)) - others
    return {
        "n_members": len(members),
        "n_targets": len(targets),
        "targets": targets,
        "stars_of_members": float(np.nanmean(own)),
        "stars_of_others": _mean(others),
        "moved": _mean(moved),
    }


def _means(groups: Int64s, values: np.ndarray, n: int) -> Float64s:
    """Return the mean of each group, NaN for an empty one, float64 (n,)."""
    count = np.bincount(groups, minlength=n)
    total = np.bincount(groups, values, n)
    return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)


def _mean(values: Float64s) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
