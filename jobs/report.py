"""Draw a report: one page that shows what data and models look like, or single figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from mfdask.errors import InputError
from mfdask.figures.figure import Section
from mfdask.files import file_place, folder_place
from mfdask.models import Model, load_model
from mfdask.progress import Progress
from mfdask.report.browser import FORMATS, find_browser, write_document, write_picture
from mfdask.report.data.facts import Facts
from mfdask.report.page import write_page
from mfdask.report.report import Inputs, all_sections, chosen, figures_of, missing_of, notes
from mfdask.shards import Dataset
from mfdask.shards.remote import is_url, without_query

from .common import Outcome, facts_table, job, running
from .options import DATA, MODEL, PATH


@click.command("report", help=__doc__)
@click.option("--data", type=DATA, required=True, help="Folder or URL of the data set.")
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
    data: str,
    models: tuple[Path, ...],
    tiers: Path | None,
    trials: tuple[Path, ...],
    anomalies: Path | None,
    churn: Path | None,
    ltv: Path | None,
    out: Path | None,
    kind: str,
    names: tuple[str, ...],
) -> Outcome:
    """See the module."""
    if kind != "html":
        find_browser()  # now, and not after minutes of work
    if out is not None:
        (file_place if kind in _DOCUMENTS else folder_place)(out)
    dataset = Dataset.open(data)
    given = Inputs(_load(models), tiers, trials, anomalies, churn, ltv)
    name = Path(without_query(data) if is_url(data) else data).resolve().name
    place = Path("output/reports") / name
    with running() as run:
        facts = Facts.of(dataset, run.progress)
        wanted = [name for text in names for name in text.split(",")]
        found = all_sections(facts, given, run.progress)
        sections = chosen(found, wanted) if wanted else list(found)
        if kind in _DOCUMENTS:
            out = out or place.with_name(f"{place.name}.{kind}")
            written = [_DOCUMENTS[kind](out, dataset.name, notes(facts), sections)]
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
