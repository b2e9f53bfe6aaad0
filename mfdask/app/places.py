"""Items in a plane: which are in view, what stands for many of them, and what the axes mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.embedding import embed
from mfdask.errors import InputError
from mfdask.models import FactorModel
from mfdask.report.model.item_map import colour_groups, coloured_genres, placed
from mfdask.report.parts import named
from mfdask.shards import Dataset

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

#: Items that are drawn one by one; of more, those that lie close together are one circle.
MOST_POINTS = 400
#: Cells of the view, along and up, whose items are one circle.
_CELLS = (40, 26)
#: Titles that are written, signs of each, and pixels of a sign.
_MOST_LABELS, _LABEL, _SIGN = 30, 34, 6.6
#: Points of a user's path, at most.
_STEPS = 8


class View(NamedTuple):
    """A window on the plane."""

    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Places:
    """Items of a model in a plane.

    Attributes
    ----------
    rows : intp (n,)
        Their rows in the model, the most rated first.
    x, y : float64 (n,)
    n_train : int64 (n,)
    groups : list of str
        Genres that have colours, and the rest.
    group : intp (n,)
        Place in `groups` of each item.
    genres : DataFrame
        `title`, `x` and `y` of the genres.
    """

    rows: Rows
    x: Floats
    y: Floats
    n_train: npt.NDArray[np.int64]
    groups: list[str]
    group: Rows
    genres: pd.DataFrame

    @classmethod
    def of(cls, model: FactorModel, method: str) -> Places:
        """Place a model's rated items by principal components, or the most rated by t-SNE.

        Raises
        ------
        InputError
            If the model has too few factors, or items.
        """
        table = placed(model, method) if method == "tsne" else embed(model, method)
        items = table[table["kind"] == "item"]
        rows = model.rows_of("items", items["item_id"].tolist())
        texts = items["genres"].fillna("")
        coloured = coloured_genres(texts)
        groups = colour_groups(texts, coloured)
        names = [*coloured, *sorted(set(groups) - set(coloured))]
        n_train = items["n_train"].to_numpy(np.int64)
        order = np.argsort(-n_train, kind="stable")
        return cls(
            rows.astype(np.intp)[order],
            items["x"].to_numpy(np.float64)[order],
            items["y"].to_numpy(np.float64)[order],
            n_train[order],
            names,
            pd.Index(names).get_indexer(pd.Index(groups))[order],
            table[table["kind"] == "genre"][["title", "x", "y"]].reset_index(drop=True),
        )

    def whole(self) -> View:
        """Return the window that shows nearly all: a few far away would make the rest small."""
        ends = []
        for values in (self.x, self.y):
            low, high = np.quantile(values, [0.002, 0.998])
            room = max(high - low, 1e-6) * 0.06
            ends += [float(low - room), float(high + room)]
        return View(*ends)

    def inside(self, view: View) -> Rows:
        """Return the places of the items in a window, the most rated first."""
        along = (self.x >= view.left) & (self.x <= view.right)
        return np.flatnonzero(along & (self.y >= view.bottom) & (self.y <= view.top))

    def circles(self, view: View, titles: pd.Series) -> pd.DataFrame:
        """Return what is drawn of a window: an item each, or a circle for those that lie close.

        Returns
        -------
        DataFrame
            `x`, `y`, `n` (items), `group` (place in `groups` of most of them), `row` (the item's
            row, or -1 for several), and `title` of the most rated one.
        """
        inside = self.inside(view)
        few = len(inside) <= MOST_POINTS
        cells = np.arange(len(inside)) if few else self._cells(view, inside)
        _, first, cell, n = np.unique(cells, return_index=True, return_inverse=True,
                                      return_counts=True)  # fmt: skip
        of_group = np.bincount(cell * len(self.groups) + self.group[inside],
                               minlength=len(n) * len(self.groups))  # fmt: skip
        best = inside[first]
        return pd.DataFrame(
            {
                "x": np.bincount(cell, self.x[inside]) / n,
                "y": np.bincount(cell, self.y[inside]) / n,
                "n": n,
                "group": of_group.reshape(len(n), len(self.groups)).argmax(axis=1),
                "row": np.where(n == 1, self.rows[best], -1),
                "title": titles.to_numpy()[self.rows[best]],
            }
        )

    def _cells(self, view: View, inside: Rows) -> Rows:
        across, up = _CELLS
        right = ((self.x[inside] - view.left) / (view.right - view.left) * across).astype(np.intp)
        over = ((self.y[inside] - view.bottom) / (view.top - view.bottom) * up).astype(np.intp)
        cells: Rows = right.clip(0, across - 1) * up + over.clip(0, up - 1)
        return cells

    def labels(self, view: View, titles: pd.Series, width: float, height: float) -> pd.DataFrame:
        """Return the titles that find room in a window of so many pixels, the most rated first.

        `x`, `y`, `label`
        """
        inside = self.inside(view)[: 5 * _MOST_LABELS]
        names = [str(title)[:_LABEL] for title in titles.to_numpy()[self.rows[inside]]]
        return _fitting(self.x[inside], self.y[inside], names, view, width, height)

    def genre_labels(self, view: View, width: float, height: float) -> pd.DataFrame:
        """Return the names of genres that find room in a window; see `labels`."""
        x, y = (self.genres[name].to_numpy(np.float64) for name in ("x", "y"))
        return _fitting(x, y, self.genres["title"].tolist(), view, width, height)


def _fitting(
    x: Floats, y: Floats, names: list[str], view: View, width: float, height: float
) -> pd.DataFrame:
    left = (x - view.left) / (view.right - view.left) * width
    up = (y - view.bottom) / (view.top - view.bottom) * height
    kept = _without_overlap(left, up, [_SIGN * len(name) + 8 for name in names], width)
    kept = kept[:_MOST_LABELS]
    return pd.DataFrame({"x": x[kept], "y": y[kept], "label": [names[k] for k in kept]})


def _without_overlap(left: Floats, up: Floats, widths: list[float], width: float) -> list[int]:
    """Return which labels can be written, each taken if those before leave it room."""
    taken: list[tuple[float, float, float]] = []
    kept = []
    for k, (x, y, own) in enumerate(zip(left.tolist(), up.tolist(), widths, strict=True)):
        low, high = x - own / 2, x + own / 2
        free = all(high < a or low > b or abs(y - at) > 18 for a, b, at in taken)
        if free and low > 0 and high < width:
            taken.append((low, high, y))
            kept.append(k)
    return kept


def titles_of_items(items: pd.DataFrame) -> pd.Series:
    """Return what to call each item of a model, in row order."""
    titles = items["title"].fillna("") if "title" in items else [""] * len(items)
    return pd.Series(named(items["item_id"], titles), dtype="object")


def path_of_user(places: Places, data: Dataset, user: int) -> pd.DataFrame:
    """Return where a user's likings lay over time.

    Their training ratings are cut by time into equal parts; each is at the mean place of the items
    that they rated at least as high as they do on average.

    Returns
    -------
    DataFrame
        `x`, `y`, and `when`: the day of the last rating of a part.

    Raises
    ------
    InputError
        If the ratings have no times, or too few are of items on the map.
    """
    block = int(np.searchsorted(data.bounds("users"), user, side="right")) - 1
    shard, times = data.shard("users", block), data.timestamps(block)
    if times is None:
        raise InputError("the ratings have no times, so there is no path over them")
    own = slice(*shard.indptr[user - shard.start : user - shard.start + 2])
    at = np.full(data.n_items, -1)
    at[places.rows] = np.arange(len(places.rows))
    place, rating, when = at[shard.indices[own]], shard.ratings[own], times[own]
    liked = (place >= 0) & (rating >= rating.mean()) if len(rating) else place >= 0
    order = np.argsort(when[liked], kind="stable")
    if len(order) < 2:
        raise InputError("this user has too few ratings on the map for a path")
    lines = []
    for part in np.array_split(order, min(_STEPS, len(order) // 2 or 1)):
        those = place[liked][part]
        day = pd.Timestamp(int(when[liked][part].max()), unit="s")
        lines.append((places.x[those].mean(), places.y[those].mean(), f"{day:%Y-%m-%d}"))
    return pd.DataFrame(lines, columns=["x", "y", "when"])
