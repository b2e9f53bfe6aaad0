"""Releases: a model with its data set; which there are, and which is published.

A release is a folder that never changes. Publishing one is one rename of the link `current`, so a
reader sees the old release or the new one, whole; those who opened the old one keep it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mfdask.decoding import check_keys_of
from mfdask.errors import InputError, RefusedError
from mfdask.models import load_model
from mfdask.nightly.paths import NightlyPaths, read_json, sync_folder, sync_tree
from mfdask.shards import Dataset

FACTS = "release.json"
_CURRENT = "current"
_SCORE = Mapping[str, str | float | None]
#: What `release.json` says, and of which type it is.
_HINTS: dict[str, Any] = {
    "run": int,
    "created": str,
    "before": str | None,
    "data_as_of": int | None,
    "ratings": int,
    "users": int,
    "items": int,
    "kind": str,
    "sweeps": int,
    "scores": list[_SCORE],
    "reasons": list[str],
    "files": list[str],
}
#: What releases of older versions do not say.
_LATER: dict[str, Any] = {"ranking": Mapping[str, str | int | bool]}


@dataclass(frozen=True)
class Release:
    """A release, or a refused candidate.

    Attributes
    ----------
    folder : Path
    facts : dict
        Of `release.json`: `run`, `created`, `before` (the version that was published then, or
        None), `data_as_of`, `ratings`, `users`, `items`, `kind`, `sweeps`, `scores`, `reasons`,
        `files`, and of a ranking model beside it `ranking`, or None.
    """

    folder: Path
    facts: dict[str, Any]

    @property
    def version(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def model(self) -> Path:
        """Return the model's directory."""
        return self.folder / "model"

    @property
    def ranking(self) -> Path | None:
        """Return the directory of the model that ranks beside it, if there is one."""
        return self.folder / "ranking" if self.facts["ranking"] else None

    @property
    def models(self) -> dict[str, Path]:
        """Return the models' directories by name."""
        return {"model": self.model} | ({"ranking": self.ranking} if self.ranking else {})

    @property
    def data(self) -> Path:
        """Return the data set's folder."""
        return self.folder / "data"

    @property
    def rmse(self) -> float | None:
        """Return the RMSE on all held-out ratings; None of a model that only ranks."""
        return next(
            (
                score["candidate"]
                for score in self.facts["scores"]
                if score["slice"] == "held out" and metric_of(score) == "RMSE"
            ),
            None,
        )

    @property
    def data_day(self) -> str:
        """Return the time of the newest rating, for people; empty where there are no times."""
        moment = _moment(self.facts["data_as_of"])
        return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"

    @classmethod
    def open(cls, folder: Path) -> Release:
        """Read a release.

        Raises
        ------
        InputError
            If there is none, or not all of it.
        """
        try:
            said = read_json(folder / FACTS)
            later = {name: hint for name, hint in _LATER.items() if said.get(name) is not None}
            said = check_keys_of(said, _HINTS | later, FACTS)
            facts = {name: said.get(name) for name in (*_HINTS, *_LATER)}
            release = cls(folder, facts)
            datetime.fromisoformat(said["created"])
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{folder}: no release there; see `mfdask models list`") from None
        except (OSError, ValueError) as error:
            line = " ".join(str(error).split())
            raise InputError(
                f"{folder / FACTS}: damaged ({line}), so it is no release there; promote another "
                "of `mfdask models list`"
            ) from None
        for part in (*release.models.values(), release.data):
            if not part.is_dir():
                raise InputError(f"{part}: is gone, and the release is of no use without it")
        return release

    def verify(self) -> None:
        """Compare the files of model and data set with their checksums.

        Raises
        ------
        InputError
            Names the first that differs.
        """
        Dataset.open(self.data, verify=True)
        for model in self.models.values():
            load_model(model)


def metric_of(score: Mapping[str, Any]) -> str:
    """Return what a score of a release measures; older versions had RMSE alone."""
    return str(score.get("metric", "RMSE"))


def version_name(run: int, data_as_of: int | None) -> str:
    """Return the name of a run's release: its number, and the time of its newest rating (UTC).

    The number comes first, so names sort as releases were made, whatever the clock said.
    """
    moment = _moment(data_as_of)
    return f"{run:06d}" if moment is None else f"{run:06d}-{moment:%Y%m%dT%H%M%SZ}"


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def releases(folder: Path) -> list[Release]:
    """Return the releases in a folder, oldest first, but for damaged ones."""
    found = []
    for place in _places(folder):
        with suppress(InputError):
            found.append(Release.open(place))
    return found


def damaged(folder: Path) -> list[str]:
    """Return the names of the others: nobody uses or removes these, but somebody should know."""
    whole = {release.version for release in releases(folder)}
    return [place.name for place in _places(folder) if place.name not in whole]


def _places(folder: Path) -> list[Path]:
    """Return where releases of a folder lie, oldest first."""
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in places if not (p.name.startswith(".") or p.is_symlink())]


def current(home: NightlyPaths) -> Release | None:
    """Return the published release, or None before the first.

    Raises
    ------
    InputError
        If it has been taken away, or damaged.
    """
    version = published_version(home)
    if version is None:
        return None
    try:
        return Release.open(home.models / version)
    except InputError:
        raise InputError(
            f"{home.models / version}: the published release is gone, or damaged; put it back, or "
            "promote another of `mfdask models list`"
        ) from None


def published_version(home: NightlyPaths) -> str | None:
    """Return the name of the published release, be it there or not; None before the first."""
    link = home.models / _CURRENT
    return link.readlink().name if link.is_symlink() else None


@contextmanager
def reading(home: NightlyPaths) -> Iterator[Release]:
    """Yield the published release, which nobody removes while the block runs.

    Raises
    ------
    InputError
        If nothing is published.
    """
    with ExitStack() as held:
        yield _hold(home, held)


@contextmanager
def holding(places: Iterable[Path | str]) -> Iterator[None]:
    """Keep releases from being removed while the block runs: those that models or data sets are of.

    Parameters
    ----------
    places : iterable of Path or str
        Paths or links to them; whatever else is left alone.
    """
    with ExitStack() as held:
        for place in places:
            with suppress(OSError, ValueError, RuntimeError):  # no path, or a circle of links
                folder = Path(place).resolve(strict=True).parent
                file = held.enter_context((folder / FACTS).open("rb"))
                fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _hold(home: NightlyPaths, held: ExitStack) -> Release:
    """Return the published release under a shared lock, which ends with `held`.

    Between reading the link and locking what it names, that may be replaced and removed; then the
    link says what to try next.
    """
    link = home.models / _CURRENT
    while True:
        if not link.is_symlink():
            raise InputError(f"{home.root}: nothing is published yet; run `mfdask nightly`")
        version = link.readlink()
        folder = home.models / version
        try:
            file = held.enter_context((folder / FACTS).open("rb"))
        except FileNotFoundError:
            if link.readlink() == version:
                raise InputError(
                    f"{folder}: the published release has been taken away; promote another"
                ) from None
            continue
        fcntl.flock(file, fcntl.LOCK_SH)
        if folder.exists():
            return Release.open(folder)


def publish(home: NightlyPaths, version: str) -> Release:
    """Make a release the published one.

    Raises
    ------
    InputError
        If there is no such release.
    """
    release = Release.open(home.models / version)
    fresh = home.models / f".{_CURRENT}.partial"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version)
    fresh.replace(home.models / _CURRENT)
    sync_folder(home.models)
    return release


def admit(made: Path, folder: Path, version: str) -> None:
    """Move a finished release from where it was made into `folder`."""
    sync_tree(made)
    folder.mkdir(exist_ok=True)
    made.rename(folder / version)
    sync_folder(folder)


def promote(home: NightlyPaths, version: str) -> Release:
    """Publish any release, or a candidate that the gate refused.

    Raises
    ------
    InputError
        If there is neither, or it is damaged.
    """
    released, refused = (
        {release.version for release in releases(folder)}
        for folder in (home.models, home.candidates)
    )
    if version in refused - released:
        Release.open(home.candidates / version).verify()
        admit(home.candidates / version, home.models, version)
    elif version not in released:  # nor may it be `current`, or a path
        raise InputError(f"{home.models / version}: no release there; see `mfdask models list`")
    else:
        Release.open(home.models / version).verify()
    return publish(home, version)


def roll_back(home: NightlyPaths) -> Release:
    """Publish the release that the published one was learned from.

    Raises
    ------
    RefusedError
        If there is none.
    InputError
        If it is damaged, or releases are there and nothing says which is published.
    """
    release = current(home)
    if release is None and releases(home.models):
        raise InputError(
            f"{home.models / _CURRENT}: is not there, though releases are; promote one of "
            "`mfdask models list`"
        )
    before = release.facts["before"] if release else None
    if before is None or not (home.models / before).exists():
        raise RefusedError(
            f"{home.models}: there is no release before {release.version if release else 'it'}; "
            "choose one of `mfdask models list` and promote it"
        )
    Release.open(home.models / before).verify()
    return publish(home, before)


def remove(release: Release) -> bool:
    """Remove a release unless somebody is reading it; say whether it is gone."""
    with (release.folder / FACTS).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        gone = release.folder.with_name(f".{release.version}.gone")
        release.folder.rename(gone)
    shutil.rmtree(gone)
    return True


def clear_remains(folder: Path) -> None:
    """Remove what a removal that was broken off left behind."""
    for place in folder.glob(".*.gone"):
        shutil.rmtree(place)
