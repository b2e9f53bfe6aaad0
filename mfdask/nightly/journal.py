"""The journal `runs.jsonl`: one JSON object a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mfdask.decoding import check_keys_of

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


def is_good(line: Line) -> bool:
    """Whether a run has ended well, with the jobs behind it."""
    return line["status"] in ("published", "nothing") and not line.get("failed_jobs")


def append(path: Path, line: Line) -> None:
    """Add a line in one write, on the disk before this returns.

    A last line that a power cut has torn is closed first, so that it spoils no other.
    """
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    text = ("\n" if torn else "") + json.dumps(line) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> list[Line]:
    """Return all whole lines, oldest first; none where there is no file."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, RecursionError):  # torn, or of something else
            line = json.loads(text)
            published = isinstance(line, dict) and line.get("status") == "published"
            line = check_keys_of(line, _HINTS | (_OF_PUBLISHED if published else {}))
            datetime.fromisoformat(line["ended"])
            lines.append(line)
    return lines


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
