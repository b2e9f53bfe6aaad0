"""Read parts of a source that follow each other, as one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.ingestion.spill import SpilledRatings, spill
from mfdask.ratings.forms import ValueForm
from mfdask.ratings.ids import count_ids, encode
from mfdask.ratings.partitions import parsed_of
from mfdask.ratings.source import Parsed, Part
from mfdask.ratings.values import NO_IDS, ROLES, other_kinds

#: What the values of each role but the ids become.
_TYPES = {"rating": np.float32, "timestamp": np.int64, "split": np.float32, "weight": np.float32}


class PartFacts(NamedTuple):
    """Counts and checksum of a part that was read.

    `n_zeros` are rows whose count is 0, `n_missing` those of the rejected that are so because their
    rating stands for none.
    """

    n_read: int
    n_rejected: int
    n_lines: int
    digest: str
    n_zeros: int = 0
    n_missing: int = 0

    @property
    def n_bad(self) -> int:
        """Rejected rows that should have been good."""
        return self.n_rejected - self.n_missing


class ReadBatch(NamedTuple):
    """Parts that are read.

    Attributes
    ----------
    ratings : DataFrame or SpilledRatings
        The good ratings: `user_id`, `item_id` (encoded, see `ids.encode`), `rating`, `timestamp`,
        `held_out` (1 in the test part) and `weight` where there are any, without counts of 0. The
        index numbers the rows read of these parts from 0, good or bad.
    users, items : Series
        How often each id occurs, see `ids.count_ids`.
    rejected : DataFrame
        The bad rows, with the number of their part among these in a column `part`.
    facts : list of PartFacts
        Of each part.
    """

    ratings: pd.DataFrame | SpilledRatings
    users: pd.Series
    items: pd.Series
    rejected: pd.DataFrame
    facts: list[PartFacts]


def read_batch(
    parts: Sequence[Part], are_counts: bool = False, spill_into: Path | None = None
) -> ReadBatch:
    """Read parts and make them small.

    Parameters
    ----------
    parts : sequence of Part
        At least one.
    are_counts : bool
        Whether their values are to be added up: negative ones are bad, and of 0 nothing is left.
    spill_into : Path, optional
        A folder in which the good ratings wait, in place of memory.
    """
    return clean_batch([part.read() for part in parts], parts, are_counts, spill_into)


def clean_partition(
    partition: pd.DataFrame,
    parts: Sequence[Part],
    are_counts: bool = False,
    spill_into: Path | None = None,
) -> ReadBatch:
    """Make a partition of a `frames.parts_frame` small, which holds `parts`."""
    return clean_batch(parsed_of(partition), parts, are_counts, spill_into)


def clean_batch(
    parsed: Sequence[Parsed],
    parts: Sequence[Part],
    are_counts: bool = False,
    spill_into: Path | None = None,
) -> ReadBatch:
    """Make parts that were read small; the other parameters are those of `read_batch`."""
    cleaned = [_cleaned(one, part, are_counts) for one, part in zip(parsed, parts, strict=True)]
    ratings = _joined([one.ratings for one in cleaned], [one.facts.n_read for one in cleaned])
    return ReadBatch(
        ratings=ratings if spill_into is None else spill(ratings, spill_into),
        users=count_ids(ratings["user_id"]),
        items=count_ids(ratings["item_id"]),
        rejected=_joined_rejected([one.rejected for one in cleaned]),
        facts=[one.facts for one in cleaned],
    )


class _Cleaned(NamedTuple):
    """A part whose rows are numbered among those that were read of it."""

    ratings: pd.DataFrame
    rejected: pd.DataFrame
    facts: PartFacts


def _cleaned(parsed: Parsed, part: Part, are_counts: bool) -> _Cleaned:
    _check_kinds(parsed, part)
    for role, kind in _TYPES.items():
        column = ROLES[role]
        if role in part.forms:
            parsed = _with_values(parsed, column, part.forms[role], part.file)
        elif column in parsed.ratings and parsed.ratings[column].dtype != kind:  # beside texts
            parsed = replace(parsed, ratings=parsed.ratings.astype({column: kind}))
    for role in part.named:
        nameless = parsed.ratings[ROLES[role]].isin(NO_IDS).to_numpy()
        reason = f"{role} id stands for none (ids = string keeps it)"
        parsed = _without(parsed, nameless, reason, part.file)
    n_rejected = len(parsed.rejected)
    if part.missing and "rating" in parsed.ratings:
        missing = parsed.ratings["rating"].isin(np.array(part.missing, np.float32)).to_numpy()
        parsed = _without(parsed, missing, "rating stands for a missing one", part.file)
    n_missing = len(parsed.rejected) - n_rejected
    rows, n_zeros = _row_numbers(parsed), 0
    if are_counts and "rating" in parsed.ratings:
        counts = parsed.ratings["rating"].to_numpy()
        rows, n_zeros = rows[counts > 0], int((counts == 0).sum())
        parsed = _without(parsed, counts < 0, "count is negative", part.file)
        parsed = replace(parsed, ratings=parsed.ratings[parsed.ratings["rating"] > 0])
    n_rejected = len(parsed.rejected)
    facts = PartFacts(parsed.n_read, n_rejected, parsed.n_lines, parsed.digest, n_zeros, n_missing)
    parsed.ratings.index = rows  # in place: whoever takes a column out of it leaves no other copy
    return _Cleaned(parsed.ratings, parsed.rejected, facts)


def _joined(ratings: Sequence[pd.DataFrame], n_read: Sequence[int]) -> pd.DataFrame:
    """Put the ratings of parts behind each other, with encoded ids."""
    rows = ratings[0].index
    if len(ratings) > 1:
        before = np.cumsum([0, *n_read[:-1]])
        numbers = [own.index.to_numpy() + n for own, n in zip(ratings, before, strict=True)]
        rows = pd.Index(np.concatenate(numbers))
    whole = ratings[0] if len(ratings) == 1 else pd.concat(ratings, ignore_index=True)
    columns: dict[str, Any] = {}
    # Column by column, so that the raw ids of one are gone before the next is encoded.
    for name in whole.columns.tolist():
        column = whole.pop(name)
        columns[name] = encode(column) if name in ("user_id", "item_id") else column.array
    return pd.DataFrame(columns, index=rows, copy=False)


def _joined_rejected(rejected: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the bad rows of parts behind each other."""
    bad = [own.assign(part=number) for number, own in enumerate(rejected) if len(own)]
    return pd.concat(bad, ignore_index=True) if bad else rejected[0].assign(part=0)


def _check_kinds(parsed: Parsed, part: Part) -> None:
    """Refuse values of another kind than those at the start, unless that kind is wanted."""
    for role in part.settled:
        others = parsed.rejected[parsed.rejected["reason"].isin(other_kinds(role))]
        if len(others) and role == "rating":
            raise InputError(
                f"{part.file}: the rating in {others['text'].iloc[0]!r} has a decimal comma, those "
                "at the start of the file have none; `decimal` , reads them, `decimal` . leaves "
                "such rows out"
            )
        if len(others):
            raise InputError(
                f"{part.file}: the {role} id in {others['text'].iloc[0]!r} is no whole number of "
                "64 bits, as the ids at the start of the file are; `ids` string keeps all ids as "
                "they are written, `ids` int leaves such rows out"
            )


def _with_values(parsed: Parsed, column: str, form: ValueForm, file: str) -> Parsed:
    """Put values in the place of texts; rows with texts of another form are bad."""
    codes, texts = pd.factorize(parsed.ratings[column])
    values, good = form.read(pd.Index(texts, dtype="str"))
    made = _without(parsed, ~good[codes], form.reason, file)
    return replace(made, ratings=made.ratings.assign(**{column: values[codes][good[codes]]}))


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
