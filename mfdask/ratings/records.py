"""Passes over the bytes of text files: records of several lines, and zeros in front of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PIECE = 2**18  # bytes that stay in the cache of a core


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


def record_cuts(path: Path, part_bytes: int) -> list[int]:
    """Return where parts begin, and the end of the file: each just behind a record."""
    cuts, begin, is_open = [0], 0, 0
    with path.open("rb") as file:
        while block := file.read(part_bytes):
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


def leading_zeros(data: memoryview, delimiter: str) -> np.ndarray:
    """Return the places of zeros at the start of a field that digits follow, int64 (n,)."""
    values = np.frombuffer(data, np.uint8)
    zero_first = (values[:1] == ord("0")) & (values[1:2] - ord("0") < 10)
    found = [np.flatnonzero(zero_first)]
    for begin in range(0, len(values) - 2, PIECE):
        piece = values[begin : begin + PIECE + 2]
        before, zero = piece[:-2], piece[1:-1] == ord("0")
        starts = (before == ord(delimiter[-1])) | (before == ord("\n")) | (before == ord('"'))
        found.append(begin + 1 + np.flatnonzero(starts & zero & (piece[2:] - ord("0") < 10)))
    return np.concatenate(found)
