"""Read ratings from wide text: a user in each line, an item in each column, nothing where none is.

The first column names the users, or that which `columns` calls user; the others are items.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from mfdask.errors import InputError
from mfdask.ratings.options import ReadOptions
from mfdask.ratings.readers.tabular import TableFile, open_table
from mfdask.ratings.records import line_cuts
from mfdask.ratings.source_file import SourceFile
from mfdask.ratings.values import STRING

_NAMES = ("user", "item", "rating")
_NOTHING = ["", "NA", "NaN", "nan", "null", "NULL", "None"]
_WHOLE = r"^-?(0|[1-9][0-9]{0,17})$"
_DELIMITERS = ",\t;|"
_PART_BYTES = 4 * 2**20  # most fields are empty, and each takes room for a while
_BOM = "\ufeff"


@dataclass(frozen=True)
class WideRange:
    """Some lines of wide text, as a `tabular.Chunk`; its rows are the fields that hold something.

    Attributes
    ----------
    file : SourceFile
    begin, end : int
    header : tuple of str
    delimiter : str
    user : int
        The place of the users' column.
    n_rows : int
        About how many there are.
    """

    file: SourceFile
    begin: int
    end: int
    header: tuple[str, ...]
    delimiter: str
    user: int
    n_rows: int

    def load(self, names: Sequence[str]) -> tuple[pa.Table, str]:
        """Read the lines, and return their ratings one below the other."""
        data = self.file.read_range(self.begin, self.end)
        users, items, ratings = self._entries(self._fields(data))
        columns = {"user": _numbers(users), "item": _numbers(items), "rating": ratings}
        digest = hashlib.sha256(data).hexdigest()
        return pa.table({name: columns[name] for name in names}), digest

    def _fields(self, data: memoryview) -> list[pa.Array]:
        """Return the columns, as texts."""
        places = [str(place) for place in range(len(self.header))]
        try:
            table = pacsv.read_csv(
                pa.BufferReader(data),
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=places
                ),
                parse_options=pacsv.ParseOptions(delimiter=self.delimiter),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(places, STRING),
                    null_values=_NOTHING,
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            line = str(error).splitlines()[0]
            raise InputError(
                f"{self.file.label}: a line of the matrix has too few or too many fields ({line})"
            ) from error
        return [table[place].combine_chunks() for place in places]

    def _entries(self, fields: list[pa.Array]) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Return users, items and ratings of all fields that hold something, line by line."""
        items = [n for n in range(len(fields)) if n != self.user]
        filled = [np.flatnonzero(fields[n].is_valid()) for n in items]
        rows = np.concatenate(filled)
        places = np.repeat(items, [len(own) for own in filled])
        ratings = pa.concat_arrays([fields[n].drop_null() for n in items])
        order = pa.array(np.lexsort((places, rows)))
        names = pa.array(self.header, STRING)
        return (
            fields[self.user].take(pa.array(rows)).take(order),
            names.take(pa.array(places)).take(order),
            ratings.take(order),
        )


def _numbers(texts: pa.Array) -> pa.Array:
    """Return ids as numbers if all are written as such."""
    are_whole = pc.all(pc.match_substring_regex(texts.drop_null(), _WHOLE)).as_py()
    return texts.cast(pa.int64()) if are_whole else texts


def open_wide(file: SourceFile, options: ReadOptions) -> TableFile:
    """Find the users and items of a wide text file.

    Raises
    ------
    InputError
        It has no header of items, or is no text.
    """
    head = file.head().decode("utf-8", "replace").removeprefix(_BOM)
    first = head.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    if delimiter not in first or "\0" in head:
        raise InputError(
            f"{file.label}: `wide` reads text with a user in each line and an item in each column, "
            "and their names in the first line"
        )
    header = tuple(name.strip() for name in next(csv.reader([first], delimiter=delimiter)))
    begin = len(file.head().partition(b"\n")[0]) + 1
    user = _user(header, options, file.label)
    cuts = [cut for cut in line_cuts(file, min(options.part_bytes, _PART_BYTES)) if cut > begin]
    chunks = [
        WideRange(file, start, end, header, delimiter, user, max(1, (end - start) // 8))
        for start, end in pairwise([begin, *cuts])
    ]
    schema = pa.schema([(name, STRING) for name in _NAMES])

    def sample(names: Sequence[str]) -> pa.Table:
        return chunks[0].load(names)[0] if chunks else schema.empty_table().select(names)

    known = {role: role for role in _NAMES}
    return open_table(
        file, schema, sample, chunks, options.with_columns({**known, "timestamp": ""})
    )


def _user(header: Sequence[str], options: ReadOptions, label: str) -> int:
    """Return the place of the users' column."""
    name = (options.columns or {}).get("user", header[0])
    if name not in header:
        raise InputError(f"{label}: no column {name!r} (meant as user) in the header; check it")
    if len(set(header)) < len(header):
        twice = next(own for own in header if list(header).count(own) > 1)
        raise InputError(f"{label}: the header has the item {twice!r} twice; rename one of them")
    return list(header).index(name)
