"""Which items may be offered, and how they are ranked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.errors import InputError
from mfdask.models import Model
from mfdask.parameters import Parametrised, parameter


@dataclass(frozen=True)
class Ranking(Parametrised):
    """How items are ranked: by ``mean + b_u + bias_weight * b_i + p_u . q_i``, best first.

    With a bias weight of 1 a score is the predicted rating in stars, unclipped. With the default,
    the paper's .05, it is stars less most of what everybody thinks of the item: it ranks by what
    this user likes more than others do, and is no prediction. Equal scores go by row: the item
    that was rated more often goes first.
    """

    top: int = parameter(10, "Length of a list.", at_least=1)
    bias_weight: float = parameter(
        0.05, "Weight of an item's bias in the score: 1 ranks by predicted stars, less by taste."
    )
    min_ratings: int = parameter(100, "Leave out items with fewer training ratings.", at_least=0)
    allow: tuple[Any, ...] | None = None  # ids of items: offer no others
    deny: tuple[Any, ...] = ()  # ids of items: never offer these

    def candidates(self, model: Model) -> npt.NDArray[np.int32]:
        """Return the rows of the items that may be offered, ascending int32.

        Raises
        ------
        InputError
            If an id is not the model's, or no item is left.
        """
        good = model.items["n_train"].to_numpy() >= self.min_ratings
        if self.allow is not None:
            allowed = np.zeros(len(good), np.bool_)
            allowed[known_rows(model, "items", self.allow)] = True
            good &= allowed
        good[known_rows(model, "items", self.deny)] = False
        if not good.any():
            raise InputError(
                f"no item to offer: none with {self.min_ratings} training ratings is left; lower "
                "`min_ratings`, or see to the lists of items"
            )
        return np.flatnonzero(good).astype(np.int32)


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
