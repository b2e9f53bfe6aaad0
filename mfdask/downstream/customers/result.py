"""The table of a study: everybody, those of the cohort with the score of what was learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mfdask.downstream.customers.everyone import FEATURES, NOTHING, OUTLOOK, Everyone, shifted
from mfdask.downstream.customers.origins import Origins, timestamp
from mfdask.downstream.customers.rfm import RFM
from mfdask.kernels.types import Float64s

#: Counts among the features.
_COUNTS = [
    *(name for name in RFM if name.startswith(("active", "ratings"))),
    "expected_days_low",
    "expected_days_high",
]
#: Probabilities from which a risk is medium, and high.
_RISKS = (1 / 3, 2 / 3)
#: Shares of all users above whom a value is middle, and high.
_SEGMENTS = (0.5, 0.9)


@dataclass(frozen=True)
class ScoreKind:
    """What a score is called, and the bands that it is put into.

    Attributes
    ----------
    name, band : str
        Columns of the table.
    bands : callable
        Takes the scores, returns the band of each.
    label_type : {"Int8", "Int32", "Float64"}
        Of pandas; takes missing ones.
    unit : str
        How a contribution to it is written.
    """

    name: str
    band: str
    bands: Callable[[Float64s], npt.NDArray[np.str_]]
    label_type: Literal["Int8", "Int32", "Float64"]
    unit: str


@dataclass(frozen=True)
class Scored:
    """The cohort with the scores of what was learned.

    Attributes
    ----------
    table : DataFrame
        `user_id` and the features; further columns are left out of the result.
    latent : list of str
        Its features that rest on factors.
    score : float64 (users,)
    reasons : list of str
    by : str
    version : str
        Of the factors.
    """

    table: pd.DataFrame
    latent: list[str]
    score: Float64s | None
    reasons: list[str] | None
    by: str
    version: str


def risks(score: Float64s) -> npt.NDArray[np.str_]:
    """Return the band of each probability of churn."""
    return np.array(["low", "medium", "high"])[np.searchsorted(_RISKS, score, side="right")]


def segments(score: Float64s) -> npt.NDArray[np.str_]:
    """Return the band of each value: the top tenth, the next four, the rest; of 0 always low."""
    place = np.argsort(np.argsort(score, kind="stable"), kind="stable") / max(len(score), 1)
    band = np.where(score > 0, np.searchsorted(_SEGMENTS, place, side="right"), 0)
    return np.array(["low", "middle", "high"])[band]


def result_table(
    own: Scored, everyone: Everyone, origins: Origins, score: ScoreKind
) -> pd.DataFrame:
    """Return the table: a line for each user who had done anything, ascending by id."""
    table = everyone.table.copy()
    cohort = own.table.set_index("user_id")
    table = table.join(cohort[own.latent])
    table["scored_by"] = everyone.facts["model"]
    if own.score is not None:
        _put_scores(table, cohort.index, own, own.score, is_chance=score.name == "p_churn")
    made = pd.DataFrame({"event_timestamp": timestamp(origins.cutoff)}, index=table.index)
    # Of the data, not of the clock: the same data give the same bytes.
    made["created_timestamp"] = timestamp(origins.end)
    made[score.name] = table["score"]
    # The score itself may lie beyond the ends: it is a mean, or another model's.
    made[f"{score.name}_low"] = np.minimum(table["low"], table["score"])
    made[f"{score.name}_high"] = np.maximum(table["high"], table["score"])
    if score.name == "expected_value":
        made["discounted_value"] = table["score"] * table["discounted"]
    made[score.band] = score.bands(table["score"].to_numpy())
    further = [n for n in ("mean_spend", "spend", "spend_180d") if n in table]
    names = ["basis", "reason", *OUTLOOK, *further, *RFM, *own.latent, "scored_by"]
    made = pd.concat([made, table[names]], axis=1)
    made = made.astype(dict.fromkeys(_COUNTS, "Int32"))
    made["model_version"] = own.version
    made["label"] = table["label"].astype(score.label_type)
    return made.reset_index()


def _put_scores(
    table: pd.DataFrame, users: pd.Index, own: Scored, score: Float64s, is_chance: bool
) -> None:
    """Put the scores of the cohort into the table of everybody, and move the intervals to them."""
    if own.reasons is None:  # a purchase model knows nothing of who has bought nothing
        known = (table.loc[users, "basis"] != NOTHING).to_numpy()
        users, score = users[known], score[known]
    middle = table.loc[users, "score"]
    for end in ("low", "high") if is_chance else ():
        table.loc[users, end] = shifted(score, middle, table.loc[users, end])
    table.loc[users, "score"] = score
    table.loc[users, "scored_by"] = own.by
    if own.reasons is not None:
        table.loc[users, "basis"] = FEATURES
        table.loc[users, "reason"] = own.reasons
