"""The sections of a report, and the choice of figures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mfdask.errors import InputError
from mfdask.figures.figure import Figure, Missing, Section
from mfdask.progress import Progress, silent
from mfdask.recommendation.topn import check_same_data
from mfdask.report.data.facts import Facts
from mfdask.report.data.section import data_section
from mfdask.report.findings.section import findings_section
from mfdask.report.inputs import Inputs
from mfdask.report.model.section import model_sections
from mfdask.report.training.section import training_section
from mfdask.shards import Dataset


def all_sections(facts: Facts, given: Inputs, progress: Progress = silent) -> Iterator[Section]:
    """Yield every section that there is something for; each is made when its turn comes.

    Raises
    ------
    InputError
        If a model is of other data, or a file is not what it should be.
    """
    for model in given.models.values():
        check_same_data(model, facts.data)
    yield from made(_makers(facts, given), progress)


def made(makers: Mapping[str, Callable[[], Section]], progress: Progress) -> Iterator[Section]:
    """Make sections, and tell which one is being drawn."""
    for done, (what, make) in enumerate(makers.items()):
        progress("draw figures", done, len(makers), what)
        yield make()
    progress("draw figures", len(makers), len(makers))


def _makers(facts: Facts, given: Inputs) -> dict[str, Callable[[], Section]]:
    """Return what makes each section, by what it is of."""
    data = facts.data
    makers: dict[str, Callable[[], Section]] = {"data": partial(data_section, facts)}
    if given.models or given.tiers or given.trials:
        tables: dict[str, Any] = {"tiers": given.tiers, "searches": given.trials}
        makers["training"] = partial(training_section, given.models, data, **tables)
    makers |= model_sections(given.models, data, given.names)
    if given.anomalies or given.churn or given.ltv:
        own: dict[str, Any] = {name: getattr(given, name) for name in ("anomalies", "churn", "ltv")}
        makers["findings"] = partial(findings_section, data, **own)
    return makers


def notes(facts: Facts) -> list[str]:
    """Return what stands below the title of a report: what it is of, and as of when."""
    origin, drawn = notes_without_facts(facts.data)
    if facts.first_hour is None:
        return [origin, drawn]
    last = facts.times(facts.all)["hour"].max()
    return [origin, f"The last rating is of {last:%Y-%m-%d}.", drawn]


def notes_without_facts(data: Dataset | None) -> list[str]:
    """Return what can be said without the sums over a data set, or without one."""
    drawn = f"Drawn {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    if data is None:
        return [drawn]
    said = data.manifest
    origin = f"{said.origin}, ingested {said.created[:10]}, fingerprint {said.fingerprint[:16]}"
    return [origin, drawn]


def chosen(sections: Iterable[Section], names: Collection[str]) -> list[Section]:
    """Return the figures of these names, in the order of the sections; empty sections go.

    Sections behind the last figure that is wanted are not made.

    Raises
    ------
    InputError
        If there is no figure of a name, or it is missing and cannot be drawn.
    """
    kept: list[Section] = []
    there: list[str] = []
    for section in sections:
        there += [part.name for part in section.parts]
        parts = [part for part in section.parts if part.name in names]
        for part in parts:
            if isinstance(part, Missing):
                raise InputError(f"`names` {part.name}: cannot be drawn here. {part.why}")
        if parts:
            kept.append(replace(section, parts=parts))
        if set(names) <= set(there):
            return kept
    unknown = next(name for name in names if name not in there)
    raise InputError(f"`names` {unknown}: there is none; give some of {', '.join(there)}")


def figures_of(sections: Sequence[Section]) -> list[Figure]:
    """Return the figures of all sections."""
    return [part for section in sections for part in section.parts if isinstance(part, Figure)]


def missing_of(sections: Sequence[Section]) -> list[Missing]:
    """Return what the sections say is not there."""
    return [part for section in sections for part in section.parts if isinstance(part, Missing)]
