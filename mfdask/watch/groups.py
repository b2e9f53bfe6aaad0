"""A layout for the dashboard's page of task groups, which Dask's own cannot draw for a fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


def mend_groups_page() -> None:
    """Let Dask's page ``/groups`` lay out any groups.

    Its own layout fails where groups wait for each other in a circle, as users and items do over
    many sweeps, and where a group has waited for one that is gone.
    """
    from distributed.dashboard.components.scheduler import TaskGroupGraph

    TaskGroupGraph.update_layout = _update_layout


def _update_layout(page: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the place of each group, and the ends of the arrows to it."""
    groups = page.scheduler.task_groups
    waits_for = {
        name: {other.name for other in group.dependencies if other.name in groups} - {name}
        for name, group in groups.items()
    }
    nodes = {name: {"x": x, "y": y} for name, (x, y) in layout(waits_for).items()}
    arrows = {name: {"nstart": own, "nend": [name] * len(own)} for name, own in waits_for.items()}
    return nodes, arrows


def layout(waits_for: Mapping[str, set[str]]) -> dict[str, tuple[int, int]]:
    """Place groups in columns, each to the right of what it waits for, except within a circle.

    Parameters
    ----------
    waits_for : mapping of str to set of str
        In the order in which the groups came: in a circle, the first stands first.

    Returns
    -------
    dict of str to (int, int)
        Column and line.
    """
    columns: dict[str, int] = {}
    for name in waits_for:  # a group comes after those that its first task waits for
        columns[name] = 1 + max((columns.get(other, -1) for other in waits_for[name]), default=-1)
    filled: Counter[int] = Counter()
    places = {}
    for name, column in columns.items():
        places[name] = column, filled[column]
        filled[column] += 1
    return places
