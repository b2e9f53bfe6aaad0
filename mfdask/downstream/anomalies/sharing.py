"""Detection of accounts that more than one person seems to use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.calibration import false_discovery, tail_evidence
from mfdask.downstream.anomalies.people import People, compare_people
from mfdask.downstream.anomalies.residuals import Residuals
from mfdask.downstream.anomalies.sessions import Sessions, find_sessions
from mfdask.downstream.events import Events, active_days
from mfdask.errors import require
from mfdask.kernels import people as kernel
from mfdask.kernels.types import Float64s

#: Accounts of like length are compared in so many groups.
_GROUPS = 10
#: Orders of the sessions that a hand-over is held against.
_SHUFFLES = 99


def suspected_sharing(
    events: Events,
    n_items: int,
    residuals: Residuals | None = None,
    *,
    max_q: float = 0.05,
    min_days: int = 3,
    seed: int = 42,
) -> pd.DataFrame:
    """Return how much each account looks like that of several people, the likeliest first.

    A session is described by what was chosen and how it was rated. From all accounts is learned how
    much the sessions of one person differ and how much people do; the score is the log evidence
    for a session being another person's than the account's other sessions, mean over the sessions.

    Parameters
    ----------
    events : Events
        Of all users, from `all_events`.
    n_items : int
    residuals : Residuals, optional
        Of the same events; only `residual_support` needs them.
    max_q : float
        The share of false ones among the flagged accounts that is put up with, in (0, 1).
    min_days : int
        Accounts with fewer active days, or with one session, are not judged.
    seed : int
        Of the shuffling.

    Returns
    -------
    DataFrame
        One line an account that could be judged: `user` (row), `score`, `flagged`,
        `dispersion_percentile` (of how different its choices are, among accounts of like length),
        `handover_evidence` (log, for a second person from some day on), `handover` (UTC date, the
        likeliest), `handover_p` (of as much evidence if the sessions came in any order),
        `n_sessions`, `active_days`, `n_ratings`, `residual_support` (error of the rating model on
        this account over that on all; NaN without residuals), `p` (that an account of one person
        scores as high: `tail_evidence`, learned from the bulk of accounts with about as many
        sessions), `q` (Benjamini-Hochberg), `expected_false_per_1000` (``1000 p``), `reason`.

    Raises
    ------
    InputError
        If `max_q` is no such share.
    """
    require(0 < max_q < 1, "max_q", max_q, "a share between 0 and 1")
    sessions = find_sessions(events, n_items)
    people = compare_people(sessions)
    found = np.empty((len(events.indptr) - 1, 3))
    kernel.weigh_accounts(sessions.indptr, people.precision, people.means, people.variance, found)
    table = _table(events, sessions, found)
    table["residual_support"] = np.nan if residuals is None else _misfit(residuals, len(table))
    table["handover_p"] = _handover_chance(sessions, people, found, seed)
    table = table[(table["active_days"] >= min_days) & (table["n_sessions"] > 1)].copy()
    table["p"] = _chance(table)
    table["q"] = false_discovery(table["p"].to_numpy(), len(table))
    table["expected_false_per_1000"] = 1000 * table["p"]
    table["flagged"] = table["q"] <= max_q
    table["dispersion_percentile"] = _percentile_among_alike(table)
    table["reason"] = [_reason(line) for line in table.itertuples()]
    return table.sort_values(["score", "user"], ascending=[False, True], ignore_index=True)


def _table(events: Events, sessions: Sessions, found: Float64s) -> pd.DataFrame:
    """Return a line for every account."""
    n_users = len(found)
    place = sessions.indptr[:-1] + found[:, kernel.PLACE].astype(np.int64)
    place = np.minimum(place, len(sessions.first) - 1)  # users without events
    seconds = events.timestamps[sessions.first[place]]
    return pd.DataFrame(
        {
            "user": np.arange(events.start, events.start + n_users, dtype=np.int32),
            "score": found[:, kernel.STRANGENESS],
            "dispersion": sessions.dispersion,
            "handover_evidence": found[:, kernel.HANDOVER],
            "handover": pd.to_datetime(seconds, unit="s").floor("D"),
            "n_sessions": np.diff(sessions.indptr),
            "active_days": active_days(events.indptr, events.timestamps),
            "n_ratings": np.diff(events.indptr),
        }
    )


def _chance(table: pd.DataFrame) -> Float64s:
    """Return how likely each score is of one person; up to the median nothing is said."""
    if table.empty:
        return np.zeros(0)
    above = (table["score"] - table["score"].median()).clip(lower=0.0).to_numpy()
    return np.asarray(10.0 ** -tail_evidence(above, table["n_sessions"].to_numpy()))


def _misfit(residuals: Residuals, n_users: int) -> Float64s:
    """Return the root mean square error of each account over that of all."""
    square = np.square(residuals.error, dtype=np.float64)
    n = np.maximum(np.bincount(residuals.users, minlength=n_users), 1)
    return np.sqrt(np.bincount(residuals.users, square, n_users) / n / square.mean())


def _handover_chance(sessions: Sessions, people: People, found: Float64s, seed: int) -> Float64s:
    """Return how often as much evidence for a hand-over is there with the sessions shuffled."""
    random = np.random.default_rng(seed)
    counts = np.ones(len(found), np.int64)
    evidence = np.ascontiguousarray(found[:, kernel.HANDOVER])
    for _ in range(_SHUFFLES):
        keys = random.random(len(sessions.n), np.float32)
        kernel.count_shuffled(
            sessions.indptr, people.precision, people.means, people.variance, keys, evidence, counts
        )
    return counts / (_SHUFFLES + 1)


def _percentile_among_alike(table: pd.DataFrame) -> pd.Series:
    """Return the percentile of each account's dispersion among those of like length."""
    order = table["n_ratings"].rank(method="first")
    group = np.ceil(_GROUPS * order / max(len(table), 1))
    return table.pop("dispersion").groupby(group).rank(pct=True) * 100


def _reason(line: Any) -> str:
    """Say what was found in one sentence."""
    return (
        f"its {line.n_sessions} sessions differ more than those of all but "
        f"{line.expected_false_per_1000:.4g} in 1,000 accounts; choices more varied than in "
        f"{line.dispersion_percentile:.0f} % of like length; likeliest hand-over "
        f"{line.handover:%Y-%m-%d} (p = {line.handover_p:.2f})"
    )
