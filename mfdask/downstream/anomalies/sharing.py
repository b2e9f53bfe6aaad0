"""Detection of accounts that more than one person seems to use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from mfdask.downstream.anomalies.calibration import alike, false_discovery, share_beyond
from mfdask.downstream.anomalies.people import People, compare_people
from mfdask.downstream.anomalies.residuals import Residuals
from mfdask.downstream.anomalies.sessions import Sessions, find_sessions
from mfdask.downstream.events import Events, active_days, runs_of
from mfdask.errors import require
from mfdask.kernels import people as kernel
from mfdask.kernels.types import Float64s, Int64s

#: Accounts of like length are compared in so many groups.
_GROUPS = 10
#: Orders of the sessions that a hand-over is held against.
_SHUFFLES = 99
#: Accounts of one person are drawn until there are so many, and how often each at least and most.
_DRAWN, _DRAWS = 20_000, (4, 99)
#: What is usual is learned between the median and this quantile of scores: who share lie above.
_BULK = 0.85
#: Largest deviation of the logarithm of how much people's moods vary, and places it is weighed at.
_WIDEST, _NODES = 2.0, 15


def suspected_sharing(
    events: Events,
    n_items: int,
    *,
    max_q: float = 0.05,
    min_days: int = 2,
    seed: int = 42,
    flagged_alone: bool = False,
    vectors: Float64s | None = None,
) -> pd.DataFrame:
    """Return how much each account looks like that of several people, the likeliest first.

    A session is described by what was chosen and how it was rated. From all accounts is learned how
    much the sessions of one person differ and how much people do. The log evidence for a session
    being another person's than the account's other sessions, mean over the sessions, is held
    against that of one person with as many sessions as long: the score.

    Parameters
    ----------
    events : Events
        Of all users, from `all_events`.
    n_items : int
    max_q : float
        The share of false ones among the flagged accounts that is put up with, in (0, 1).
    min_days : int
        Accounts with fewer active days, or with one session, are not judged.
    seed : int
        Of the shuffling.
    flagged_alone : bool
        Whether accounts that are not flagged are spared what takes long: their `handover_p` and
        `reason` are missing.
    vectors : float64 (items, size), optional
        `choice_vectors` of the events, where they are known already.

    Returns
    -------
    DataFrame
        One line an account that could be judged: `user` (row), `score` (standard deviations above
        what is usual of one person), `flagged`, `dispersion_percentile` (of how different its
        choices are, among accounts of like length), `handover_evidence` (log, for a second person
        from some day on), `handover` (UTC date, the likeliest), `handover_p` (of as much evidence
        if the sessions came in any order), `n_sessions`, `active_days`, `n_ratings`,
        `residual_support` (NaN: the function of that name tells it), `p` (that an account of one
        person scores as high, see `_chance`), `q` (Benjamini-Hochberg), `expected_false_per_1000`
        (``1000 p``), `second_sessions` (of flagged accounts: when the sessions begin that are
        rather the second person's, who has rated less; UTC), `second_share` (of the ratings; NaN if
        not flagged), `reason`.

    Raises
    ------
    InputError
        If `max_q` is no such share.
    """
    require(0 < max_q < 1, "max_q", max_q, "a share between 0 and 1")
    sessions = find_sessions(events, n_items, vectors)
    people = compare_people(sessions)
    found = np.empty((len(events.indptr) - 1, 3))
    kernel.weigh_accounts(sessions.indptr, people.precision, people.means, people.variance, found)
    usual = np.empty((len(found), 2))
    kernel.usual_strangeness(sessions.indptr, people.precision, people.variance, usual)
    table = _table(events, sessions, found)
    table["score"] = _standardised(found, usual)
    table["residual_support"] = np.nan
    table = table[(table["active_days"] >= min_days) & (table["n_sessions"] > 1)].copy()
    drawn = _drawn(sessions, people, usual, table["user"].to_numpy() - events.start, seed)
    table["p"] = _chance(table["score"].to_numpy(), drawn, table["n_sessions"].to_numpy())
    table["q"] = false_discovery(table["p"].to_numpy(), len(table))
    table["expected_false_per_1000"] = 1000 * table["p"]
    table["flagged"] = table["q"] <= max_q
    table["dispersion_percentile"] = _percentile_among_alike(table)
    table[["second_sessions", "second_share"]] = _second_person(events, sessions, people, table)
    told = table[table["flagged"]] if flagged_alone else table
    users = told["user"].to_numpy() - events.start
    chance = _handover_chance(sessions, people, found, users, seed)
    table["handover_p"] = pd.Series(chance, told.index)
    reasons = [_reason(line) for line in table.loc[told.index].itertuples()]
    table["reason"] = pd.Series(reasons, told.index, dtype="object")
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
            "dispersion": sessions.dispersion,
            "handover_evidence": found[:, kernel.HANDOVER],
            "handover": pd.to_datetime(seconds, unit="s", utc=True).floor("D"),
            "n_sessions": np.diff(sessions.indptr),
            "active_days": active_days(events.indptr, events.timestamps),
            "n_ratings": np.diff(events.indptr),
        }
    )


def _standardised(found: Float64s, usual: Float64s) -> Float64s:
    """Return how strange accounts are, in standard deviations from one person's mean."""
    away = found[:, kernel.STRANGENESS] - usual[:, 0]
    return np.divide(away, usual[:, 1], out=np.zeros(len(away)), where=usual[:, 1] > 0)


def _drawn(
    sessions: Sessions, people: People, usual: Float64s, judged: Int64s, seed: int
) -> Float64s:
    """Return scores of accounts with the same sessions by one person, float64 (judged, draws)."""
    random = np.random.default_rng([seed, 1])
    owner = np.repeat(np.arange(len(usual)), np.diff(sessions.indptr))
    deviation = np.sqrt(people.variance)
    scores, found = [], np.empty((len(usual), 3))
    for _ in range(int(np.clip(-(-_DRAWN // max(len(judged), 1)), *_DRAWS))):
        centres = random.normal(size=(len(usual), len(deviation))) * deviation
        noise = random.normal(size=people.means.shape) / np.sqrt(people.precision)
        means = centres[owner] + noise
        kernel.weigh_accounts(sessions.indptr, people.precision, means, people.variance, found)
        scores.append(_standardised(found, usual)[judged])
    return np.stack(scores, axis=1)


def _chance(scores: Float64s, drawn: Float64s, n_sessions: Int64s) -> Float64s:
    """Return how likely each score is of one person, float64 (accounts,).

    The scores of accounts with about as many sessions are brought to the middle of drawn ones, but
    not stretched. Where all spread wider, as some people's moods vary more than others', drawn ones
    are taken times a log-normal factor, whose deviation is learned from the bulk: so the more that
    differs from drawn ones, the longer the tail.

    Parameters
    ----------
    scores : float64 (accounts,)
    drawn : float64 (accounts, draws)
    n_sessions : int64 (accounts,)
    """
    if not len(scores):
        return np.ones(0)
    groups = alike(n_sessions)
    above, by_chance = np.empty(len(scores)), []
    for rows in groups:
        above[rows] = scores[rows] - np.median(scores[rows])
        by_chance.append(np.sort(drawn[rows], axis=None) - np.median(drawn[rows]))
    deviation = _mood_deviation(above, np.sort(np.concatenate(by_chance)))
    p = np.empty(len(scores))
    for rows, own in zip(groups, by_chance, strict=True):
        p[rows] = _of_moods(above[rows], own, deviation)
    return p


def _mood_deviation(above: Float64s, drawn: Float64s) -> float:
    """Return the deviation of a log-normal factor that makes the bulk of draws as wide."""
    high = np.array([np.quantile(above, _BULK)])

    def excess(deviation: float) -> float:
        return float(_of_moods(high, drawn, deviation)[0]) - (1 - _BULK)

    if excess(0.0) >= 0:
        return 0.0
    return float(brentq(excess, 0.0, _WIDEST)) if excess(_WIDEST) > 0 else _WIDEST


def _of_moods(values: Float64s, drawn: Float64s, deviation: float) -> Float64s:
    """Return the share of draws times a log-normal factor that are as large (Gauss-Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    shares = [share_beyond(values / np.exp(deviation * node), drawn) for node in nodes]
    return np.asarray(weights @ np.array(shares) / weights.sum())


def _second_person(
    events: Events, sessions: Sessions, people: People, table: pd.DataFrame
) -> pd.DataFrame:
    """Return which sessions of flagged accounts are rather the second person's."""
    times = pd.to_datetime(events.timestamps[sessions.first], unit="s", utc=True)
    lines: list[tuple[list[pd.Timestamp], float]] = []
    for user, flagged in zip(table["user"] - events.start, table["flagged"], strict=True):
        own = slice(*sessions.indptr[user : user + 2])
        if not flagged:
            lines.append(([], np.nan))
            continue
        second = np.zeros(own.stop - own.start, np.bool_)
        kernel.split_account(people.precision[own], people.means[own], people.variance, second)
        share = sessions.n[own][second].sum() / sessions.n[own].sum()
        if share > 0.5:  # the second is who has rated less
            second, share = ~second, 1.0 - share
        lines.append((times[own][second].to_list(), float(share)))
    return pd.DataFrame(lines, index=table.index, columns=["second_sessions", "second_share"])


def residual_support(residuals: Residuals, n_users: int) -> Float64s:
    """Return the rating model's root mean square error of each account over that of all.

    float64 (users,).
    """
    n, square = np.zeros(n_users, np.int64), np.zeros(n_users)
    for run in runs_of(len(residuals.users)):
        n += np.bincount(residuals.users[run], minlength=n_users)
        own = np.square(residuals.error[run], dtype=np.float64)
        square += np.bincount(residuals.users[run], own, n_users)
    return np.sqrt(square / np.maximum(n, 1) / (square.sum() / n.sum()))


def _handover_chance(
    sessions: Sessions, people: People, found: Float64s, users: Int64s, seed: int
) -> Float64s:
    """Return how often as much evidence for a hand-over is there with the sessions shuffled.

    Of some users alone; the order of each one's sessions does not depend on who else is asked for.
    """
    random = np.random.default_rng(seed)
    counts = np.ones(len(users), np.int64)
    evidence = np.ascontiguousarray(found[users, kernel.HANDOVER])
    lengths = np.diff(sessions.indptr)[users]
    indptr = np.append(0, np.cumsum(lengths))
    places = np.repeat(sessions.indptr[users] - indptr[:-1], lengths) + np.arange(indptr[-1])
    precision, means = people.precision[places], people.means[places]
    for _ in range(_SHUFFLES):
        keys = random.random(len(sessions.n), np.float32)[places]
        kernel.count_shuffled(indptr, precision, means, people.variance, keys, evidence, counts)
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
