"""Folders and files of a nightly home, its lock, and durable writes.

=====================  ===========================================================================
`inbox/`               new files of ratings; the team puts them here
`taken/RUN/`           files whose ratings are in the data set
`refused/RUN/`         files set aside, each with a `.reason` beside it
`models/VERSION/`      a release: `model/`, the `data/` it was learned from, `release.json`
`models/current`       link to the published release; this one link is what publishing changes
`model`, `data`        fixed links through `models/current`, for readers; so is `ranking`, if there
                       is such a model
`candidates/VERSION/`  releases that the gate refused
`tables/`              what the downstream jobs write
`work/`, `run.json`    the release in the making, and how far its run is
`runs.jsonl`           one line a run
=====================  ===========================================================================
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfdask.errors import InputError, RefusedError
from mfdask.files import atomic_file, check_checksum, file_lock, with_checksum


@dataclass(frozen=True)
class NightlyPaths:
    """Paths of a nightly home."""

    root: Path

    @property
    def models(self) -> Path:
        """Releases."""
        return self.root / "models"

    @property
    def candidates(self) -> Path:
        """Refused releases."""
        return self.root / "candidates"

    @property
    def taken(self) -> Path:
        """Files that are in a data set."""
        return self.root / "taken"

    @property
    def refused(self) -> Path:
        """Files that are in none."""
        return self.root / "refused"

    @property
    def tables(self) -> Path:
        """What the downstream jobs write."""
        return self.root / "tables"

    @property
    def made_of(self) -> Path:
        """Which release the tables are of, and which jobs have made them."""
        return self.root / "tables.json"

    @property
    def work(self) -> Path:
        """The release in the making."""
        return self.root / "work"

    @property
    def state(self) -> Path:
        """How far the unfinished run is."""
        return self.root / "run.json"

    @property
    def journal(self) -> Path:
        """One line a run."""
        return self.root / "runs.jsonl"

    def prepare(self, inbox: Path, parts: Iterable[str] = ("model", "data")) -> None:
        """Make the folders, and the links that readers use, one a part of a release.

        Raises
        ------
        InputError
            If something else is in the place of a link, or the inbox cannot be emptied.
        """
        for folder in (self.models, self.tables, inbox):
            folder.mkdir(parents=True, exist_ok=True)
        if not os.access(inbox, os.W_OK):
            raise InputError(f"{inbox}: files cannot be moved out of it; make it writable")
        for link in (self.root / part for part in parts):
            wanted = Path("models", "current", link.name)
            if link.exists() and not link.is_symlink():
                raise InputError(
                    f"{link}: is in the way of the link to the published one; move it away, or "
                    "give `home` a folder of its own"
                )
            if link.is_symlink() and link.readlink() != wanted:
                link.unlink()
            if not link.is_symlink():
                link.symlink_to(wanted)

    @contextmanager
    def alone(self, wait_seconds: float = 0.0) -> Iterator[None]:
        """Keep every other night, and whoever publishes by hand, out while the block runs.

        Raises
        ------
        RefusedError
            If it is taken for longer than `wait_seconds`.
        """
        end = time.monotonic() + wait_seconds
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(file_lock(self.root / "nightly", "working in"))
                    break
                except RefusedError:
                    if time.monotonic() >= end:
                        raise RefusedError(
                            f"{self.root}: another night is running; wait until it has ended"
                        ) from None
                    time.sleep(0.2)
            yield


def write_durably(path: Path, text: str) -> None:
    """Write a small file, whole or not at all, so that it is there after a power cut.

    The name of a file in it may be no UTF-8: it is written as it is.
    """
    with (
        atomic_file(path) as fresh,
        fresh.open("w", encoding="utf-8", errors="surrogateescape") as file,
    ):
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def write_json(path: Path, said: dict[str, Any], indent: int | None = None) -> None:
    """Write a small JSON file durably, with a checksum of what it says."""
    write_durably(path, json.dumps(with_checksum(said), indent=indent) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` has written; files of older versions have no checksum.

    Raises
    ------
    OSError
    ValueError
        If it is no JSON object, or does not match its checksum.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(said, dict):
        raise ValueError(f"it is {type(said).__name__}, no object")
    check_checksum(said)
    return said


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until all files below a folder are on the disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(root))
