"""Which sections a reader gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from mfdask.errors import InputError
from mfdask.figures.figure import Section
from mfdask.progress import Progress, silent
from mfdask.recommendation.topn import check_same_data
from mfdask.report.data.facts import Facts
from mfdask.report.data.section import data_section
from mfdask.report.findings.section import accuracy_section, suspects_section
from mfdask.report.inputs import Inputs
from mfdask.report.model.section import model_sections
from mfdask.report.readers.crm import crm_sections
from mfdask.report.readers.data import data_summary
from mfdask.report.readers.fraud import fraud_summary
from mfdask.report.readers.model import model_summary
from mfdask.report.readers.night import night_sections
from mfdask.report.readers.summary import required
from mfdask.report.report import made
from mfdask.report.tables import Absent
from mfdask.report.training.section import training_section
from mfdask.shards import Dataset

_DATA = "a data set, as `mfdask ingest` writes one"


def sections_for(
    reader: str, data: Dataset | None, given: Inputs, progress: Progress = silent
) -> Iterator[Section]:
    """Yield the sections for one of `READERS`: a verdict first, then the figures.

    Raises
    ------
    InputError
        If something that the report needs is not given, or is not what it should be.
    """
    return READERS[reader](data, given, progress)


def _for_data(data: Dataset | None, given: Inputs, progress: Progress) -> Iterator[Section]:
    facts = Facts.of(required(data, "data", "data", _DATA), progress)
    makers = {"summary": partial(data_summary, facts), "data": partial(data_section, facts)}
    return made(makers, progress)


def _for_model(data: Dataset | None, given: Inputs, progress: Progress) -> Iterator[Section]:
    dataset = required(data, "model", "data", _DATA)
    models = required(given.models, "model", "models", "a model, as `mfdask train` writes one")
    for model in models.values():
        check_same_data(model, dataset)
    makers: dict[str, Callable[[], Section]] = {
        "summary": partial(model_summary, models, dataset),
        "training": partial(
            training_section, models, dataset, tiers=given.tiers, searches=given.trials
        ),
    }
    return made(makers | model_sections(models, dataset, given.names), progress)


def _for_fraud(data: Dataset | None, given: Inputs, progress: Progress) -> Iterator[Section]:
    dataset = required(data, "fraud", "data", _DATA)
    written = "the folder that `mfdask anomalies` has written, or `home` with one"
    folder = required(given.anomalies, "fraud", "anomalies", written)
    makers = {
        "summary": partial(fraud_summary, dataset, folder),
        "suspects": partial(suspects_section, dataset, folder),
    }
    return made(makers, progress)


def _for_crm(data: Dataset | None, given: Inputs, progress: Progress) -> Iterator[Section]:
    written = "a table that `mfdask churn` or `mfdask ltv` has written, or `home` with one"
    required(given.churn or given.ltv, "crm", "churn", written)
    try:
        yield from crm_sections(given.churn, given.ltv)
    except Absent as error:
        raise InputError(f"{error} Give what `mfdask churn` or `mfdask ltv` has written") from None
    accuracy = partial(accuracy_section, churn=given.churn, ltv=given.ltv)
    yield from made({"accuracy": accuracy}, progress)


def _for_night(data: Dataset | None, given: Inputs, progress: Progress) -> Iterator[Section]:
    yield from night_sections(required(given.home, "night", "home", "the folder of the nights"))


#: Who reports are for.
READERS: Mapping[str, Callable[[Dataset | None, Inputs, Progress], Iterator[Section]]] = {
    "data": _for_data,
    "model": _for_model,
    "fraud": _for_fraud,
    "crm": _for_crm,
    "night": _for_night,
}
