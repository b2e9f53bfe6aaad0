"""The lifetime-value study: activity or spending of each active user within the horizon.

What is foretold is active days, or a column of amounts that the user of this module names. Ratings
are not money, and nothing here makes them so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.everyone import everyone_by_value
from mfdask.downstream.customers.future import future_days, future_spend
from mfdask.downstream.customers.learners import as_told, boosted_amount
from mfdask.downstream.customers.metrics import VALUE_METRICS, value_measure
from mfdask.downstream.customers.outlook import NAMES, Purchases
from mfdask.downstream.customers.result import ScoreKind, segments
from mfdask.downstream.customers.rfm import RFM
from mfdask.downstream.customers.rolling import FULL, PLAIN, Candidate
from mfdask.downstream.customers.spend import SPEND, Spend
from mfdask.downstream.customers.study import (
    Study,
    StudyKind,
    StudyOptions,
    check_study,
    conclude,
    features_of,
)
from mfdask.downstream.customers.tables import FeatureTable
from mfdask.models import Model
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset


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
    BG/NBD and MBG/NBD, boosted trees on the dates alone and on dates and factors are tested at each
    cut-off after learning from earlier ones; the one with the least squared error at cut-offs that
    were over by then scores the cohort. The purchase model that was nearer scores the others. For
    amounts, its days with a purchase are multiplied by what the user spends on one (Gamma-Gamma).

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
    features = features_of(data, model, origins, choices, scratch, client, progress)
    came = future_days(data, origins, client) if not spend else future_spend(data, origins, spend)
    own = {
        each.cutoff: Purchases.of(each.everyone, each.cutoff, origins.horizon, spend)
        for each in features
    }
    everyone = everyone_by_value(features, origins, own, came, choices.discount)
    labelled = {each.cutoff: _labelled(each, own[each.cutoff], came, spend) for each in features}
    candidates = value_candidates(features[-1].latent_columns, list(SPEND) if spend else [])
    score = ScoreKind(
        "expected_value", "segment", segments, "Float64" if spend else "Int32", "{:+,.2f}"
    )
    kind, least = StudyKind(value_measure, VALUE_METRICS, score), choices.min_cohort
    return conclude(features, labelled, origins, candidates, kind, least, everyone, progress)


def _labelled(
    table: FeatureTable, own: Purchases, came: pd.DataFrame, spend: Spend | None
) -> pd.DataFrame:
    """Return a cohort with what the purchase models expect, and its label where that is known."""
    users, cutoff = table.cohort["user_id"], table.cutoff
    told = {
        name: own.expected(modified, pd.Index(users)).to_numpy() for modified, name in NAMES.items()
    }
    amounts = spend.features(cutoff, users) if spend else {}
    label = came[cutoff].reindex(users).to_numpy(np.float64) if cutoff in came else np.nan
    return table.cohort.assign(**amounts, **told, label=label)


def value_candidates(latent_columns: list[str], more: list[str]) -> list[Candidate]:
    """Return the purchase models, and the boosted trees with both feature sets.

    Parameters
    ----------
    latent_columns : list of str
        The features that rest on factors.
    more : list of str
        Further plain features.
    """
    plain = [*RFM, *more]
    return [
        *(Candidate(name, "dates", [name], as_told) for name in NAMES.values()),
        Candidate("boosting", PLAIN, plain, boosted_amount),
        Candidate("boosting", FULL, [*plain, *latent_columns], boosted_amount),
    ]
