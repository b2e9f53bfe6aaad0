"""Rolling-origin evaluation: learn at earlier cut-offs, and test on the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.customers.learners import Learner, Predictor
from mfdask.downstream.customers.metrics import Measure, Recalibration, calibrate
from mfdask.downstream.customers.origins import Origins, day_of
from mfdask.errors import InputError
from mfdask.evaluation.bootstrap import intervals, resampled_weights
from mfdask.kernels.types import Float64s
from mfdask.progress import Progress, silent

#: Rows that one model is learned from at most, drawn evenly: more add hours and no accuracy.
MOST_ROWS = 200_000
RESAMPLES = 500
#: What a cut-off weighs of the next one: habits change.
OLDER = 0.7

#: The feature sets that are held against each other.
PLAIN, FULL = "rfm", "rfm + latent"


class Candidate(NamedTuple):
    """A predictor that is compared: an estimator and its features.

    Attributes
    ----------
    model : str
        Its name.
    features : str
        The name of its features.
    columns : list of str
    learn : callable
        Takes features, labels and weights, returns what predicts from features (`learners`).
    """

    model: str
    features: str
    columns: list[str]
    learn: Learner

    @property
    def name(self) -> str:
        """Return a name for both."""
        return f"{self.model}, {self.features}"


@dataclass(frozen=True)
class Forecast:
    """Predictions of all candidates for a cohort.

    Attributes
    ----------
    cutoff : int
    users : Index
        Raw ids.
    scores : dict
        Of each candidate's name, float64 (users,).
    label : float64 (users,), or None
        None where the horizon has not passed.
    trained_on : int
        Users and cut-offs that were learned from.
    predictors : dict
        What was learned, by the candidate's name.
    raw : dict
        Scores before they were recalibrated.
    calibrations : dict
        By what they were; empty where there was nothing to do it by.
    """

    cutoff: int
    users: pd.Index
    scores: dict[str, Float64s]
    label: Float64s | None
    trained_on: int
    predictors: dict[str, Predictor]
    raw: dict[str, Float64s] = field(default_factory=dict)
    calibrations: dict[str, Recalibration] = field(default_factory=dict)


def forecasts(
    tables: dict[int, pd.DataFrame],
    origins: Origins,
    candidates: Sequence[Candidate],
    least: int,
    progress: Progress = silent,
    binary: bool = False,
) -> list[Forecast]:
    """Learn at each cut-off from those before it whose horizon had passed by then, and predict.

    Each cut-off weighs `OLDER` of the one after it. Probabilities are then recalibrated: moved by
    the line that would have been right at the newest cut-off whose horizon had passed.

    Parameters
    ----------
    tables : dict
        For each cut-off its cohort: `user_id`, features, and `label`, missing where the horizon has
        not passed.
    origins : Origins
    candidates : sequence of Candidate
    least : int
        Users that there must be to learn from, over all earlier cut-offs; with fewer, a cut-off is
        passed over.
    progress : Progress, optional
    binary : bool
        Whether labels are 0 and 1, and predictions probabilities.

    Returns
    -------
    list of Forecast
        Ascending; without cut-offs that have nothing to learn from.
    """
    found: list[Forecast] = []
    for k, cutoff in enumerate(origins.all, 1):
        before = [tables[origin] for origin in origins.before(cutoff)]
        if sum(map(len, before)) >= max(least, 1):
            made = _forecast(cutoff, tables[cutoff], before, candidates)
            found.append(_recalibrated(made, found, origins) if binary else made)
        progress("forecasts", k, len(origins.all))
    return found


def _forecast(
    cutoff: int,
    table: pd.DataFrame,
    before: Sequence[pd.DataFrame],
    candidates: Sequence[Candidate],
) -> Forecast:
    newest = len(before) - 1
    weighed = [own.assign(_weight=OLDER ** (newest - k)) for k, own in enumerate(before)]
    known = pd.concat(weighed, ignore_index=True)
    if len(known) > MOST_ROWS:
        known = known.sample(MOST_ROWS, random_state=0).sort_index()
    label = known["label"].to_numpy(np.float64)
    weight = known["_weight"].to_numpy(np.float64)
    learned = {each.name: each.learn(known[each.columns], label, weight) for each in candidates}
    scores = {each.name: learned[each.name](table[each.columns]) for each in candidates}
    own = None if table["label"].isna().any() else table["label"].to_numpy(np.float64)
    return Forecast(cutoff, pd.Index(table["user_id"]), scores, own, len(known), learned, scores)


def _recalibrated(made: Forecast, found: Sequence[Forecast], origins: Origins) -> Forecast:
    """Return a forecast with the probabilities moved by what came of the newest one."""
    passed = [each for each in found if origins.passed(each.cutoff, made.cutoff)]
    if not passed or passed[-1].label is None:
        return made
    newest, label = passed[-1], passed[-1].label
    lines = {name: calibrate(label, newest.raw[name]) for name in made.raw}
    scores = {name: lines[name].apply(score) for name, score in made.raw.items()}
    return replace(made, scores=scores, calibrations=lines)


def best_before(
    found: Sequence[Forecast], origins: Origins, candidates: Sequence[Candidate]
) -> Candidate:
    """Return the candidate with the least squared error at cut-offs that the last one could know.

    The first candidate where there was no such cut-off.
    """
    tested = [each for each in found if origins.passed(each.cutoff, origins.cutoff)]

    def total(candidate: Candidate) -> float:
        return sum(
            float(np.mean((each.label - each.scores[candidate.name]) ** 2)) * len(each.users)
            for each in tested
            if each.label is not None
        )

    return min(candidates, key=total)


def evaluate_candidates(
    found: Sequence[Forecast],
    candidates: Sequence[Candidate],
    measure: Callable[[Float64s, Float64s], Measure],
    metrics: Sequence[str],
    seed: int = 0,
) -> pd.DataFrame:
    """Return each candidate's metrics over all tested cut-offs, and what the factors add.

    A metric is the mean over the cut-offs. Its interval is from drawing users again, with all that
    they have at any cut-off, the same draws for every candidate.

    Returns
    -------
    DataFrame
        `model`, `features`, `metric`, `value`, and `low` and `high`, the ends of a 95 % interval.
        Where `features` begins with ``gain`` the value is the difference of the full features to
        the plain ones.

    Raises
    ------
    InputError
        If no cut-off could be tested.
    """
    tested = [each for each in found if each.label is not None]
    if not tested:
        raise InputError(
            "no cut-off has both a label and earlier ones to learn from; choose an earlier "
            "`cutoff`, more `origins` or shorter `horizon_days`, or 0 `origins` for the features "
            "alone"
        )
    names = [each.name for each in candidates]
    measures = [
        [measure(each.label, each.scores[name]) for name in names]
        for each in tested
        if each.label is not None
    ]
    users = [each.users for each in tested]
    codes, everybody = pd.factorize(users[0].append(users[1:]))
    cuts = np.split(codes, np.cumsum([len(each) for each in users])[:-1])

    def overall(weights: Float64s) -> Float64s:
        """Return the mean metrics, float64 (resamples, candidates, metrics)."""
        found = []
        for line, cut in zip(measures, cuts, strict=True):
            there = np.ascontiguousarray(weights[:, cut])
            found.append([own(there) for own in line])
        return _mean(np.array(found)).swapaxes(0, 1)

    n = len(everybody)
    value = overall(np.ones((1, n)))[0]
    samples = np.concatenate([*map(overall, resampled_weights(n, RESAMPLES, seed))])
    return _lines(candidates, metrics, value, samples)


def _mean(values: Float64s) -> Float64s:
    """Return the mean along the first axis of what is not NaN; NaN where there is nothing."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _lines(
    candidates: Sequence[Candidate], metrics: Sequence[str], value: Float64s, samples: Float64s
) -> pd.DataFrame:
    """Put values and samples of (candidate, metric) into lines, gains last."""
    labels = [(each.model, each.features) for each in candidates]
    for own in dict.fromkeys(model for model, _ in labels):
        if {(own, PLAIN), (own, FULL)} <= set(labels):
            full, plain = labels.index((own, FULL)), labels.index((own, PLAIN))
            gain, drawn = value[full] - value[plain], samples[:, full] - samples[:, plain]
            value, samples = np.vstack([value, gain]), np.hstack([samples, drawn[:, None]])
            labels.append((own, f"gain over {PLAIN}"))
    low, high = intervals(samples)
    return pd.DataFrame(
        [
            (*label, metric, value[i, j], low[i, j], high[i, j])
            for i, label in enumerate(labels)
            for j, metric in enumerate(metrics)
        ],
        columns=["model", "features", "metric", "value", "low", "high"],
    )


def require_both(tables: dict[int, pd.DataFrame], origins: Origins) -> None:
    """Refuse labels that are all the same.

    Raises
    ------
    InputError
    """
    known = [table["label"].dropna() for table in tables.values()]
    labels = pd.concat(known).astype(float)
    if len(labels) and labels.nunique() == 1:
        days = origins.horizon // 86_400
        raise InputError(
            f"all {len(labels):,} labels of the cut-offs from {day_of(origins.all[0])} to "
            f"{day_of(origins.cutoff)} are {labels.iloc[0]:g}: there is nothing to tell apart; "
            f"choose other `horizon_days` than {days}, or another `cutoff`"
        )
