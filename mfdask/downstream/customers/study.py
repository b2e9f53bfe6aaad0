"""The common steps of the churn and lifetime-value studies, and the tables that they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from mfdask.downstream.customers.columns import description
from mfdask.downstream.customers.everyone import Everyone
from mfdask.downstream.customers.kept import kept_features
from mfdask.downstream.customers.learners import as_told
from mfdask.downstream.customers.metrics import Measure, by_decile, calibration_slope
from mfdask.downstream.customers.origins import LATEST, Origins, Span, day_of
from mfdask.downstream.customers.reasons import contributions, in_words
from mfdask.downstream.customers.refit import AS_OF, check_model
from mfdask.downstream.customers.result import Scored, ScoreKind, result_table
from mfdask.downstream.customers.rolling import (
    Candidate,
    Forecast,
    best_before,
    evaluate_candidates,
    forecasts,
    require_both,
)
from mfdask.downstream.customers.spend import Spend
from mfdask.downstream.customers.tables import FeatureTable, feature_tables, require_cohort
from mfdask.downstream.events import require_timestamps, warn_of_lost_repeats
from mfdask.errors import InputError
from mfdask.files import file_place
from mfdask.kernels.types import Float64s
from mfdask.models import Ability, Model
from mfdask.models.factor_model import require_factors
from mfdask.parameters import Parametrised, parameter
from mfdask.progress import Progress, silent
from mfdask.results import write_table
from mfdask.shards import Dataset
from mfdask.sheets import SHEETS, write_sheet


@dataclass(frozen=True)
class StudyOptions(Parametrised):
    """Options of a study."""

    cutoff: str = parameter(
        LATEST,
        "YYYY-MM-DD: scores use only what happened before its UTC midnight; latest: the day of "
        "the last rating.",
        metavar="DATE",
    )
    horizon_days: int = parameter(
        90, "Days after the cut-off that the score is about.", "horizon", at_least=1
    )
    origins: int = parameter(
        6,
        "Most earlier cut-offs to learn from and test on; 0 writes features without scores.",
        at_least=0,
    )
    step_days: int | None = parameter(
        None, "Days between two cut-offs.  [default: the horizon]", "step", at_least=1
    )
    as_of: str = parameter(
        AS_OF[0],
        "refit: learn factors anew at each cut-off; fold-in: take the model's items, which must "
        "not have seen beyond the first cut-off.",
        "factors-as-of",
        choices=AS_OF,
    )
    discount: float = parameter(
        0.1, "ltv: yearly rate by which later value counts less, in `discounted_value`.", at_least=0
    )
    features: str | None = parameter(
        None,
        "Folder that keeps the features of the cut-offs: churn and ltv of the same data, model and "
        "cut-offs, told the same folder, make them once.",
        metavar="FOLDER",
    )
    min_cohort: int = parameter(
        20, "Refuse to score, or to learn from, fewer users than this.", at_least=2
    )

    def cutoffs(self, span: Span) -> Origins:
        """Return the cut-offs in data of that span."""
        step = self.horizon_days if self.step_days is None else self.step_days
        return Origins.choose(span, self.cutoff, self.horizon_days, self.origins, step)


@dataclass(frozen=True)
class StudyKind:
    """Metrics and label type of a kind of study.

    Attributes
    ----------
    measure : callable
        Prepares the metrics of labels and predictions.
    metrics : tuple of str
        Their names.
    score : ScoreKind
        What is scored.
    binary : bool
        Whether labels are 0 and 1, and predictions probabilities.
    """

    measure: Callable[[Float64s, Float64s], Measure]
    metrics: tuple[str, ...]
    score: ScoreKind
    binary: bool = False


@dataclass(frozen=True)
class Study:
    """Tables and predictions that a study results in.

    Attributes
    ----------
    table : DataFrame
        One line for each user who had done anything, ascending by id; `columns.COLUMNS` says what
        each column is.
    evaluation : DataFrame or None
        See `rolling.evaluate_candidates`; None where nothing was learned.
    cohorts : list of dict
        `cutoff`, `users`, and the mean `label` (None where it is not known) of each cut-off.
    forecasts : list of Forecast
    scored_by : Candidate or None
    slopes : dict
        Recalibration slope of each candidate, pooled over the tested cut-offs; None where there is
        none, and empty where labels are not 0 and 1.
    survival : DataFrame
        `band`, `users`, `week`, `active`: the mean probability of being active, by week.
    rhythm : dict
        `Everyone.facts` of those who are not in the cohort.
    """

    table: pd.DataFrame
    evaluation: pd.DataFrame | None
    cohorts: list[dict[str, Any]]
    forecasts: list[Forecast]
    scored_by: Candidate | None = None
    slopes: dict[str, float | None] = field(default_factory=dict)
    survival: pd.DataFrame = field(default_factory=pd.DataFrame)
    rhythm: dict[str, Any] = field(default_factory=dict)

    @property
    def calibration(self) -> dict[str, float] | None:
        """The line by which the scores of the cohort were moved, if they were."""
        lines = self.forecasts[-1].calibrations if self.forecasts and self.scored_by else {}
        return lines[self.scored_by.name]._asdict() if self.scored_by and lines else None

    def deciles(self) -> list[dict[str, float]]:
        """Return how the predictions of the candidate that scores the table have borne out."""
        return by_decile(*_tested(self.forecasts, self.scored_by)) if self.scored_by else []

    def write(self, out: Path) -> Path | None:
        """Write the table to `out`, the others beside it; return the place of the evaluation.

        The table is Parquet, or what the ending of `out` says: ``.csv`` or ``.xlsx``.
        """
        if out.suffix in SHEETS:
            write_sheet(self.table, out)
        else:
            write_table(self.table, out, description)
        write_table(self.survival, out.with_name(f"{out.stem}.survival.parquet"))
        if self.evaluation is None:
            return None
        if deciles := self.deciles():
            write_table(pd.DataFrame(deciles), out.with_name(f"{out.stem}.deciles.parquet"))
        beside = out.with_name(f"{out.stem}.evaluation.parquet")
        write_table(self.evaluation, beside)
        return beside


def _tested(found: Sequence[Forecast], candidate: Candidate) -> tuple[Float64s, Float64s]:
    """Return the labels and a candidate's predictions at all tested cut-offs, one after another."""
    known = [(each.label, each.scores[candidate.name]) for each in found if each.label is not None]
    labels, scores = zip(*known, strict=True)
    return np.concatenate(labels), np.concatenate(scores)


def _slopes(found: Sequence[Forecast], candidates: Sequence[Candidate]) -> dict[str, float | None]:
    slopes = {each.name: calibration_slope(*_tested(found, each)) for each in candidates}
    return {name: slope if np.isfinite(slope) else None for name, slope in slopes.items()}


def check_study(
    data: Dataset, model: Model, choices: StudyOptions, job: str, spend: Spend | None = None
) -> Origins:
    """Return the cut-offs of a study, once all that can be told beforehand is in order.

    Raises
    ------
    InputError
        If the ratings have no times, the cut-off is outside them, the model cannot serve, or the
        spend is of nobody known.
    """
    require_timestamps(data, job)
    warn_of_lost_repeats(data, job)
    span = Span.of(data)
    if spend is not None:
        spend.require_known(data.users()["user_id"])
        span = Span(max(span.first, spend.span.first), min(span.last, spend.span.last))
    origins = choices.cutoffs(span)
    check_model(model, data, origins, choices.as_of)
    return origins


def features_of(
    data: Dataset,
    model: Model,
    origins: Origins,
    choices: StudyOptions,
    scratch: Path,
    client: Client | None,
    progress: Progress,
) -> list[FeatureTable]:
    """Return the feature tables of a study, made or kept; refuse a last cohort that is too small.

    Raises
    ------
    InputError, RefusedError
    """
    learned = require_factors(model, "a table about users", Ability.SINGLE_VECTORS)
    make = partial(feature_tables, data, learned, origins, choices.as_of, scratch, client, progress)
    if choices.features is None:
        found = make()
    else:
        kept = Path(choices.features)
        found = kept_features(kept, data, learned, origins, choices.as_of, make)
    require_cohort(found[-1], choices.min_cohort)
    return found


def check_out(out: Path) -> None:
    """Refuse what is there and no file, before the work rather than after it, and make its parent.

    Raises
    ------
    InputError
    """
    file_place(out)
    out.parent.mkdir(parents=True, exist_ok=True)


def conclude(
    features: list[FeatureTable],
    labelled: dict[int, pd.DataFrame],
    origins: Origins,
    candidates: Sequence[Candidate],
    kind: StudyKind,
    least: int,
    everyone: Everyone,
    progress: Progress = silent,
) -> Study:
    """Learn, test and score.

    Parameters
    ----------
    features : list of FeatureTable
    labelled : dict
        For each cut-off its cohort with features and `label`, NaN where that is not known.
    origins : Origins
    candidates : sequence of Candidate
        The first is the one to fall back on.
    kind : StudyKind
    least : int
        Users of the cohort to score, and to learn from, at least.
    everyone : Everyone
    progress : Progress, optional

    Raises
    ------
    InputError
        If the last cohort is too small, there is too little to learn from, all labels are the same,
        or nothing can be tested.
    """
    own, latent = labelled[origins.cutoff], features[-1].latent_columns
    version = features[-1].version

    def made(scored: Scored, *rest: Any) -> Study:
        table = result_table(scored, everyone, origins, kind.score)
        groups = table.set_index("user_id")[kind.score.band]
        survival = everyone.survival(groups).rename(columns={"group": "band"})
        return replace(Study(table, *rest), survival=survival, rhythm=everyone.facts)

    cohorts = [
        {"cutoff": day_of(cutoff), "users": len(table), "label": _mean(table["label"])}
        for cutoff, table in labelled.items()
    ]
    if not origins.earlier:
        return made(Scored(own, latent, None, None, "", version), None, cohorts, [])
    n_known = sum(len(labelled[origin]) for origin in origins.before(origins.cutoff))
    if n_known < least:
        raise InputError(
            "the cohorts of the earlier cut-offs whose horizon ended before "
            f"{day_of(origins.cutoff)} hold {n_known:,} users, fewer than {least}; give more "
            "`origins`, shorter `horizon_days`, or 0 `origins` for the features alone"
        )
    require_both(labelled, origins)
    found = forecasts(labelled, origins, candidates, least, progress, kind.binary)
    evaluation = evaluate_candidates(found, candidates, kind.measure, kind.metrics)
    chosen = best_before(found, origins, candidates)
    slopes = _slopes(found, candidates) if kind.binary else {}
    reasons = _reasons(found[-1], chosen, own, kind.score.unit)
    scored = Scored(own, latent, found[-1].scores[chosen.name], reasons, chosen.name, version)
    return made(scored, evaluation, cohorts, found, chosen, slopes)


def _reasons(last: Forecast, chosen: Candidate, own: pd.DataFrame, unit: str) -> list[str] | None:
    """Return the largest contributions to each score; None where a purchase model has made it."""
    if chosen.learn is as_told:
        return None
    features = own[chosen.columns]
    return in_words(contributions(last.predictors[chosen.name], features), features, unit)


def _mean(label: pd.Series) -> float | None:
    return None if label.isna().any() or not len(label) else float(label.mean())
