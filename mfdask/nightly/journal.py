"""The journal `runs.jsonl`: one JSON object a run, with a checksum of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mfdask.decoding import check_keys_of
from mfdask.errors import InputError
from mfdask.files import check_checksum, with_checksum

Line = dict[str, Any]

#: How a run can end; the last two are taken up again by the next start.
STATUSES = ("published", "refused", "nothing", "failed", "interrupted")
#: Those after which there is nothing to take up again.
FINAL = STATUSES[:3]

#: What every line says, and of which type it is, and what that of a published run says besides.
_HINTS: dict[str, Any] = {
    "run": int,
    "status": Literal["published", "refused", "nothing", "failed", "interrupted"],
    "reason": str,
    "version": str | None,
    "ended": str,
    "seconds": Mapping[str, float],
    "memory_bytes": Mapping[str, int],
}
_OF_PUBLISHED: dict[str, Any] = {"ratings": int}
#: The first key of a line: a line of an older version has no checksum.
_FIRST, _FIRST_WITHOUT = "crc32", "run"


def is_good(line: Line) -> bool:
    """Whether a run has ended well, with the jobs behind it."""
    return line["status"] in ("published", "nothing") and not line.get("failed_jobs")


def append(path: Path, line: Line) -> None:
    """Add a line in one write, on the disk before this returns.

    A last line that a power cut has torn is closed first, so that it spoils no other.
    """
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    checked = with_checksum(line)
    text = ("\n" if torn else "") + json.dumps({_FIRST: checked[_FIRST]} | checked) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> list[Line]:
    """Return all whole lines, oldest first; none where there is no file."""
    return [line for _, line in _numbered(path) if line is not None]


def check(path: Path, run: int | None) -> None:
    """Refuse a journal with damaged lines, or without the run that has made what is published.

    Parameters
    ----------
    path : Path
    run : int or None
        Its number; None where nothing is published, or the run is not over.

    Raises
    ------
    InputError
        Nights go on in any case: what the journal says can be done without.
    """
    damaged = [str(number) for number, line in _numbered(path) if line is None]
    if damaged:
        raise InputError(f"{path}: damaged in line {', '.join(damaged)}; take out what is left")
    if run is not None and run not in [line["run"] for line in read(path)]:
        raise InputError(
            f"{path}: knows nothing of run {run}, which has made the published release; put the "
            "file back, or wait for the next one"
        )


def _numbered(path: Path) -> Iterator[tuple[int, Line | None]]:
    """Yield the lines by their number; None for one that is torn, or of something else."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for number, own in enumerate(text.splitlines(), start=1):
        try:
            yield number, _parse(own)
        except (ValueError, RecursionError):
            yield number, None


def _parse(text: str) -> Line:
    line = json.loads(text)
    published = isinstance(line, dict) and line.get("status") == "published"
    line = check_keys_of(line, _HINTS | (_OF_PUBLISHED if published else {}))
    if next(iter(line)) not in (_FIRST, _FIRST_WITHOUT):
        raise ValueError("it does not begin as a line does")
    check_checksum(line)
    datetime.fromisoformat(line["ended"])
    return line


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
