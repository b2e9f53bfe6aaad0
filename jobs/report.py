"""Draw a report: one page that shows what data and models look like, or single figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from mfdask.errors import InputError
from mfdask.figures.figure import Section
from mfdask.files import file_place, folder_place
from mfdask.models import Model, load_model
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import published_version, reading
from mfdask.nightly.tables import suspects_folder, tables_of_users
from mfdask.progress import Progress
from mfdask.report.browser import FORMATS, find_browser, write_document, write_picture
from mfdask.report.data.facts import Facts
from mfdask.report.inputs import Inputs
from mfdask.report.page import write_page
from mfdask.report.readers.sections import READERS, sections_for
from mfdask.report.report import (
    all_sections,
    chosen,
    figures_of,
    missing_of,
    notes,
    notes_without_facts,
)
from mfdask.shards import Dataset
from mfdask.shards.remote import is_url, without_query

from .common import Outcome, job, running
from .options import DATA, MODEL, PATH
from .terminal import facts_table


@click.command("report", help=__doc__)
@click.option("--data", type=DATA, help="Folder or URL of the data set.")
@click.option(
    "--for",
    "reader",
    type=click.Choice(list(READERS)),
    help="Begin with a verdict and the numbers that matter to one reader, and leave out what does "
    "not.  [default: all that there is]",
)
@click.option(
    "--model",
    "models",
    type=MODEL,
    multiple=True,
    help="Model learned from this data set; may be repeated.",
)
@click.option("--tiers", type=PATH, help="File with what `mfdask bench tiers DATA --json` printed.")
@click.option(
    "--trials", type=PATH, multiple=True, help="Table that `mfdask tune` wrote; may be repeated."
)
@click.option("--anomalies", type=PATH, help="Folder that `mfdask anomalies` wrote.")
@click.option("--churn", type=PATH, help="Table that `mfdask churn` wrote.")
@click.option("--ltv", type=PATH, help="Table that `mfdask ltv` wrote.")
@click.option(
    "--home",
    type=PATH,
    help="Folder of the nights (`home` of nightly.toml): what is not given is taken from what it "
    "has published, and from its tables.",
)
@click.option(
    "--out",
    type=PATH,
    help="File for html and pdf, a folder for other formats.  [default: output/reports/DATA, with "
    ".html or .pdf]",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", *FORMATS]),
    default="html",
    show_default=True,
    help="html: one page; pdf: the same as one document; png and svg: a file for each figure. All "
    "but html need Chromium or Chrome.",
)
@click.option(
    "--figures",
    "names",
    multiple=True,
    metavar="NAME",
    help="Draw only these figures, joined by commas; may be repeated.",
)
@job
def main(
    data: str | None,
    reader: str | None,
    models: tuple[Path, ...],
    tiers: Path | None,
    trials: tuple[Path, ...],
    anomalies: Path | None,
    churn: Path | None,
    ltv: Path | None,
    home: Path | None,
    out: Path | None,
    kind: str,
    names: tuple[str, ...],
) -> Outcome:
    """See the module."""
    if kind != "html":
        find_browser()  # now, and not after minutes of work
    if out is not None:
        (file_place if kind in _DOCUMENTS else folder_place)(out)
    wanted = [name for text in names for name in text.split(",")]
    given = Inputs(_load(models), tiers, trials, anomalies, churn, ltv, names=wanted)
    with ExitStack() as held, running() as run:
        dataset = None if data is None else Dataset.open(data)
        if home is not None:
            dataset, given = _with_home(dataset, given, home, held)
        if reader is None:
            facts = Facts.of(_required(dataset), run.progress)
            found, below = all_sections(facts, given, run.progress), notes(facts)
        else:
            found = sections_for(reader, dataset, given, run.progress)
            below = notes_without_facts(dataset)
        sections = chosen(found, wanted) if wanted else list(found)
        title = _TITLES.get(reader or "") or _required(dataset).name
        tables = [table.stem for table in (churn, ltv) if table is not None]
        place = Path("output/reports") / _name(data or home or (tables or [""])[0], reader)
        if kind in _DOCUMENTS:
            out = out or place.with_name(f"{place.name}.{kind}")
            written = [_DOCUMENTS[kind](out, title, below, sections)]
        else:
            out = out or place
            written = _write_pictures(sections, out, kind, run.progress)
    values: dict[str, Any] = {
        "out": str(out),
        "format": kind,
        "figures": [part.name for part in figures_of(sections)],
        "missing": {part.name: part.why for part in missing_of(sections)},
        "bytes": sum(written),
        **run.cost,
    }
    rows = {
        "figures": f"{len(values['figures'])}",
        **{f"  no {name}": why for name, why in values["missing"].items()},
        "size": f"{values['bytes'] / 2**20:,.1f} MiB",
        **run.last_rows("report", out),
    }
    return Outcome(values, [facts_table("report", rows)])


#: Titles of reports that are of no data set.
_TITLES = {"crm": "Customers", "night": "Nights"}


def _required(data: Dataset | None) -> Dataset:
    if data is None:
        raise InputError("`data`: give the folder of a data set, or `home` with what is published")
    return data


def _name(of: Path | str | None, reader: str | None) -> str:
    """Return what a report is called if it is not told: after its data, nights or table."""
    place = str(of or "")
    name = Path(without_query(place) if is_url(place) else place).resolve().name
    return name if reader is None else f"{name}-{reader}"


def _with_home(
    data: Dataset | None, given: Inputs, folder: Path, held: ExitStack
) -> tuple[Dataset | None, Inputs]:
    """Put in place of what is not given what the nights have published, and their tables.

    The release is kept from being pruned until `held` ends.
    """
    if not folder.is_dir():
        raise InputError(f"`home` {folder}: no such folder; give `home` of nightly.toml")
    home = NightlyPaths(folder)
    given = replace(
        given,
        home=home,
        anomalies=given.anomalies or suspects_folder(home),
        churn=given.churn or next(iter(tables_of_users(home, "p_churn")), None),
        ltv=given.ltv or next(iter(tables_of_users(home, "expected_value")), None),
    )
    if data is not None or published_version(home) is None:
        return data, given
    release = held.enter_context(reading(home))
    models = given.models or {name: load_model(place) for name, place in release.models.items()}
    return Dataset.open(release.data), replace(given, models=models)


def _load(paths: tuple[Path, ...]) -> dict[str, Model]:
    """Read models by their names, or by their paths where two have one name."""
    names = [path.resolve().name for path in paths]
    return {
        name if names.count(name) == 1 else str(path): load_model(path)
        for path, name in zip(paths, names, strict=True)
    }


def _write_pdf(out: Path, title: str, notes: Sequence[str], sections: Sequence[Section]) -> int:
    """Write the page as a PDF, and return its bytes; see `write_page`."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_page(page, title, notes, sections)
        write_document(page, out)
    return out.stat().st_size


#: Formats of one file, and what writes it.
_DOCUMENTS = {"html": write_page, "pdf": _write_pdf}


def _write_pictures(
    sections: Sequence[Section], folder: Path, kind: str, progress: Progress
) -> list[int]:
    """Write a file for each figure but the tables, whose numbers are on the page."""
    parts = [part for part in figures_of(sections) if part.is_picture]
    if not parts:
        raise InputError(f"--format {kind}: tables are no pictures; --format html has them")
    sizes = []
    for done, part in enumerate(parts, 1):
        file = folder / f"{part.name}.{kind}"
        write_picture(part, file)
        sizes.append(file.stat().st_size)
        progress("draw", done, len(parts), part.name)
    return sizes
