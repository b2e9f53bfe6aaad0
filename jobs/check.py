"""Say what ratings in files hold and how they are read, before anything is built.

SOURCE is what `mfdask ingest` takes. It is read once, and nothing is kept of it but a page with
the ratings by value and month.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from mfdask.figures.figure import Figure, Missing, Section
from mfdask.files import file_place
from mfdask.ingestion.survey import Survey, survey
from mfdask.ratings.dialect import Dialect
from mfdask.ratings.formats import open_source
from mfdask.ratings.source import Source
from mfdask.ratings.values import Ids
from mfdask.report.data.values import RatingsByMonth
from mfdask.report.page import write_page

from .common import Outcome, job, running
from .options import OUT_FILE, options_of
from .sources import columns_by_role, source_options, values_of_words
from .terminal import facts_table, table

#: Ratings and reasons that are listed at most.
_MOST = 12


@click.command("check", help=__doc__)
@click.argument("source")
@click.option("--out", type=OUT_FILE, help="HTML file.  [default: output/checks/NAME.html]")
@source_options
@job
@options_of(Dialect, "dialect")
def main(
    source: str,
    out: Path | None,
    dialect: Dialect,
    columns: str | None,
    weight: str | None,
    event_values: str | None,
    query: str | None,
    wide: bool,
    ids: Ids,
) -> Outcome:
    """Read the source and describe it."""
    if out is not None:
        file_place(out)
    with running() as run:
        opened = open_source(
            source,
            columns=columns_by_role(columns, weight),
            ids=ids,
            progress=run.progress,
            event_values=values_of_words(event_values),
            dialect=dialect,
            query=query,
            wide=wide,
        )
        found = survey(opened, run.progress)
        out = out or Path("output/checks") / f"{opened.name}.html"
        write_page(
            out, f"{opened.origin}, as it is read", [opened.reading, *found.warnings], _page(found)
        )
    values = {
        "source": opened.origin,
        "out": str(out),
        "read_as": opened.reading,
        "read": int(found.files["read"].sum()),
        "rejected": int(found.rejected["n"].sum()),
        "users": found.users,
        "items": found.items,
        "ratings": {f"{value:g}": int(n) for value, n in found.ratings.items()},
        "weights": opened.has_weights,
        "first": found.first,
        "last": found.last,
        "warnings": found.warnings,
        **run.cost,
    }
    tables = [_facts(opened, found, run.last_rows("picture", out)), _values(found)]
    return Outcome(values, [*tables, *([_reasons(found)] if len(found.rejected) else [])])


def _page(found: Survey) -> list[Section]:
    part: Figure | Missing = Missing(
        RatingsByMonth.name, RatingsByMonth.title, "There are no timestamps."
    )
    if found.first is not None:
        part = RatingsByMonth.of(found.cells)
    return [Section("check", "Ratings", "Before anything is built of them.", [part])]


def _facts(opened: Source, found: Survey, last: dict[str, str]) -> Table:
    facts: dict[str, Any] = {
        "files": f"{len(found.files):,}",
        **({"read as": opened.reading} if opened.reading else {}),
        "rows read": f"{found.files['read'].sum():,}",
        "  bad": f"{found.rejected['n'].sum():,}",
        "users, items": f"{found.users:,}, {found.items:,}",
        "ids of users, items": f"{opened.user_kind}, {opened.item_kind}",
        **({"weights": "yes"} if opened.has_weights else {}),
        "times": "none" if found.first is None else _span(found),
        **{f"warning {n}": said for n, said in enumerate(found.warnings, 1)},
        **last,
    }
    return facts_table(f"{opened.name}, from {opened.origin}", facts)


def _span(found: Survey) -> str:
    assert found.first is not None
    assert found.last is not None
    days = (datetime.fromtimestamp(when, UTC) for when in (found.first, found.last))
    return " to ".join(f"{day:%Y-%m-%d}" for day in days)


def _values(found: Survey) -> Table:
    ratings = found.ratings.sort_values(ascending=False, kind="stable")
    total = ratings.sum()
    view = table("Ratings", "rating", "rows", "share")
    for value, n in ratings.head(_MOST).sort_index().items():
        view.add_row(f"{value:g}", f"{n:,}", f"{n / total:.1%}")
    rest = ratings.iloc[_MOST:]
    if len(rest):
        view.add_row(f"{len(rest):,} others", f"{rest.sum():,}", f"{rest.sum() / total:.1%}")
    return view


def _reasons(found: Survey) -> Table:
    view = table("Bad rows", "reason", "rows", "the first", "its text")
    for why, n, file, row, text in found.rejected.head(_MOST).itertuples(index=False):
        view.add_row(why, f"{n:,}", f"{file}, row {row}", text)
    return view
