"""Choose how each column of a source is read, from a sample of its texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import pyarrow as pa

from mfdask.errors import InputError
from mfdask.ratings.dates import Dates
from mfdask.ratings.forms import BOOLEANS, SPLIT, Numbers, ValueForm, WordValues, sniff_numbers
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.times import sniff_times
from mfdask.ratings.values import STRING, Types, sniff_id, wanted_ids

#: As spreadsheets show numbers of more than eleven digits.
_ROUNDED = re.compile(r"[0-9](?:\.[0-9]{1,5})?E\+(?:1[1-9]|[2-9][0-9])")
#: How a column is read: as values of an Arrow type, or as texts that have a form.
Kind: TypeAlias = pa.DataType | ValueForm
Kinds: TypeAlias = Mapping[str, Kind]


def sniff_kind(
    role: str, texts: Sequence[str], options: ReadOptions, label: str, decimal: str = "."
) -> Kind:
    """Choose how a column is read.

    Parameters
    ----------
    role : str
    texts : sequence of str
        Of the first rows.
    options : ReadOptions
    label : str
        The file, for messages.
    decimal : str
        The decimal sign of ratings and weights.

    Raises
    ------
    InputError
        The texts can be none of the role, or it cannot be told what they mean.
    """
    if role == "timestamp":
        return sniff_times(texts, label, options.dialect.timestamp_format)
    if role == "split":
        return SPLIT
    if role == "weight":
        return pa.float64()
    if role == "rating":
        form = Numbers(decimal=decimal, thousands=options.dialect.thousands or "")
        return _rating(texts, options.event_values, label, form)
    wanted = wanted_ids(options.ids, role)
    rounded = next(filter(_ROUNDED.fullmatch, texts), None) if wanted == "auto" else None
    if rounded:
        raise InputError(
            f"{label}: the {role} id {rounded!r} was rounded by a spreadsheet, and may stand for "
            "several; export the ids as text, or `ids` string takes them as they are"
        )
    return sniff_id(texts, wanted)


def _rating(
    texts: Sequence[str], event_values: Mapping[str, float] | None, label: str, form: Numbers
) -> Kind:
    if event_values:
        return WordValues(event_values)
    found = {text.strip() for text in texts} - {""}
    if found and found <= BOOLEANS.keys():
        return WordValues(BOOLEANS)
    return sniff_numbers(found, form, label) or pa.float64()


def types_of(kinds: Kinds) -> Types:
    """Return what the columns are read as; those of a form as texts."""
    return {role: STRING if isinstance(k, _FORMS) else k for role, k in kinds.items()}


def notes_of(kinds: Kinds) -> str:
    """Say what is special of how times and ratings are read, for people."""
    time, rating = kinds.get("timestamp"), kinds.get("rating")
    notes = []
    if isinstance(time, Dates):
        notes.append(f"times {' or '.join(time.formats)}")
    elif isinstance(time, pa.DataType) and pa.types.is_duration(time):
        notes.append(f"times in {time.unit}")
    if isinstance(rating, Numbers) and rating.out_of is not None:
        notes.append(f"ratings out of {rating.out_of:g}")
    return "".join(f"; {note}" for note in notes)


def forms_of(kinds: Kinds) -> dict[str, ValueForm]:
    """Return the forms of the columns that have one."""
    return {role: cast("ValueForm", k) for role, k in kinds.items() if isinstance(k, _FORMS)}


_FORMS = (WordValues, Numbers, Dates)
