"""Options of the jobs that read ratings as they come, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click

from mfdask.errors import InputError
from mfdask.ratings.values import Ids

_OPTIONS = (
    click.option(
        "--columns",
        metavar="ROLE=NAME,…",
        help="Which column is which: user=…,item=…,rating=…,timestamp=…, by name, or by position "
        "from 0 where there is no header; without a rating each row is an event. split=… is a "
        "column that says train or test, weight=… is --weight.  "
        "[default: guessed]",
    ),
    click.option(
        "--weight",
        metavar="COLUMN",
        help="How much each rating counts in a fit, a number above 0: a weight of 2 counts as the "
        "rating twice.  [default: each counts once]",
    ),
    click.option(
        "--map",
        "event_values",
        metavar="WORD=NUMBER,…",
        help="What words in the place of ratings are worth, such as view=1,buy=5; rows of other "
        "words are bad.  [default: true=1,false=0 where all are booleans]",
    ),
    click.option(
        "--query",
        metavar="TEXT",
        help="What is read of a database, SELECT user, item, rating FROM …; or the sheet of a "
        "workbook.",
    ),
    click.option(
        "--wide", is_flag=True, help="A user in each line, an item in each column, named in line 1."
    ),
    click.option(
        "--ids",
        default="auto",
        show_default=True,
        type=click.Choice(get_args(Ids)),
        help="What user and item ids are, or in two words those of users and of items.",
    ),
)


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `columns`, `weight`, `event_values`, `query`, `wide` and `ids` to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def columns_by_role(text: str | None, weight: str | None) -> dict[str, str] | None:
    """Read ``user=uid,item=iid``; which roles there are is for `open_source` to know."""
    wanted = "user=NAME,item=NAME,rating=NAME,timestamp=NAME,split=NAME,weight=NAME, each once"
    roles = {} if text is None else _pairs(text, f"--columns {text}: write {wanted}")
    if weight is not None and roles.setdefault("weight", weight) != weight:
        raise InputError(f"--weight {weight}: --columns {text} names another column; give one")
    return roles or None


def values_of_words(text: str | None) -> dict[str, float] | None:
    """Read ``view=1,buy=5``."""
    if text is None:
        return None
    wanted = f"--map {text}: write WORD=NUMBER,… such as view=1,buy=5, each word once"
    try:
        return {word: float(value) for word, value in _pairs(text, wanted).items()}
    except ValueError as error:
        raise InputError(wanted) from error


def _pairs(text: str, wanted: str) -> dict[str, str]:
    """Take apart ``key=value,…``; `wanted` is what to say where it is anything else."""
    parts = [part.strip().partition("=") for part in text.split(",")]
    pairs = {key: value for key, _, value in parts}
    if len(pairs) < len(parts) or not all(sign for _, sign, _ in parts):
        raise InputError(wanted)
    return pairs
