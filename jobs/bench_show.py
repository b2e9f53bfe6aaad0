"""Show measurements that were kept as files, in the terminal or in a page of the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table

from mfdask.errors import InputError
from mfdask.files import atomic_file

from .bench_views import VIEWS
from .common import Outcome, job
from .options import PATH

#: In a page: a comment that names a file beside it, what is made of it, and a comment at its end.
_SHOWN = re.compile(r"(<!-- bench: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


@click.command("show")
@click.argument("files", nargs=-1, type=PATH)
@click.option(
    "--into",
    type=PATH,
    metavar="PAGE",
    help="Renew the tables of this Markdown page, each between <!-- bench: FILE --> and <!-- end "
    "-->, from files beside it.",
)
@job
def show_kept(files: tuple[Path, ...], into: Path | None) -> Outcome:
    """Show the tables of FILES, in which a measurement's --json was kept."""
    if not files and into is None:
        raise click.UsageError("name files that hold what `mfdask bench ... --json` printed")
    if into is not None:
        text = with_tables(into)
        with atomic_file(into) as fresh:
            fresh.write_text(text, encoding="utf-8")
    shown = [part for file in files for part in view_of(file)]
    return Outcome({"files": [str(file) for file in files], "page": into and str(into)}, shown)


def view_of(file: Path) -> list[RenderableType]:
    """Return what the command that made a file showed of it.

    Raises
    ------
    InputError
        If it is missing, or holds no such measurement.
    """
    try:
        found: dict[str, Any] = json.loads(_read(file))
        name = found["command"].split()[2]
        return [found["command"], *VIEWS[name](found)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        known = ", ".join(VIEWS)
        words = f"{file}: this is not what `mfdask bench` printed with --json (one of {known})"
        raise InputError(words) from error


def with_tables(page: Path) -> str:
    """Return the text of a page with the tables of the files it names, from its own folder on.

    Raises
    ------
    InputError
        If it names none, or one is missing or holds no measurement.
    """
    text = _read(page)
    if not _SHOWN.search(text):
        place = "<!-- bench: FILE --> and <!-- end -->"
        raise InputError(f"{page}: there is no place for a table; write {place} into it")

    def renewed(match: re.Match[str]) -> str:
        return match[1] + markdown_of(view_of(page.parent / match[2])) + match[3]

    return _SHOWN.sub(renewed, text)


def markdown_of(view: list[RenderableType]) -> str:
    """Return texts and tables as Markdown; the first text is the command."""
    command, *parts = view
    blocks = [f"```sh\n{command}\n```"]
    for part in parts:
        if isinstance(part, Table):
            blocks += [f"{part.title}:", _markdown_table(part)]
            blocks += [f"{part.caption}."] if part.caption else []
        else:
            blocks.append("\n".join(f"- {line}" for line in str(part).splitlines()))
    return "\n" + "\n\n".join(blocks) + "\n\n"


def _markdown_table(table: Table) -> str:
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    heads = [str(column.header) for column in table.columns]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *zip(*columns, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _read(file: Path) -> str:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: this is no text in UTF-8") from error
