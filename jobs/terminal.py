"""What a person sees in the terminal: tables, progress bars and words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import click
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from mfdask.progress import Progress
from mfdask.summaries import harmless

#: Signs that a column of several words has at least.
_READABLE = 24

#: Signs that a word may have to stay whole in a table.
_WIDEST = 1000


def say(line: str) -> None:
    """Tell a person something while the job runs: on standard error."""
    click.echo(harmless(line), err=True)


def mebibytes(n_bytes: float) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{n_bytes / 2**20:,.0f} MiB"


def show_part(part: RenderableType) -> None:
    """Print a part of what a person sees; text from data is text, and no markup."""
    console = Console(markup=False, emoji=False)
    if isinstance(part, str):
        part = harmless(part, kept="\n")
    if isinstance(part, PlainTable):
        _show_table(console, part)
        return
    # A text is there to be copied elsewhere: its lines are neither cut nor broken.
    console.print(part, soft_wrap=isinstance(part, Text))


def _show_table(console: Console, whole: PlainTable) -> None:
    """Print a table, its title in one line, in as many tables as the terminal needs."""
    if whole.title:
        console.print(Text(str(whole.title), style="table.title"), soft_wrap=True)
    room = console.width
    for piece in whole.pieces(room):
        console.width = max(room, piece.fit(room))
        console.print(piece)
    if whole.caption:
        console.width = room
        console.print(Text(str(whole.caption), style="table.caption"))


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show a bar with the time left for each stage, on standard error."""
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(harmless(stage), total=total, note="")
        bars.update(tasks[stage], completed=done, total=total, note=harmless(note))

    with bars:
        yield report


def table(title: str, *columns: str) -> Table:
    """Build a short table in the style of all jobs: first column left, the others right."""
    made = PlainTable(title=harmless(title, "\n"), title_justify="left", header_style="bold")
    for place, column in enumerate(columns):
        justify: Literal["left", "right"] = "left" if place == 0 else "right"
        made.add_column(harmless(column), justify=justify, overflow="fold")
    return made


def facts_table(title: str, facts: Mapping[str, str]) -> Table:
    """Build a table of names and values, as they are."""
    made = table(title, "", "")
    made.show_header = False
    for name, value in facts.items():
        made.add_row(name, value)
    return made


class PlainTable(Table):
    """A table whose cells may hold any text from data."""

    def add_row(self, *cells: RenderableType | None, **style: Any) -> None:
        """Add a line; what a terminal would obey is taken out of its texts."""
        plain_cells = (harmless(cell, "\n") if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*plain_cells, **style)

    def pieces(self, width: int) -> list[PlainTable]:
        """Return tables without titles, each no wider than a terminal as far as words let it.

        Each has the first column, and as many of the others as there is room for beside it.
        """
        found, own = [], [0]
        for k in range(1, len(self.columns)):
            if len(own) > 1 and self._only([*own, k]).fit(width) > width:
                found.append(self._only(own))
                own = [0]
            own.append(k)
        return [*found, self._only(own)]

    def _only(self, columns: Sequence[int]) -> PlainTable:
        """Return a table of some columns."""
        made = PlainTable(show_header=self.show_header, header_style=self.header_style)
        kept = [self.columns[k] for k in columns]
        for own in kept:
            made.add_column(own.header, justify=own.justify, overflow=own.overflow)
        for cells in zip(*(own.cells for own in kept), strict=True):
            made.add_row(*cells)
        return made

    def fit(self, width: int) -> int:
        """Share `width` out among the columns, and return what they take.

        A word is never cut, however narrow the terminal: it may be a name that is needed whole.
        """
        texts = [[str(text) for text in (own.header, *own.cells)] for own in self.columns]
        words = [_longest(map(str.split, column)) for column in texts]
        lines = [_longest(map(str.splitlines, column)) for column in texts]
        words = [max(own, min(line, _READABLE)) for own, line in zip(words, lines, strict=True)]
        left = width - 3 * len(texts) - 1 - sum(words)  # each has two spaces and a rule
        for own, word, line in sorted(
            zip(self.columns, words, lines, strict=True), key=lambda each: each[2] - each[1]
        ):
            own.width = word + max(0, min(line - word, left))
            left -= own.width - word
        return width - min(left, 0)


def _longest(parts: Iterable[list[str]]) -> int:
    return min(max((cell_len(part) for each in parts for part in each), default=0), _WIDEST)
