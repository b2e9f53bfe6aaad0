"""Read one part of a source, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.ratings.ids import count_ids, encode
from mfdask.ratings.source import Parsed, Part


class PartFacts(NamedTuple):
    """Counts and checksum of a part that was read; `n_zeros` are rows whose count is 0."""

    n_read: int
    n_rejected: int
    n_lines: int
    digest: str
    n_zeros: int = 0


class ReadPart(NamedTuple):
    """A part that is read.

    Attributes
    ----------
    ratings : DataFrame
        The good ratings: `user_id`, `item_id` (encoded, see `ids.encode`), `rating` and
        `timestamp` where there are any, without counts of 0. The index numbers the rows read of the
        part from 0, good or bad.
    users, items : Series
        How often each id occurs, see `ids.count_ids`.
    rejected : DataFrame
        The bad rows.
    facts : PartFacts
    """

    ratings: pd.DataFrame
    users: pd.Series
    items: pd.Series
    rejected: pd.DataFrame
    facts: PartFacts


def read_part(part: Part, are_counts: bool = False) -> ReadPart:
    """Read one part and make it small.

    Parameters
    ----------
    part : Part
    are_counts : bool
        Whether its values are to be added up: negative ones are bad, and of 0 nothing is left.
    """
    parsed = part.read()
    if part.event_values is not None:
        parsed = _with_values(parsed, part.event_values, part.file)
    rows, n_zeros = _row_numbers(parsed), 0
    if are_counts and "rating" in parsed.ratings:
        counts = parsed.ratings["rating"].to_numpy()
        rows, n_zeros = rows[counts > 0], int((counts == 0).sum())
        parsed = _without(parsed, counts < 0, "count is negative", part.file)
        parsed = replace(parsed, ratings=parsed.ratings[parsed.ratings["rating"] > 0])
    n_rejected = len(parsed.rejected)
    facts = PartFacts(parsed.n_read, n_rejected, parsed.n_lines, parsed.digest, n_zeros)
    # Column by column, so that the raw ids of one are gone before the next is encoded.
    columns = {name: parsed.ratings.pop(name) for name in parsed.ratings.columns.tolist()}
    for name in ("user_id", "item_id"):
        columns[name] = pd.Series(encode(columns[name]))
    values = {name: column.array for name, column in columns.items()}
    ratings = pd.DataFrame(values, index=rows, copy=False)
    return ReadPart(
        ratings=ratings,
        users=count_ids(ratings["user_id"]),
        items=count_ids(ratings["item_id"]),
        rejected=parsed.rejected,
        facts=facts,
    )


def _with_values(parsed: Parsed, event_values: Mapping[str, float], file: str) -> Parsed:
    """Put the values of the words in their place; rows of other words are bad."""
    codes, words = pd.factorize(parsed.ratings["rating"])
    of_words = [event_values.get(str(word).strip(), np.nan) for word in words]
    values = np.array(of_words, np.float32)[codes]
    made = _without(parsed, np.isnan(values), "event has no value", file)
    return replace(made, ratings=made.ratings.assign(rating=values[~np.isnan(values)]))


def _without(parsed: Parsed, bad: npt.NDArray[np.bool_], reason: str, file: str) -> Parsed:
    """Move some of the good rows, bool (good rows,), to the bad ones."""
    if not bad.any():
        return parsed
    rows = parsed.ratings[bad]
    texts = rows.astype("str")
    text = texts["user_id"].str.cat(texts.drop(columns="user_id"), sep=",")
    found = pd.DataFrame(
        {"file": file, "row": rows.index, "reason": reason, "text": text.array}
    ).astype(parsed.rejected.dtypes.to_dict())
    rejected = pd.concat([parsed.rejected, found]).sort_values("row", ignore_index=True)
    return replace(parsed, ratings=parsed.ratings[~bad], rejected=rejected)


def _row_numbers(parsed: Parsed) -> pd.Index:
    """Return the place of each good row among all rows read; files hold other lines, too."""
    places = parsed.ratings.index
    if parsed.rejected.empty:
        return pd.RangeIndex(len(places))
    bad = np.sort(parsed.rejected["row"].to_numpy(np.int64))
    before = np.searchsorted(bad, places.to_numpy(np.int64))
    return pd.Index(np.arange(len(places)) + before)
