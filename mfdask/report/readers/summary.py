"""The section that a report begins with: a verdict, and the numbers that matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mfdask.errors import InputError
from mfdask.figures.figure import Section, TableFigure
from mfdask.report.parts import measures_table


class KeyNumbers(TableFigure):
    """The numbers that matter to a reader: `what`, and a column for each thing that has them."""

    name = "numbers"
    title = "The numbers that matter"
    caption = ""
    wide = True


def summary_section(verdict: str, columns: Mapping[str, Mapping[str, object]]) -> Section:
    """Return the section.

    Parameters
    ----------
    verdict : str
        A few sentences in plain text.
    columns : mapping of str to mapping
        For each thing its numbers, by what they are.
    """
    numbers: pd.DataFrame = measures_table("what", columns)
    return Section("summary", "In short", verdict, [KeyNumbers(numbers)])


def required(value: Any, reader: str, parameter: str, what: str) -> Any:
    """Return what a reader's report is made of.

    Raises
    ------
    InputError
        If it is not given.
    """
    if not value:
        raise InputError(f"`{parameter}`: a report for {reader} needs {what}")
    return value


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``"1 item"``, ``"1,200 items"``, ``"no items"``."""
    return f"1 {one}" if n == 1 else f"{f'{n:,}' if n else 'no'} {many or f'{one}s'}"
