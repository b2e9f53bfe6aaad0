"""The manifest of a data set: what it holds, where it came from, how its files must look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfdask.errors import InputError
from mfdask.ratings.source import IdKind
from mfdask.shards.store import FileFacts

SCHEMA_VERSION = 1
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Counts:
    """Numbers of rows and ratings: ``read = kept + rejected + duplicates``.

    Attributes
    ----------
    read : int
        Rows of the source.
    kept : int
        Ratings of the data set, ``train + test``.
    rejected, duplicates : int
        Bad rows, and good ones that a later rating of the same user and item replaces.
    train, test : int
    users, items : int
        Rows of each side; the items include those of the catalogue that nobody rated.
    """

    read: int
    kept: int
    rejected: int
    duplicates: int
    train: int
    test: int
    users: int
    items: int


@dataclass(frozen=True)
class Manifest:
    """What a data set says of itself.

    Attributes
    ----------
    name, origin : str
        Of the source.
    fingerprint : str
        SHA-256 over the source's bytes and everything that shapes the split.
    created : str
        UTC, ISO 8601.
    counts : Counts
    mean : float
        Mean of the training ratings.
    rating_min, rating_max : float
        Of all kept ratings.
    rating_step : float or None
        Every kept rating is a whole number of these above the smallest; None if there is no such
        grid.
    split : str
        As on the command line.
    seed : int
    user_kind, item_kind : {"int", "string"}
    has_timestamps : bool
    blocks : mapping
        Side to the first row of each block, and the number of rows at the end.
    files : mapping
        Relative path to size and checksum.
    schema_version : int
    """

    name: str
    origin: str
    fingerprint: str
    created: str
    counts: Counts
    mean: float
    rating_min: float
    rating_max: float
    rating_step: float | None
    split: str
    seed: int
    user_kind: IdKind
    item_kind: IdKind
    has_timestamps: bool
    blocks: Mapping[str, list[int]]
    files: Mapping[str, FileFacts]
    schema_version: int = SCHEMA_VERSION

    def write(self, folder: Path) -> None:
        """Write the manifest into the folder of its data set."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a data set.

        Raises
        ------
        InputError
            If there is none, it is damaged, or a newer version of mfdask wrote it.
        """
        try:
            said: dict[str, Any] = json.loads((folder / FILE_NAME).read_text())
            version = said["schema_version"]
            if version > SCHEMA_VERSION:
                raise InputError(
                    f"{folder}: written by a newer mfdask (schema {version}, this one reads up to "
                    f"{SCHEMA_VERSION}); upgrade mfdask"
                )
            said["counts"] = Counts(**said["counts"])
            said["files"] = {path: FileFacts(**facts) for path, facts in said["files"].items()}
            return cls(**said)
        except (FileNotFoundError, NotADirectoryError):
            what = f"no {FILE_NAME} in it" if folder.is_dir() else "there is no such folder"
            raise InputError(
                f"{folder}: no data set, {what}; make one with "
                f"`mfdask ingest SOURCE --out {folder}`"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{folder / FILE_NAME}: damaged ({type(error).__name__}: {error}); ingest again"
            ) from error
