"""Numbers that describe items: shares of genres, or columns of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.models.design import Array


def genre_names(items: pd.DataFrame) -> list[str]:
    """Return all genres of a table of items, sorted.

    Raises
    ------
    InputError
        If no item has one.
    """
    if "genres" not in items:
        raise InputError("the items have no genres; a genre prior needs a catalogue with them")
    names = sorted(set(items["genres"].str.cat(sep="|").split("|")) - {""})
    if not names:
        raise InputError("the items have no genres; a genre prior needs a catalogue with them")
    return names


def genre_shares(genres: pd.Series, names: list[str]) -> Array:
    """Return each item's share of each genre: one over the number of its genres, float32.

    Genres that are not among `names` are left out; an item without any is all zeros.
    """
    flags = genres.str.get_dummies("|").reindex(columns=names, fill_value=0)
    values = flags.to_numpy(np.float32)
    return values / np.maximum(values.sum(axis=1, keepdims=True), 1)
