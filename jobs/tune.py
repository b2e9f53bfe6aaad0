"""Find good parameters for a data set, on a validation part of its training ratings."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd
from rich.table import Table
from rich.text import Text

from mfdask.cluster import ClusterConfig
from mfdask.models import kind_of
from mfdask.parameters import parameters_of
from mfdask.results import write_table
from mfdask.shards import Dataset
from mfdask.tuning import PRESETS, SearchSpace, Settings, Tuned, tune
from mfdask.tuning.space import train_options, tunable_kinds, tunable_of

from .common import Outcome, job, running, worth_starting
from .options import DATA, OUT_FILE, OUT_PARQUET, PATH, cluster_options, option_of, options_of
from .terminal import facts_table, table

_OWN = parameters_of(Settings)
_TUNABLE = "; ".join(f"{n}: {', '.join(tunable_of(kind))}" for n, kind in tunable_kinds().items())
#: Lines of the table that a person sees.
_SHOWN = 10


@click.command("tune", help=__doc__)
@click.argument("data", type=DATA)
@click.option(
    "--search",
    "specs",
    multiple=True,
    metavar="NAME=VALUES",
    help="Values (factors=5,10,20) or a range (tau=0.01..0.2) of a parameter; a single value is "
    f"kept. Give it once for each. {_TUNABLE}.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="paper-grid: lambda, gamma and tau, coarse and then fine; k-sweep: 0 to 80 factors.",
)
@option_of(_OWN["sampler"], shown="grid for a preset, else tpe", unset=True)
@click.option(
    "--model",
    default="als",
    show_default=True,
    type=click.Choice(list(tunable_kinds())),
    help="Kind of model to tune.",
)
@click.option("--item-features", type=PATH, help="As `mfdask train --item-features`.")
@click.option("--user-features", type=PATH, help="As `mfdask train --user-features`.")
@click.option(
    "--study",
    type=OUT_FILE,
    help="SQLite file of the trials; the next search goes on.  [default: output/tuning/DATA.db]",
)
@click.option(
    "--out",
    type=OUT_PARQUET,
    help="Parquet file for the table of trials.  [default: beside the study]",
)
@job
@options_of(Settings, "settings", omit=("sampler",))
@cluster_options
def main(
    data: str,
    specs: tuple[str, ...],
    preset: str | None,
    sampler: str | None,
    settings: Settings,
    model: str,
    item_features: Path | None,
    user_features: Path | None,
    study: Path | None,
    out: Path | None,
    cluster: ClusterConfig,
) -> Outcome:
    """Search, write the table of trials, and show the best."""
    search = SearchSpace.parse(specs, preset, model)
    settings = replace(settings, sampler=sampler or ("grid" if preset else "tpe"))
    if settings.sampler == "grid":
        search.points()  # a range is refused before a cluster is started
    kind = kind_of(model)
    base = kind.configure({"seed": settings.seed} if "seed" in kind.open_parameters else {})
    search.check(base)
    dataset = Dataset.open(data)
    study = study or Path("output/tuning") / f"{dataset.name}.db"
    out = out or study.with_suffix(".parquet")
    alone = settings.jobs == 1  # several trials at a time are for workers
    with running(worth_starting(cluster, dataset.n_train) if alone else cluster) as run:
        found = tune(
            dataset,
            search,
            study,
            base=base,
            settings=settings,
            item_features=item_features,
            user_features=user_features,
            client=run.client,
            progress=run.progress,
        )
    write_table(found.trials, out)
    return _outcome(found, data, study, out)


def _outcome(found: Tuned, data: str, study: Path, out: Path) -> Outcome:
    command = shlex.join(["mfdask", "train", data, *train_options(found.best)])
    states = found.trials["state"].value_counts()
    values: dict[str, Any] = {
        "trials": len(found.trials),
        "fresh_trials": found.fresh,
        "pruned_trials": int(states.get("pruned", 0)),
        "failed_trials": int(states.get("fail", 0)),
        "best": found.point,
        "objective": str(found.objective),
        "validation": found.validation,
        "test": found.test,
        "command": command,
        "study": str(study),
        "out": str(out),
    }
    if found.objective.of_ratings:
        values |= {"validation_rmse": found.validation, "test_rmse": found.test}
    return Outcome(values, [_best_trials(found), _summary(found, values), _broken(command)])


def _broken(command: str) -> Text:
    """Return a command in lines that a terminal leaves as they are, and a shell takes as one."""
    words = shlex.split(command)
    lines = [words[:3], *(words[n : n + 6] for n in range(3, len(words), 6))]
    return Text("\n" + " \\\n    ".join(map(shlex.join, lines)))


def _best_trials(found: Tuned) -> Table:
    # Parameters that are the same everywhere are in the command below.
    tried = {name: found.trials[name].nunique(dropna=False) for name in found.point}
    names = [name for name, n in tried.items() if n > 1]
    words = {name: own.none for name, own in tunable_of(kind_of(found.best.kind)).items()}
    column, objective = f"validation_{found.objective}", found.objective
    ordered = found.trials.sort_values(column, kind="stable", ascending=objective.of_ratings)
    title = f"best of {len(found.trials)} trials"
    view = table(title, "trial", *names, f"validation {objective.label}", "")
    for line in ordered.head(_SHOWN).to_dict("records"):
        value = line[column]
        view.add_row(
            str(line["trial"]),
            *(words[name] if pd.isna(line[name]) else f"{line[name]:.4g}" for name in names),
            "" if pd.isna(value) else f"{value:.4f}",
            {"pruned": "given up", "fail": "failed"}.get(line["state"], ""),
        )
    return view


def _summary(found: Tuned, values: dict[str, Any]) -> Table:
    name, test = found.objective.label, found.test
    facts = {
        f"validation {name} of its trial": f"{found.validation:.4f}",
        f"test {name}": "nothing held out" if test is None else f"{test:.4f}",
        "trials": f"{values['trials']}, {values['fresh_trials']} of them in this run",
        "given up, failed": f"{values['pruned_trials']}, {values['failed_trials']}",
        "study": values["study"],
        "table of trials": values["out"],
    }
    return facts_table("the best, learned from all training ratings", facts)
