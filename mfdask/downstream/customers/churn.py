"""The churn study: which active users will not return within the horizon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.everyone import everyone_by_churn
from mfdask.downstream.customers.future import future_days
from mfdask.downstream.customers.learners import boosted_chance, logistic
from mfdask.downstream.customers.metrics import CHURN_METRICS, churn_measure
from mfdask.downstream.customers.result import ScoreKind, risks
from mfdask.downstream.customers.rfm import RFM
from mfdask.downstream.customers.rolling import FULL, PLAIN, Candidate
from mfdask.downstream.customers.study import (
    Study,
    StudyKind,
    StudyOptions,
    check_study,
    conclude,
    features_of,
)
from mfdask.models import Model
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


def study_churn(
    data: Dataset,
    model: Model,
    choices: StudyOptions,
    scratch: Path,
    *,
    client: Client | None = None,
    progress: Progress = silent,
) -> Study:
    """Make the churn table of a cut-off: features, probability of churn, and label where known.

    The label is 1 for a user without an event in the horizon after the cut-off. Logistic regression
    and boosted trees, on the dates alone and on dates and factors, are tested at each cut-off after
    learning from earlier ones; the one with the least Brier score at cut-offs that were over by
    then scores the cohort. BG/NBD or MBG/NBD scores the others.

    Parameters
    ----------
    data : Dataset
        On disk, with times.
    model : Model
        Of kind ``als`` or ``genre``, learned from `data`.
    choices : StudyOptions
    scratch : Path
        A folder that the workers can write to; nothing stays there.
    client : distributed.Client, optional
    progress : Progress, optional

    Returns
    -------
    Study

    Raises
    ------
    InputError
        If the data has no times, the cut-off is outside it, the model cannot serve, a cohort is too
        small, all labels are the same, or no cut-off can be tested.
    RefusedError
        If the disk is too small.
    """
    origins = check_study(data, model, choices, "churn")
    features = features_of(data, model, origins, choices, scratch, client, progress)
    days = future_days(data, origins, client)
    everyone = everyone_by_churn(features, origins, days)
    labelled = {
        each.cutoff: each.cohort.assign(label=_churned(days, each.cutoff, each.cohort["user_id"]))
        for each in features
    }
    candidates = churn_candidates(features[-1].latent_columns)
    least = choices.min_cohort
    return conclude(features, labelled, origins, candidates, KIND, least, everyone, progress)


def _churned(days: pd.DataFrame, cutoff: int, users: pd.Series) -> Any:
    if cutoff not in days:
        return np.nan
    return (days[cutoff].reindex(users).to_numpy() == 0).astype(np.float64)


SCORE = ScoreKind("p_churn", "risk", risks, "Int8", "{:+.2f}")
KIND = StudyKind(churn_measure, CHURN_METRICS, SCORE, binary=True)


def churn_candidates(latent_columns: list[str]) -> list[Candidate]:
    """Return both models with both feature sets, the plainest first."""
    sets = {PLAIN: list(RFM), FULL: [*RFM, *latent_columns]}
    return [
        Candidate(name, features, columns, learner)
        for name, learner in (("logistic", logistic), ("boosting", boosted_chance))
        for features, columns in sets.items()
    ]
