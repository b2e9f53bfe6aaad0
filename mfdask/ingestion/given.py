"""A test part that is given: its rows are held out, and no pair of it is trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.errors import InputError
from mfdask.ingestion.reading import Reading
from mfdask.ingestion.repeats import pair_keys
from mfdask.ratings.source import Source

#: What both parts must agree in, and what to say of it.
_SAME = {
    "user_kind": "user ids of one kind; `ids` says which",
    "item_kind": "item ids of one kind; `ids` says which",
    "has_timestamps": "timestamps in both or in none; `columns` timestamp= leaves them out",
    "has_weights": "weights in both or in none; `columns` weight= leaves them out",
    "has_ratings": "ratings in both or in none; `columns` rating= leaves them out",
}


def join_test(source: Source, test: Source) -> Source:
    """Return a source of both parts, the test part behind.

    Raises
    ------
    InputError
        If one of them is empty, or they differ in their columns or in the kinds of their ids.
    """
    for part in (source, test):
        if not part.parts:
            raise InputError(f"{part.origin}: holds no ratings")
    for name, wanted in _SAME.items():
        if getattr(source, name) != getattr(test, name):
            raise InputError(f"{source.origin} and `test` {test.origin}: give {wanted}")
    origin = f"{source.origin}, test part {test.origin}"
    return replace(source.joined([test]), origin=origin, n_test_parts=len(test.parts))


def rows_held_out(reading: Reading, n_test_parts: int) -> npt.NDArray[np.bool_]:
    """Return for each row read, in file order, whether it is of the last parts."""
    n_read = [part.n_read for part in reading.facts]
    is_test = np.arange(len(n_read)) >= len(n_read) - n_test_parts
    return np.repeat(is_test, n_read)


def drop_shared(columns: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Leave out the training rows of pairs that the test part has; return how many these are.

    Parameters
    ----------
    columns : dict
        Of a block, from `blocks.bucket_columns`; `draws` tells which rows are of the test part.
    """
    keys, is_test = pair_keys(columns["users"], columns["items"]), columns["draws"]
    shared = ~is_test & np.isin(keys, keys[is_test])
    if not shared.any():
        return columns, 0
    kept = {name: None if values is None else values[~shared] for name, values in columns.items()}
    return kept, int(shared.sum())
