"""The lifetime-value study: activity or spending of each active user within the horizon.

What is foretold is active days, or a column of amounts that the user of this module names. Ratings
are not money, and nothing here makes them so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.bgnbd import BGNBD, Rhythm
from mfdask.downstream.customers.future import future_days
from mfdask.downstream.customers.learners import Predictor, boosted_amount
from mfdask.downstream.customers.metrics import VALUE_METRICS, value_measure
from mfdask.downstream.customers.origins import Origins
from mfdask.downstream.customers.rfm import RFM
from mfdask.downstream.customers.rolling import FULL, PLAIN, Candidate
from mfdask.downstream.customers.spend import SPEND, Spend
from mfdask.downstream.customers.study import Study, StudyKind, StudyOptions, check_study, conclude
from mfdask.downstream.customers.tables import RHYTHM, FeatureTable, feature_tables
from mfdask.downstream.events import DAY
from mfdask.kernels.types import Float64s
from mfdask.models import Model
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset

#: The column of the baseline, which is no feature of the others.
BASELINE = "bgnbd"
#: Users that BG/NBD is fitted on at most; its four parameters do not need more.
_MOST_USERS = 20_000
_WEEK = 7.0


def study_ltv(
    data: Dataset,
    model: Model,
    choices: StudyOptions,
    scratch: Path,
    *,
    spend: Spend | None = None,
    client: Client | None = None,
    progress: Progress = silent,
) -> Study:
    """Make the lifetime value table of a cut-off.

    The label is the number of active days in the horizon after the cut-off, or what is spent in it.
    BG/NBD (a column `bgnbd`, of all users' dates before the cut-off), boosted trees on the dates
    alone and on dates and factors are tested at each cut-off after learning from earlier ones; the
    one with the least squared error at cut-offs that were over by then scores the table. For
    amounts, BG/NBD's days are multiplied by what the user has spent a day so far.

    Parameters
    ----------
    data : Dataset
        On disk, with times.
    model : Model
        Of kind ``als`` or ``genre``, learned from `data`.
    choices : StudyOptions
    scratch : Path
        A folder that the workers can write to; nothing stays there.
    spend : Spend, optional
        By default the label is active days. The horizon has passed where both ratings and spend
        reach beyond it.
    client : distributed.Client, optional
    progress : Progress, optional

    Returns
    -------
    Study

    Raises
    ------
    InputError, RefusedError
        As `study_churn`.
    """
    origins = check_study(data, model, choices, "ltv", spend)
    features = feature_tables(data, model, origins, choices.as_of, scratch, client, progress)
    days = future_days(data, origins, client) if spend is None else None
    labelled = {each.cutoff: _labelled(each, origins, days, spend) for each in features}
    candidates = value_candidates(features[-1].latent_columns, list(SPEND) if spend else [])
    kind = StudyKind(value_measure, VALUE_METRICS, "Float64" if spend else "Int32")
    return conclude(features, labelled, origins, candidates, kind, choices.min_cohort, progress)


def _labelled(
    table: FeatureTable, origins: Origins, days: pd.DataFrame | None, spend: Spend | None
) -> pd.DataFrame:
    """Return a cohort with its baseline, and its label where that is known."""
    made, users, cutoff = table.cohort.copy(), table.cohort["user_id"], table.cutoff
    baseline = expected_days(table, origins.horizon / DAY)
    label: Float64s | float = np.nan
    if spend is not None:
        for name, values in spend.features(cutoff, users).items():
            made[name] = values
        baseline *= (made["spend"] / made["active_days"]).to_numpy()
        if origins.passed(cutoff):
            label = spend.between(cutoff, cutoff + origins.horizon, users)
    elif days is not None and cutoff in days:
        label = days[cutoff].reindex(users).to_numpy(np.float64)
    return made.assign(**{BASELINE: baseline, "label": label})


def expected_days(table: FeatureTable, horizon_days: float) -> Float64s:
    """Return the active days that BG/NBD expects of each user of a cohort.

    It is fitted on everybody, for the cohort alone is chosen by what the model is to explain.
    """
    everyone = table.everyone
    if len(everyone) > _MOST_USERS:
        everyone = everyone.sample(_MOST_USERS, random_state=0)
    fitted = BGNBD.fit(rhythm(everyone))
    return fitted.expected(rhythm(table.cohort), horizon_days / _WEEK)


def rhythm(users: pd.DataFrame) -> Rhythm:
    """Return what BG/NBD knows of users, in weeks: active days count as what they come back for."""
    weeks = {name: users[name].to_numpy(np.float64) / _WEEK for name in users if name in RHYTHM}
    age, returns = weeks["tenure_days"], users["active_days"].to_numpy(np.float64) - 1
    recency = np.maximum(age - weeks["recency_days"], 0.0)
    return Rhythm(returns, np.where(returns > 0, recency, 0.0), age)


def value_candidates(latent_columns: list[str], more: list[str]) -> list[Candidate]:
    """Return the baseline and the boosted trees with both feature sets.

    Parameters
    ----------
    latent_columns : list of str
        The features that rest on factors.
    more : list of str
        Further plain features.
    """
    plain = [*RFM, *more]
    return [
        Candidate("BG/NBD", "dates", [BASELINE], _as_told),
        Candidate("boosting", PLAIN, plain, boosted_amount),
        Candidate("boosting", FULL, [*plain, *latent_columns], boosted_amount),
    ]


def _as_told(features: pd.DataFrame, label: Float64s) -> Predictor:
    return lambda later: later[BASELINE].to_numpy(np.float64)
