"""Compile all kernels, once, so that no later job has to."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from mfdask.kernels import CACHE
from mfdask.progress import Progress

from .common import Outcome, job
from .terminal import facts_table, progress_bars

#: Ratings of the data set that is tried: enough for every part of a report.
_RATINGS = 3_000


@click.command("warmup", help=__doc__)
@job
def main() -> Outcome:
    """Compile, and say what it took."""
    with progress_bars() as progress:
        seconds = compile_all(progress)
    values = {"seconds": seconds, "compiled_code": str(CACHE)}
    facts = {part: f"{took:.1f}" for part, took in seconds.items()}
    facts["seconds in all"] = f"{sum(seconds.values()):.1f}"
    facts["compiled code"] = str(CACHE)
    return Outcome(values, [facts_table("compiled, or compiled before", facts)])


def compile_all(progress: Progress) -> dict[str, float]:
    """Do a little of all that jobs do, in this process, and return the seconds of each part.

    Parameters
    ----------
    progress : Progress
        Told the part that is being compiled.
    """
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="mfdask-warmup-") as folder:
        parts = _parts(Path(folder))
        for done, (name, part) in enumerate(parts.items()):
            progress("compiling, once", done, len(parts), name)
            began = time.perf_counter()
            part()
            seconds[name] = time.perf_counter() - began
        progress("compiling, once", len(parts), len(parts))
    return seconds


def _parts(folder: Path) -> dict[str, Callable[[], None]]:
    """Return what compiles each part, in the order in which one needs the other."""
    from mfdask.models import kinds

    learn = {f"train {kind}": partial(_train, folder, kind) for kind in _kinds(list(kinds()))}
    return {
        "synthetic ratings": partial(_make, folder),
        "ingest": partial(_ingest, folder),
        **learn,
        "evaluate": partial(_evaluate, folder),
        "recommend": partial(_recommend, folder),
        "priors of what is rated": partial(_train, folder, "als", user_prior="rated"),
        "all threads": partial(_share_out, folder),
        "tune": partial(_hold_out, folder),
        "densify": partial(_densify, folder),
        "anomalies": partial(_find_anomalies, folder),
        "churn": partial(_study, folder),
        "report": partial(_report, folder),
    }


def _kinds(known: list[str]) -> list[str]:
    """Return our own kinds that need no file of features; the plain one first."""
    return [kind for kind in ("als", "bias", "genre", "bayes", "bpr") if kind in known]


def _make(folder: Path) -> None:
    from mfdask.ingestion.build import ingest
    from mfdask.ratings.formats import open_source

    source = open_source(f"synthetic:users=100,items=60,ratings={_RATINGS}")
    ingest(source, folder / "made", overwrite=True)


def _ingest(folder: Path) -> None:
    from mfdask.ingestion.build import IngestOptions, ingest
    from mfdask.ingestion.extend import extend
    from mfdask.ratings.formats import open_source
    from mfdask.ratings.splits import Split

    lines = [
        f"{n % 97 + 1},{n * n % 61 + 1},{1 + n % 9 / 2},{1_000_000_000 + n * 86_400}"
        for n in range(_RATINGS)
    ]
    head = "userId,movieId,rating,timestamp\n"
    for name, part in (("old", lines[:-100]), ("new", lines[-100:])):
        (folder / name).mkdir()
        (folder / name / "ratings.csv").write_text(head + "\n".join(part))
        movies = "".join(f"{i},Film {i} ({1980 + i % 30}),Drama|Comedy\n" for i in range(1, 62))
        (folder / name / "movies.csv").write_text(f"movieId,title,genres\n{movies}")
    for split in ("time:0.1", "user-time:0.1", "cold-items:0.1", "random:0.1"):
        choices = IngestOptions(split=Split.parse(split))
        ingest(open_source(str(folder / "old")), folder / "data", choices=choices, overwrite=True)
    extend(folder / "data", [open_source(str(folder / "new"))])


def _train(folder: Path, kind: str, **chosen: str) -> None:
    from mfdask.models import kind_of, save_model
    from mfdask.shards import Dataset

    few = {"n_sweeps": 2, "burn_in": 1, "n_samples": 1}
    given = {name: n for name, n in few.items() if name in kind_of(kind).open_parameters}
    model = kind_of(kind).configure({**given, **chosen}, None).fit(Dataset.open(folder / "data"))
    save_model(model, folder / "-".join((kind, *chosen.values())))


def _evaluate(folder: Path) -> None:
    from mfdask.evaluation import RankingPlan, measure_calibration, measure_model
    from mfdask.models import load_model
    from mfdask.shards import Dataset

    data = Dataset.open(folder / "data")
    measure_model("als", load_model(folder / "als"), data, RankingPlan())
    measure_calibration(load_model(folder / "bayes"), data)


def _recommend(folder: Path) -> None:
    from mfdask.models import Ability, load_model
    from mfdask.models.factor_model import require_factors
    from mfdask.recommendation import History, Ranking, recommend, recommend_new
    from mfdask.shards import Dataset

    data = Dataset.open(folder / "data")
    model = require_factors(load_model(folder / "als"), "a list", Ability.NEW_USERS)
    ranking = Ranking(min_ratings=0)
    for variety in (0.0, 0.5):
        chosen = replace(ranking, variety=variety)
        recommend(model, model.users["user_id"].head(9), data, chosen)
    recommend_new(model, History.of(model, {model.items["item_id"].iloc[0]: 4.0}), ranking)


def _share_out(folder: Path) -> None:
    """Do what few ratings would not be shared out for among all threads."""
    from mfdask.kernels import implicit, predict, rows, topn

    modules: list[Any] = [implicit, predict, rows, topn]
    before = [module.FEW for module in modules]
    try:
        for module in modules:
            module.FEW = -1
        _train(folder, "als", user_prior="rated")
        _recommend(folder)
    finally:
        for module, few in zip(modules, before, strict=True):
            module.FEW = few


def _hold_out(folder: Path) -> None:
    from mfdask.shards import Dataset
    from mfdask.tuning.holdout import hold_out

    hold_out(Dataset.open(folder / "data"), folder / "validation", 0.1, 42)


def _densify(folder: Path) -> None:
    from mfdask.downstream.dense.encoding import DTYPES
    from mfdask.downstream.dense.write import densify

    for dtype in DTYPES:
        densify(folder / "als", folder / dtype, dtype=dtype)


def _find_anomalies(folder: Path) -> None:
    from mfdask.downstream.anomalies.batch import Options, write_anomalies
    from mfdask.models import load_model
    from mfdask.shards import Dataset

    data, model = Dataset.open(folder / "data"), load_model(folder / "als")
    write_anomalies(model, data, folder / "anomalies", Options(folds=2))


def _study(folder: Path) -> None:
    from mfdask.downstream.customers.churn import study_churn
    from mfdask.downstream.customers.study import StudyOptions
    from mfdask.models import load_model
    from mfdask.shards import Dataset

    data, model = Dataset.open(folder / "data"), load_model(folder / "als")
    study_churn(data, model, StudyOptions(origins=0, min_cohort=2), folder)


def _report(folder: Path) -> None:
    from mfdask.models import load_model
    from mfdask.report.data.facts import Facts
    from mfdask.report.inputs import Inputs
    from mfdask.report.page import write_page
    from mfdask.report.report import all_sections, notes
    from mfdask.shards import Dataset

    data = Dataset.open(folder / "data")
    facts = Facts.of(data)
    sections = list(all_sections(facts, Inputs({"als": load_model(folder / "als")})))
    write_page(folder / "report.html", data.name, notes(facts), sections)
