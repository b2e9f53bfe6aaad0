"""Splits: rules that hold out ratings for testing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError, require

FORMS = (
    "random:0.1, time:0.1, user-time:0.1, sequence:0.1, cold-items:0.1 (any share between 0 and "
    "1), leave-one-out or none"
)
_KINDS = ("random", "time", "user-time", "sequence", "cold-items")
_WITHOUT_SHARE = ("none", "leave-one-out", "given")
#: How a data set says that its test part came in files of its own, or was told by a column.
GIVEN = "given"


@dataclass(frozen=True)
class Split:
    """A rule that holds out a share of the ratings.

    ==============  ==================================================================
    `random`        by a hash of user id, item id and seed: a rating's side never
                    changes when others are added
    `time`          those from one moment on, the same for everybody
    `user-time`     the last ``floor(share * n)`` of each user; a hash of item id orders
                    those of one second
    `leave-one-out` the last of each user that has two or more; ties as in `user-time`
    `sequence`      those whose draw ``RandomState(seed).random_sample(n)`` is below the
                    share, one draw for each row read, in file order
    `cold-items`    every rating of some items, about that share of them, by a hash of
                    item id and seed: an item's side never changes either
    `given`         the rows of a test part that is read from files of its own, or that a
                    column tells
    `none`          nothing
    ==============  ==================================================================

    Attributes
    ----------
    kind : str
    share : float
        Of the ratings, or for `cold-items` of the items, that is held out, in (0, 1); 0 for
        `none`, `leave-one-out` and `given`.
    """

    kind: str
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Split:
        """Read ``random:0.1`` and its like.

        Raises
        ------
        InputError
            If it is none of the forms, or the share does not lie between 0 and 1.
        """
        kind, _, share = text.strip().partition(":")
        if text.strip() in _WITHOUT_SHARE:
            return cls(kind)
        try:
            parsed = cls(kind, float(share))
        except ValueError:
            parsed = cls("")
        if parsed.kind not in _KINDS or not 0 < parsed.share < 1:
            raise InputError(f"`split` {text or repr(text)}: write {FORMS}")
        return parsed

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return self.kind if self.kind in _WITHOUT_SHARE else f"{self.kind}:{self.share}"

    @property
    def hashed_sides(self) -> tuple[str, ...]:
        """The sides whose ids decide, by their hash."""
        of_items = dict.fromkeys(("cold-items", "user-time", "leave-one-out"), ("items",))
        return {"random": ("users", "items"), **of_items}.get(self.kind, ())

    @property
    def is_by_hash(self) -> bool:
        """Whether a rating's side never changes when others are added."""
        return self.kind in ("random", "cold-items", "none")

    @property
    def is_by_rows(self) -> bool:
        """Whether rows are held out by their place in what was read: no more can be taken in."""
        return self.kind in ("sequence", GIVEN)

    @property
    def needs_timestamps(self) -> bool:
        """Whether it cannot be done without timestamps."""
        return self.kind in ("time", "user-time", "leave-one-out")

    def n_last(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many of each user's ratings are held out, those being the last, int64."""
        if self.kind == "leave-one-out":
            return (counts >= 2).astype(np.int64)
        # A share such as 0.29 is a little less than it says: 0.29 * 100 would fall short of 29.
        return np.floor(self.share * counts + 1e-9).astype(np.int64)


def sequence_draws(n_rows: int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return for each row read, in file order, whether the split `sequence` holds it out."""
    require(0 <= seed < 2**32, "seed", seed, "from 0 to 4294967295 for the split sequence")
    return np.random.RandomState(seed).random_sample(n_rows) < share


def id_keys(ids: pd.Index) -> npt.NDArray[np.uint64]:
    """Return 64 bits for each id that depend on the id alone, for the splits by hash.

    An integer is its own key; a string's is its SipHash with a fixed key.
    """
    if pd.api.types.is_integer_dtype(ids.dtype):
        return ids.to_numpy(np.int64).view(np.uint64)
    return pd.util.hash_array(ids.to_numpy(object), categorize=False)
