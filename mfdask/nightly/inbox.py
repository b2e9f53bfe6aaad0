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


@dataclass(frozen=True)
class Inbox:
    """What lies in an inbox.

    Attributes
    ----------
    ready : list of InboxFile
        By name.
    waiting : dict of str to str
        Names of the files that another night takes in, each with the reason.
    """

    ready: list[InboxFile]
    waiting: dict[str, str]


def look_into(folder: Path, settle_seconds: float, now: float | None = None) -> Inbox:
    """Return the files of an inbox, hidden ones and folders left out.

    Those still being written wait for another night: names that end in ``.partial``, ``.part`` or
    ``.tmp``, and files changed in the last `settle_seconds`. A change in the near future is of
    another clock; one that is further off says that the clock was set back, and is long ago. A
    file that cannot be read waits as well, and one that is renamed while this looks is left out.
    """
    ready, waiting = [], unready(folder, settle_seconds, now)
    for place in _files(folder):
        if place.name in waiting:
            continue
        try:
            ready.append(InboxFile(place.name, place.stat().st_size, sha256(place)))
        except FileNotFoundError:
            continue
        except OSError as error:
            waiting[place.name] = f"cannot be read ({error.strerror}); check its owner and mode"
    return Inbox(ready, waiting)


def unready(folder: Path, settle_seconds: float, now: float | None = None) -> dict[str, str]:
    """Return the names of the files still being written, by `look_into`, each with the reason."""
    now = time.time() if now is None else now
    waiting = {}
    for place in _files(folder):
        with suppress(FileNotFoundError):
            if place.suffix in _UNFINISHED:
                waiting[place.name] = f"by its name ({place.suffix}) it is still being written"
            elif abs(now - place.stat().st_mtime) < settle_seconds:
                waiting[place.name] = f"changed in the last {settle_seconds:g} seconds"
    return waiting


def n_files(folder: Path) -> int:
    """Count the files in an inbox, ready or not; none where there is no folder."""
    return len(_files(folder)) if folder.is_dir() else 0


def _files(folder: Path) -> list[Path]:
    every = sorted(folder.iterdir())
    return [place for place in every if not place.name.startswith(".") and place.is_file()]


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
