"""The manifest of a data set: counts, sources, split, and checksums of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

from mfdask.decoding import check_keys_of, decode
from mfdask.errors import InputError
from mfdask.files import check_checksum, with_checksum
from mfdask.ratings.source import Feedback, IdKind, Repeats
from mfdask.shards.store import TIMESTAMPS, WEIGHTS, FileFacts

SCHEMA_VERSION = 6
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Counts:
    """Numbers of rows: ``read = kept + rejected + duplicates + withdrawn + zeros``.

    Attributes
    ----------
    read : int
        Rows of ratings, from all that was taken in.
    kept : int
        Ratings of the data set, ``train + test``.
    rejected, duplicates : int
        Bad rows, and good ones that a later rating of the same user and item replaces, or that are
        added to another.
    train, test : int
    users, items : int
        Rows of each side; the items include those of the catalogue that nobody rated.
    withdrawn : int
        Ratings taken out again by a withdrawal.
    zeros : int
        Rows of counts that say that nothing has happened.
    repeat_events : int or None
        Events of the pairs that occur at several times, each of which is kept with its time. None
        where they are not: without timestamps, and in data sets of schemas before 5.
    """

    read: int
    kept: int
    rejected: int
    duplicates: int
    train: int
    test: int
    users: int
    items: int
    withdrawn: int = 0
    zeros: int = 0
    repeat_events: int | None = None


@dataclass(frozen=True)
class TakenFile:
    """A file whose rows are in a data set.

    Attributes
    ----------
    file : str
        Its name.
    digest : str
        SHA-256 of its contents; of a file read in several parts, of the digests of the parts.
    read, rejected : int
        Its rows, and the bad ones among them.
    withdraws : bool
        Whether its rows take ratings out.
    taken : str
        When: UTC, ISO 8601.
    """

    file: str
    digest: str
    read: int
    rejected: int
    withdraws: bool
    taken: str


@dataclass(frozen=True)
class Manifest:
    """Description of a data set, kept in `manifest.json`.

    Attributes
    ----------
    name, origin : str
        Of the source.
    fingerprint : str
        SHA-256 over the source's bytes and everything that shapes the split; of a data set that
        took more in, over its fingerprint before and the same of what it took.
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
    sources : list of TakenFile
        What was taken in, first to last. Data sets of schema 1 do not know it.
    feedback : {"ratings", "counts", "events"}
        What the values are: ratings, sums or numbers of rows, or 1 for what has happened. Data sets
        of schemas before 4 hold ratings.
    repeats : {"latest", "sum", "count"}
        What became, and becomes of new rows, where there are several of one user and item: the
        latest stays, the values are added up, or the rows are counted.
    mean_weight : float or None
        Mean weight of a training rating; None where ratings have no weights, as in data sets of
        schemas before 6.
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
    sources: list[TakenFile] = field(default_factory=list)
    feedback: Feedback = "ratings"
    repeats: Repeats = "latest"
    mean_weight: float | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def has_weights(self) -> bool:
        """Whether ratings have weights."""
        return self.mean_weight is not None

    @property
    def beside(self) -> list[str]:
        """What lies beside the ratings of user shards; see `store.BESIDE`."""
        there = {TIMESTAMPS: self.has_timestamps, WEIGHTS: self.has_weights}
        return [name for name, is_there in there.items() if is_there]

    @property
    def holds(self) -> str:
        """What its values are, in a few words."""
        added = {"sum": "added up", "count": "numbers of rows"}.get(self.repeats)
        return f"{self.feedback}, {added}" if added else self.feedback

    @property
    def scale(self) -> str:
        """The values that there are: ``0.5 to 5``."""
        return f"{self.rating_min:g} to {self.rating_max:g}"

    def write(self, folder: Path) -> None:
        """Write the manifest into the folder of its data set."""
        (folder / FILE_NAME).write_text(json.dumps(with_checksum(asdict(self)), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a data set.

        Raises
        ------
        InputError
            If there is none, it is damaged, or a newer version of mfdask wrote it.
        """
        try:
            text = (folder / FILE_NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            what = f"no {FILE_NAME} in it" if folder.is_dir() else "there is no such folder"
            if folder.is_file():
                what = "it is a file"
            raise InputError(
                f"{folder}: no data set, {what}; make one with "
                f"`mfdask ingest SOURCE --out {folder}`"
            ) from None
        return cls.parse(text, str(folder))

    @classmethod
    def parse(cls, text: bytes, place: str) -> Manifest:
        """Take apart the text of the manifest at `place`; raises as `read`."""
        try:
            said = check_keys_of(json.loads(text), {"schema_version": int})
            version = said["schema_version"]
            if version > SCHEMA_VERSION:
                raise InputError(
                    f"{place}: written by a newer mfdask (schema {version}, this one reads up to "
                    f"{SCHEMA_VERSION}); upgrade mfdask"
                )
            check_checksum(said)
            made = decode(cls, said)
            _check_blocks(made)
            return made
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{place}/{FILE_NAME}: damaged ({type(error).__name__}: {error}); ingest again"
            ) from error


def _check_blocks(made: Manifest) -> None:
    """Raise `ValueError` where the blocks are not those of as many users and items."""
    for side, n_rows in (("users", made.counts.users), ("items", made.counts.items)):
        bounds = made.blocks.get(side, [])
        ascend = all(one <= other for one, other in pairwise(bounds))
        if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != n_rows or not ascend:
            raise ValueError(f"the blocks of {side} are not those of {n_rows:,} rows")
