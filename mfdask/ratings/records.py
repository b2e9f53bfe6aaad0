"""Passes over the bytes of text files: parts, records of several lines, zeros before numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from mfdask.ratings.source_file import SourceFile

PIECE = 2**16  # bytes: what is made of them is below what malloc maps and gives back each time
#: A number that is written with zeros in front.
LEADING_ZERO = re.compile(r"\s*0[0-9]")


def join_records(lines: list[str]) -> list[str]:
    """Join the lines of each record: those up to which its quotes are even in number."""
    records, pending, quotes = [], list[str](), 0
    for line in lines:
        pending.append(line.rstrip("\r"))
        quotes += line.count('"')
        if quotes % 2 == 0:
            records.append(" ".join(pending))
            pending = []
    return records


def record_cuts(source: SourceFile, part_bytes: int, escapes: bool = False) -> list[int]:
    r"""Return where parts begin, and the end of the file: each just behind a record.

    With `escapes`, ``\"`` neither opens nor closes.
    """
    cuts, begin, is_open = [0], 0, 0
    with source.open() as file:
        while block := file.read(part_bytes):
            if escapes:
                block += file.read(1) if block.endswith(b"\\") else b""
                block = block.replace(b'\\"', b'""')
            values = np.frombuffer(block, np.uint8)
            inside = (_within_quotes(values) + is_open) & 1
            ends = np.flatnonzero((values == ord("\n")) & (inside == 0))
            if len(ends):
                cuts.append(begin + int(ends[-1]) + 1)
            begin, is_open = begin + len(block), int(inside[-1])
    return cuts if cuts[-1] == begin else [*cuts, begin]


def _within_quotes(values: np.ndarray) -> np.ndarray:
    """Return 1 for each byte behind an odd number of quotes, uint8 (n,)."""
    return np.cumsum(values == ord('"'), dtype=np.uint8) & 1


def join_lines(data: memoryview) -> None:
    """Put a space in the place of each line break within quotes."""
    values = np.frombuffer(data, np.uint8)
    breaks = (values == ord("\n")) | (values == ord("\r"))
    values[breaks & (_within_quotes(values) == 1)] = ord(" ")


def lines_with_zeros(data: memoryview, delimiter: str, columns: list[int]) -> Iterator[str]:
    """Yield lines that may have a number with zeros in front in one of some columns.

    Only lines with such a number in any column are looked at. Delimiters within quotes count as
    those of columns here, and so do single colons for ``::``: of lines with quotes, or with
    colons, all are yielded.
    """
    values = np.frombuffer(data, np.uint8)
    places = _leading_zeros(values, delimiter)
    if not len(places):
        return
    breaks, signs, quotes = (
        np.flatnonzero(values == ord(sign)) for sign in ("\n", delimiter[-1], '"')
    )
    lines = np.searchsorted(breaks, places)
    begins = np.append(-1, breaks)[lines] + 1
    inside = np.searchsorted(signs, places) - np.searchsorted(signs, begins)
    quoted = np.searchsorted(quotes, places + 1) > np.searchsorted(quotes, begins)
    wanted = np.isin(inside, columns) | quoted | (len(delimiter) > 1)
    ends = np.append(breaks, len(values))
    for line in np.unique(lines[wanted]).tolist():
        begin = breaks[line - 1] + 1 if line else 0
        yield bytes(data[begin : ends[line]]).decode("utf-8", "replace")


def _leading_zeros(values: np.ndarray, delimiter: str) -> np.ndarray:
    """Return the places of zeros at the start of a field that digits follow, int64 (n,)."""
    zero_first = (values[:1] == ord("0")) & (values[1:2] - ord("0") < 10)
    found = [np.flatnonzero(zero_first)]
    for begin in range(0, len(values) - 2, PIECE):
        piece = values[begin : begin + PIECE + 2]
        before, zero = piece[:-2], piece[1:-1] == ord("0")
        starts = (before == ord(delimiter[-1])) | (before == ord("\n")) | (before == ord('"'))
        found.append(begin + 1 + np.flatnonzero(starts & zero & (piece[2:] - ord("0") < 10)))
    return np.concatenate(found)


def line_cuts(source: SourceFile, part_bytes: int) -> list[int]:
    """Return where parts begin, and the end of the file: each just behind a line break."""
    size = source.size()
    cuts = [0]
    with source.open() as file:
        while cuts[-1] + part_bytes < size:
            cuts.append(_next_line(file, cuts[-1] + part_bytes - 1, size))
    return cuts if cuts[-1] == size else [*cuts, size]


def _next_line(file: BinaryIO, place: int, size: int) -> int:
    """Return the place behind the first line break at or after `place`."""
    file.seek(place)
    while block := file.read(2**16):
        found = block.find(b"\n")
        if found >= 0:
            return place + found + 1
        place += len(block)
    return size


def count_lines(data: bytes | memoryview) -> int:
    """Count lines: breaks, piece by piece, in cache, is six times as fast as `bytes.count`."""
    values = np.frombuffer(data, np.uint8)
    pieces = (values[begin : begin + PIECE] for begin in range(0, len(values), PIECE))
    n_breaks = sum(int(np.count_nonzero(piece == ord("\n"))) for piece in pieces)
    return n_breaks + int(len(data) > 0 and data[-1] != ord("\n"))
