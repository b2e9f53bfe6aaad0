"""The section on training: its figures, or why one is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from mfdask.evaluation.calibration import measure_calibration
from mfdask.figures.figure import Figure, Missing, Section
from mfdask.models import Ability, Model
from mfdask.report.parts import slug
from mfdask.report.training import sweeps, trials
from mfdask.report.training.tiers import Tiers, read_tiers
from mfdask.shards import Dataset

Parts = Iterator[Figure | Missing]


def training_section(
    models: Mapping[str, Model],
    data: Dataset | None = None,
    *,
    tiers: Path | None = None,
    searches: Sequence[Path] = (),
) -> Section:
    """Return the figures of how models were learned.

    Parameters
    ----------
    models : mapping of str to Model
        By the names that they go by on the page.
    data : Dataset, optional
        With held-out ratings, for the calibration of Bayesian models.
    tiers : Path, optional
        What `mfdask bench tiers --json` printed.
    searches : sequence of Path
        Tables of trials that `mfdask tune` has written.

    Raises
    ------
    InputError
        If a file is not what it should be.
    """
    tried = [trials.read_trials(file) for file in searches]
    parts = [*_fits(models), *_samplers(models, data), _tiers(tiers), *_searches(tried)]
    intro = "How the models were learned, and what was tried before."
    return Section("training", "Training", intro, parts)


def _fits(models: Mapping[str, Model]) -> Parts:
    if not models:
        yield Missing("sweeps", "Training by sweep", "No model is given.")
        return
    history, names = sweeps.history_table(models), list(models)
    minimising = {name: model for name, model in models.items() if model.can(Ability.OBJECTIVE)}
    errors, ranked = sweeps.errors_table(history), history[["model", "sweep", "test_auc"]].dropna()
    if len(errors):
        yield sweeps.TrainingErrors(errors, names)
    if len(ranked):
        yield sweeps.TrainingAUC(ranked.reset_index(drop=True), names)
    if minimising:
        own = sweeps.history_table(minimising)
        yield sweeps.Objective(own[["model", "sweep", "objective"]], names)
    yield sweeps.Seconds(history[["model", "sweep", "seconds"]], names)


def _samplers(models: Mapping[str, Model], data: Dataset | None) -> Parts:
    samplers = {name: model for name, model in models.items() if model.can(Ability.DEVIATIONS)}
    if not samplers:
        yield Missing("sampler", "Running RMSE, noise, intervals", "No model is Bayesian.")
        return
    history, names = sweeps.history_table(samplers), list(models)
    running = sweeps.running_table(samplers)
    if len(running):
        yield sweeps.RunningError(running, names)
    yield sweeps.NoisePrecision(sweeps.noise_table(history), names)
    rhat = sweeps.rhat_table(samplers)
    if len(rhat):
        yield sweeps.SplitRhat(rhat, names)
    for name, model in samplers.items():
        yield _calibration(name if len(samplers) > 1 else "", model, data)


def _calibration(label: str, model: Model, data: Dataset | None) -> Figure | Missing:
    if data is None or not data.n_test:
        kind = sweeps.Calibration
        return Missing(kind.name, kind.title, "Nothing is held out to hold the intervals against.")
    made = sweeps.Calibration(sweeps.calibration_table(measure_calibration(model, data)))
    if label:
        made.name, made.title = f"{made.name}-{slug(label)}", f"{made.title}: {label}"
    return made


def _tiers(file: Path | None) -> Figure | Missing:
    if file is None:
        why = "No measured tiers are given; save what `mfdask bench tiers DATA --json` prints."
        return Missing(Tiers.name, Tiers.title, why)
    return Tiers(*read_tiers(file))


def _searches(tables: Sequence[pd.DataFrame]) -> Parts:
    """Yield what fits each search: a sweep over factors, a grid, and always its history."""
    if not tables:
        why = "No table of trials is given; `mfdask tune` writes one."
        yield Missing("trials", "Searches for parameters", why)
    for k, table in enumerate(tables, 1):
        own: list[Figure] = [trials.TrialHistory(trials.history_of(table))]
        if trials.searched(table) == ["factors"]:
            own.append(trials.FactorSweep(trials.factors_table(table)))
        if trials.is_grid(table):
            own.append(trials.Facets(trials.facets_table(table)))
        for figure in own:
            if k > 1:
                figure.name += f"-{k}"
        yield from own
