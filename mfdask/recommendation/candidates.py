"""Which items may be offered, and how they are ranked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.models import Ability, Model
from mfdask.parameters import Parametrised, parameter
from mfdask.shards import Dataset

#: Training ratings that an item of a list of predicted stars has at least, by default. A
#: preference for an item that few have rated is low by itself; predicted stars may be high.
_LEAST_RATINGS = 100
#: Items that each place of a list is chosen from, where variety or calibration has a weight.
_OFFERED = 10
#: What a model can do whose item biases may weigh less than 1.
_RATED_BY_BIASES = {Ability.RATINGS, Ability.BIASES}
#: Unknown ids that are named.
_NAMED = 5


@dataclass(frozen=True)
class Ranking(Parametrised):
    """How items are ranked: by ``mean + b_u + bias_weight * b_i + p_u . q_i``, best first.

    With a bias weight of 1 a score is the predicted rating in stars, unclipped. With the default,
    the paper's .05, it is stars less most of what everybody thinks of the item: it ranks by what
    this user likes more than others do, and is no prediction. A model that predicts no stars, or
    has no biases, ranks by its own score (`Model.score`). Equal scores go by row: the item that was
    rated more often goes first.

    With a weight of `variety` or `calibration` a list is chosen from one ten times as long, item by
    item: scores then run from 0 for the last of that to 1 for the first. An item loses `variety`
    times its likeness to the likest item above it (the cosine of their genres, or of their factors
    where there are no genres). It loses `calibration` times the Kullback-Leibler divergence, in
    nats, of the genres of the list with it from those of all that the user is known to have rated.
    With a share of `tail` the last places are for the best items of the long tail, as many as are
    not on the list by then. The scores that are shown stay those of the model.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from mfdask import ALS, Ranking, recommend
    >>> model = ALS(n_factors=1).fit(csr_matrix([[5.0, 3.0], [4.0, 0.0]]))
    >>> len(recommend(model, [1], None, Ranking(top=2, min_ratings=1)))
    2
    """

    top: int = parameter(10, "Length of a list.", at_least=1)
    bias_weight: float = parameter(
        0.05,
        "Weight of an item's bias in the score, of a model that predicts stars: 1 ranks by "
        "predicted stars, less by taste.",
    )
    min_ratings: int | None = parameter(
        None,
        "Leave out items with fewer training ratings.  [default: "
        f"{_LEAST_RATINGS}, or 0 for a model that predicts no stars]",
        at_least=0,
    )
    variety: float = parameter(
        0.0,
        "Weight of variety: what an item loses for having the genres of one above it (or, where "
        "there are none, for factors like its), against 1 for the best score.",
        at_least=0,
    )
    calibration: float = parameter(
        0.0,
        "Weight of calibration: of how far the genres of a list are from those of what its user "
        "has rated, against 1 for the best score.",
        at_least=0,
    )
    tail: float = parameter(
        0.0,
        "Share of each list that is of the long tail at least: of items that are not among those "
        "rated most, which have 80 % of the training ratings.",
        at_least=0,
        at_most=1,
    )
    allow: tuple[Any, ...] | None = None  # ids of items: offer no others
    deny: tuple[Any, ...] = ()  # ids of items: never offer these

    @property
    def places(self) -> int:
        """Items that each place of a list is chosen from."""
        return _OFFERED if self.variety or self.calibration else 1

    @property
    def offered(self) -> int:
        """Items that a list is chosen from, at most."""
        return self.top * self.places * (2 if self.tail else 1)

    def weight_for(self, model: Model) -> float:
        """Return the bias weight for a model: 1 where it ranks by a score of its own."""
        return self.bias_weight if model.estimator.abilities >= _RATED_BY_BIASES else 1.0

    def least_for(self, model: Model) -> int:
        """Return the training ratings that an item of a model must have."""
        if self.min_ratings is not None:
            return self.min_ratings
        return _LEAST_RATINGS if model.can(Ability.RATINGS) else 0

    def check_weight(self, model: Model) -> None:
        """Refuse a bias weight of which a model makes nothing.

        Raises
        ------
        InputError
        """
        chosen = self.bias_weight != type(self).bias_weight
        if chosen and not model.estimator.abilities >= _RATED_BY_BIASES:
            raise InputError(
                f"`bias_weight` says nothing to a model of kind {model.kind}, which ranks by a "
                "score of its own; leave it out"
            )

    def check_history(self, data: Dataset | None) -> None:
        """Refuse calibration without the ratings that it goes by.

        Raises
        ------
        InputError
        """
        if self.calibration and data is None:
            raise InputError(
                "`calibration` holds lists against what users have rated: give the model's data "
                "set, with rated items left out"
            )

    def unit(self, model: Model) -> str:
        """Say what a score of a model is."""
        weight = self.weight_for(model)
        if not model.can(Ability.RATINGS):
            return f"score: {model.score}"
        if weight == 1:
            return "score in predicted stars"
        return f"score ranks by taste (item bias times {weight:g})"

    def candidates(self, model: Model) -> npt.NDArray[np.int32]:
        """Return the rows of the items that may be offered, ascending int32.

        Raises
        ------
        InputError
            If an id is not the model's, or no item is left.
        """
        least = self.least_for(model)
        n_train = model.items["n_train"].to_numpy()
        good = np.ones(len(n_train), np.bool_)
        if self.allow is not None:
            good[:] = False
            good[known_rows(model, "items", self.allow)] = True
        good[known_rows(model, "items", self.deny)] = False
        found = np.flatnonzero(good & (n_train >= least)).astype(np.int32)
        if not good.any():
            raise InputError("no item to offer: none is allowed; allow some, or deny fewer")
        if not len(found):
            raise InputError(
                f"no item to offer: {good.sum():,} of {len(good):,} items are allowed, and none of "
                f"them has {least:,} training ratings; lower `min_ratings`, or allow more items"
            )
        return found


def known_rows(model: Model, side: str, ids: Any) -> npt.NDArray[np.int32]:
    """Return the row of each raw id, int32.

    Raises
    ------
    InputError
        If the model has not learned one of them; it names the first.
    """
    ids = list(ids)
    if not ids:
        return np.empty(0, np.int32)
    rows = model.rows_of(side, ids)
    if (rows < 0).any():
        unknown = [str(i) for i, row in zip(ids, rows.tolist(), strict=True) if row < 0]
        more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        raise InputError(
            f"{side[:-1]} {unknown[0]}{more}: not among the {side} of the model "
            f"(learned from {model.data.name})"
        )
    return rows


class SortedIds(NamedTuple):
    """Raw ids, each once: those that a model knows, and those that it does not."""

    known: tuple[Any, ...]
    unknown: tuple[Any, ...]


def sort_ids(model: Model, side: str, ids: Any, where: str) -> SortedIds:
    """Tell the ids that a model knows from the others.

    Raises
    ------
    InputError
        If there are ids and it knows none of them; `where` says whence they are.
    """
    ids = tuple(dict.fromkeys(ids))
    known = model.rows_of(side, ids) >= 0 if ids else ()
    found = SortedIds(*(tuple(compress(ids, which)) for which in (known, np.logical_not(known))))
    if ids and not found.known:
        raise InputError(
            f"{where}: none of {len(ids):,} ids ({first_of(found.unknown)}) is among the {side} of "
            f"the model (learned from {model.data.name})"
        )
    return found


def first_of(ids: tuple[Any, ...]) -> str:
    """Name the first few ids."""
    named = ", ".join(map(str, ids[:_NAMED]))
    return f"{named}, …" if len(ids) > _NAMED else named


def parse_id(text: str, ids: pd.Series, where: str) -> Any:
    """Return what a person wrote as an id of the kind that `ids` holds.

    Raises
    ------
    InputError
        If the ids are whole numbers and it is none.
    """
    text = text.strip()
    if not pd.api.types.is_integer_dtype(ids.dtype):
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{where}: {text!r} is no id; the ids here are whole numbers") from None


def read_ids(file: Path, ids: pd.Series) -> tuple[Any, ...]:
    """Read a file of ids, one a line; empty lines are passed over.

    Raises
    ------
    InputError
        If it cannot be read as text, or a line is no id; it names the line.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; give a text file with one id a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error})") from error
    return tuple(
        parse_id(line, ids, f"{file}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    )
