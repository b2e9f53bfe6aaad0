"""The inbox: new files of ratings, and where they are moved once handled."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mfdask.nightly.paths import write_durably

#: A file with this in its name holds ratings that are to go.
WITHDRAWN = ".withdrawn."
#: Endings of files that somebody is still writing.
_UNFINISHED = (".partial", ".part", ".tmp")
#: Bytes; with what is put behind and before it a longer name would be too long for the system.
_LONG_NAME = 230


@dataclass(frozen=True)
class InboxFile:
    """A file of the inbox."""

    name: str
    bytes: int
    sha256: str

    @property
    def contents(self) -> str:
        """What it brings: two files of the same are one, but ratings are no withdrawal of them."""
        return f"{self.sha256}{WITHDRAWN if WITHDRAWN in self.name else ''}"

    def is_at(self, place: Path) -> bool:
        """Whether a file is this one."""
        same_size = place.is_file() and place.stat().st_size == self.bytes
        return same_size and sha256(place) == self.sha256


def inbox_files(folder: Path, settle_seconds: float, now: float | None = None) -> list[InboxFile]:
    """Return the files of an inbox by name.

    Hidden ones, folders, and those still being written are left for another night: names that end
    in ``.partial``, ``.part`` or ``.tmp``, and files changed in the last `settle_seconds`, or
    renamed while this looks. A change in the near future is of another clock; one that is further
    off says that the clock was set back, and is long ago.
    """
    now = time.time() if now is None else now
    found = []
    for place in sorted(folder.iterdir()):
        if place.name.startswith(".") or not place.is_file() or place.suffix in _UNFINISHED:
            continue
        with suppress(FileNotFoundError):
            facts = place.stat()
            if abs(now - facts.st_mtime) >= settle_seconds:
                found.append(InboxFile(place.name, facts.st_size, sha256(place)))
    return found


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_away(arrival: InboxFile, inbox: Path, folder: Path, reason: str | None = None) -> None:
    """Move a file out of the inbox, with the reason beside it where it was not taken in.

    Nothing happens if it was moved already, and a new file of its name stays.
    """
    place = inbox / arrival.name
    if not arrival.is_at(place):
        return
    folder.mkdir(parents=True, exist_ok=True)
    target, n = folder / arrival.name, 1
    while target.exists():
        n += 1
        target = folder / f"{n}-{arrival.name}"
    if reason is not None:
        long = len(os.fsencode(target.name)) > _LONG_NAME
        beside = arrival.sha256 if long else target.name
        write_durably(target.with_name(f"{beside}.reason"), reason + "\n")
    shutil.move(place, target)
