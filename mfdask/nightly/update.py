"""Extend the published data set by the new files."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client

from mfdask.errors import ClusterError, InputError, MfdaskError
from mfdask.execution import executor
from mfdask.files import is_of_a_full_disk
from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ingestion.extend import columns_of, extend, verify_files
from mfdask.ingestion.reading import are_few
from mfdask.nightly.config import DataConfig
from mfdask.nightly.inbox import WITHDRAWN
from mfdask.progress import Progress
from mfdask.ratings.formats import open_source
from mfdask.ratings.source import Source
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset, Manifest

#: What the system says where no file is to blame.
_OF_THE_MACHINE = (errno.EROFS, errno.EMFILE, errno.ENFILE)
_LOG = logging.getLogger(__name__)


@dataclass
class DataUpdate:
    """Makes a data set in `target` of the one to begin with, if there is one, and new files.

    Attributes
    ----------
    begin : Path or None
    target : Path
    files : sequence of Path
    config : DataConfig
    cluster : callable
        Starts the cluster, or returns the one that is there.
    progress : Progress
    bad : dict of str to str
        Names of files that could not be taken in, each with the reason.
    """

    begin: Path | None
    target: Path
    files: Sequence[Path]
    config: DataConfig
    cluster: Callable[[], Client]
    progress: Progress
    bad: dict[str, str] = field(default_factory=dict)
    _sources: dict[Path, Source] = field(default_factory=dict)
    _client: Client | None = None
    _deaths: list[Exception] = field(default_factory=list)

    def grow(self) -> bool:
        """Make the data set; False where no file could be taken in.

        All files at once where all are good; else one after the other, to find the bad ones, and
        withdrawals last: they take out ratings of the same night, too. So a file at which workers
        die is blamed if they die of it alone, and not of each other file as well.

        Raises
        ------
        RefusedError
            If workers die of every file.
        """
        if self.begin is not None:
            self._check(self.begin)  # what is wrong with it is no file's fault
        for file in self.files:
            with self._blaming(file):
                self._sources[file] = self._open(file)
        if not are_few(list(self._sources.values())):  # else a cluster is not worth its start
            self._client = self.cluster()  # that it does not start is no file's fault either
        self._restart()
        try:
            self._take(list(self._sources))
        except Exception as error:
            if self._is_no_files_fault(error):
                raise
            self._restart()
            for file in sorted(self._sources, key=lambda file: WITHDRAWN in file.name):
                with self._blaming(file):
                    self._take([file])
            if self._deaths and len(self._deaths) == len(self._sources) > 1:
                raise self._deaths[-1] from error  # of all files alike
        return len(self.bad) < len(self.files)

    def _check(self, begin: Path) -> None:
        """Refuse to begin with a data set that is damaged, or cannot grow."""
        data = Dataset.open(begin)
        _check_split(data)
        if not self.config.start and self.config.split != data.manifest.split:
            _LOG.warning(
                "data.split: %s is left aside, the data set is cut by %s and stays so",
                self.config.split,
                data.manifest.split,
            )
        with executor(None, self.progress, parallel=False) as run:
            verify_files(data, run)

    def _restart(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        if self.begin is not None:
            link_tree(self.begin, self.target)

    @contextmanager
    def _blaming(self, file: Path) -> Iterator[None]:
        """Note whatever goes wrong with a file as the reason why it is not taken in."""
        try:
            yield
        except Exception as error:
            if self._is_no_files_fault(error):
                raise
            if self._client is not None:
                from distributed import KilledWorker

                if isinstance(error.__cause__, KilledWorker):
                    self._deaths.append(error)
            kind = "" if isinstance(error, MfdaskError) else f"{type(error).__name__}: "
            self.bad[file.name] = " ".join(f"{kind}{error}".split())

    def _is_no_files_fault(self, error: BaseException | None) -> bool:
        """Whether an error is of the machine, or of the cluster, and would hit any other file."""
        if isinstance(error, ClusterError):
            return True
        if self._client is not None:
            from distributed.comm import CommClosedError

            if isinstance(error, CommClosedError | CancelledError | TimeoutError):
                return True
            if self._client.status != "running":
                return True
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return True
        return is_of_a_full_disk(error)

    def _take(self, files: Sequence[Path]) -> None:
        """Extend the data set by `files`; the first of the first night is ingested."""
        more = list(files)
        if more and not self.target.exists():
            first = next((file for file in more if WITHDRAWN not in file.name), None)
            if first is None:
                raise InputError("withdraws ratings of a data set that is not there yet")
            more.remove(first)
            choices = IngestOptions(
                Split.parse(self.config.split),
                self.config.seed,
                self.config.blocks or None,
                self.config.max_rejected,
                None if self.config.repeats == "auto" else self.config.repeats,
            )
            ingest(self._sources[first], self.target, choices=choices, **self._run)
        if more:
            ratings = [self._sources[file] for file in more if WITHDRAWN not in file.name]
            gone = [self._sources[file] for file in more if WITHDRAWN in file.name]
            options = {"max_rejected": self.config.max_rejected, "verify": False, **self._run}
            extend(self.target, ratings, withdrawn=gone, **options)

    @property
    def _run(self) -> dict[str, Any]:
        """Where sources are taken in."""
        return {"client": self._client, "progress": self.progress}

    def _open(self, file: Path) -> Source:
        columns: Mapping[str, str] | None = self.config.columns or None
        cache, values = self.target.with_name("cache"), self.config.map or None
        if WITHDRAWN in file.name:
            columns, values = {**self.config.columns, "rating": "", "weight": ""}, None
        elif self.begin is not None:
            columns = columns_of(Manifest.read(self.begin), columns)
        return open_source(
            str(file),
            columns=columns,
            cache_dir=cache,
            event_values=values,
            dialect=self.config,
        )


def _check_split(begin: Dataset) -> None:
    """Refuse a split that no gate could judge, or that cannot grow."""
    split = Split.parse(begin.manifest.split)
    if split.kind == "none" or split.is_by_rows:
        raise InputError(
            f"{begin.path}: with its split, {split}, nothing is held out for the gate, or nothing "
            "can be taken in; ingest it again with random or time"
        )


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder whose files never change in place: by hard links, where these are possible."""

    def link(one: str, other: str) -> str:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)
        return other

    shutil.copytree(source, target, copy_function=link)


def data_as_of(data: Dataset) -> int | None:
    """Return the time of the newest rating, seconds since 1970; None where there are no times."""
    newest = []
    for part in ("train", "test"):
        for block in range(data.n_blocks("users")):
            times = data.timestamps(block, part)
            if times is not None and len(times):
                newest.append(int(times.max()))
    return max(newest, default=None)
