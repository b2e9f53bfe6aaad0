"""What the app shows: models with their data set, and the folders of a nightly home."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from mfdask.errors import InputError
from mfdask.models import Ability, FactorModel, Model, load_model
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.registry import published_version, reading
from mfdask.nightly.tables import suspects_folder, tables_of_users
from mfdask.recommendation import History, Ranking, Titles, explain_new, recommend_new
from mfdask.recommendation.topn import check_same_data
from mfdask.shards import Dataset

T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """Models of one data set, and the data set where it is there.

    Attributes
    ----------
    models : mapping of str to Model
        By the names that they go by on the pages; all are of the same data.
    data : Dataset or None
    version : str
        Of the release that they are, empty if they are of none.
    """

    models: Mapping[str, Model]
    data: Dataset | None
    version: str = ""

    def __post_init__(self) -> None:
        """Refuse models of other data.

        Raises
        ------
        InputError
        """
        first = next(iter(self.models.values()), None)
        for name, model in self.models.items():
            check_same_data(model, self.data)
            if first is not None and model.data.fingerprint != first.data.fingerprint:
                raise InputError(
                    f"{name}: was learned from {model.data.name}, with other ratings than the "
                    f"first model's {first.data.name}; show it in an app of its own"
                )

    @cached_property
    def items(self) -> pd.DataFrame:
        """What the first model knows of its items, in row order."""
        return next(iter(self.models.values())).items

    @cached_property
    def has_titles(self) -> bool:
        """Whether any item has a title."""
        return "title" in self.items and bool((self.items["title"].fillna("") != "").any())

    @cached_property
    def _remembered(self) -> dict[Hashable, Any]:
        return {}

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made under a key, for all readers; it is made at its first use."""
        if key not in self._remembered:
            self._remembered[key] = make()
        found: T = self._remembered[key]
        return found

    def able(self, *abilities: Ability) -> dict[str, FactorModel]:
        """Return the models of factors that have some abilities, by name."""
        return {
            name: model
            for name, model in self.models.items()
            if isinstance(model, FactorModel) and set(abilities) <= model.estimator.abilities
        }

    @cached_property
    def titles(self) -> Titles:
        """Finds items by title."""
        return Titles(self.items)

    @cached_property
    def by_id(self) -> dict[str, int]:
        """Row of each item by its id as a text."""
        return {str(item_id): row for row, item_id in enumerate(self.items["item_id"].tolist())}

    @cached_property
    def genres(self) -> list[str]:
        """Names of the genres of the items; empty where there are none."""
        if "genres" not in self.items:
            return []
        return sorted(set(self.items["genres"].fillna("").str.cat(sep="|").split("|")) - {""})

    @cached_property
    def years(self) -> tuple[int, int] | None:
        """First and last year of the items, None where there are no years."""
        if "year" not in self.items or self.items["year"].isna().all():
            return None
        return int(self.items["year"].min()), int(self.items["year"].max())

    @cached_property
    def lacking(self) -> list[str]:
        """What the items do not have that pages show, a sentence each."""
        have = {"titles": self.has_titles, "genres": self.genres, "years": self.years}
        return [f"The items have no {name}" for name, there in have.items() if not there]

    @cached_property
    def notes(self) -> list[str]:
        """What is shown, and as of when: a sentence each."""
        lines = [
            f"{name}: {model.kind} on {model.data.name}, {model.data.n_train:,} training ratings"
            for name, model in self.models.items()
        ]
        if self.data is not None:
            lines.append(f"data of {self.data.manifest.created[:10]}")
        return [f"release {self.version}", *lines] if self.version else lines

    def warm_up(self) -> None:
        """Let what is compiled, or built at its first use, be ready before there are readers."""
        if not self.models:
            return
        _ = self.titles, self.by_id, self.genres
        for model in self.models.values():
            if model.can(Ability.NEW_USERS):
                one = {self.items["item_id"].tolist()[0]: model.data.rating_max}
                for variety in (0.0, 0.1):
                    with suppress(InputError):  # too few items to choose from
                        history, ranking = History.of(model, one), Ranking(2, variety=variety)
                        listed = recommend_new(model, history, ranking)["item_id"]
                        explain_new(model, history, listed, ranking)


@dataclass
class Site:
    """All that the pages read.

    Attributes
    ----------
    fixed : Shown or None
        Models that were named; else those of the published release are shown.
    home : NightlyPaths or None
    anomalies : Path or None
        The folder that `mfdask anomalies` has written.
    customers : sequence of Path
        The tables of `mfdask churn` and `mfdask ltv`.
    allow_promote : bool
        Whether readers may publish another release of `home`.
    """

    fixed: Shown | None = None
    home: NightlyPaths | None = None
    anomalies: Path | None = None
    customers: Sequence[Path] = ()
    allow_promote: bool = False
    _newest: Shown | None = None
    _held: ExitStack = field(default_factory=ExitStack)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> Shown:
        """Return the models to show now: a release that was published since is read first.

        The release is kept from being pruned until another takes its place.

        Raises
        ------
        InputError
            If nothing is published, or it is damaged.
        """
        if self.fixed is not None:
            return self.fixed
        assert self.home is not None
        with self._lock:
            if self._newest is None or self._newest.version != published_version(self.home):
                self._read_published(self.home)
            assert self._newest is not None
            return self._newest

    def _read_published(self, home: NightlyPaths) -> None:
        with ExitStack() as fresh:
            release = fresh.enter_context(reading(home))
            models = {name: load_model(folder) for name, folder in release.models.items()}
            newest = Shown(models, Dataset.open(release.data), release.version)
            self._held.close()
            self._newest, self._held = newest, fresh.pop_all()

    def suspects(self) -> dict[str, Path]:
        """Return the tables of suspects by name: those given, or of the nights; of all, last."""
        folder = self.anomalies
        if folder is None and self.home is not None:
            folder = suspects_folder(self.home)
        files = sorted(folder.glob("*.parquet")) if folder is not None else []
        return {f.stem: f for f in sorted(files, key=lambda file: file.stem.endswith("_scores"))}

    def of_customers(self) -> dict[str, Path]:
        """Return the tables of users by name: those given, or of the nights."""
        files = list(self.customers)
        if self.home is not None and not files:
            files = tables_of_users(self.home)
        return {file.stem: file for file in files}

    def close(self) -> None:
        """Let go of the release."""
        self._held.close()


def shown_of(models: Sequence[Path], data: str | None) -> Shown:
    """Read models and their data set.

    Parameters
    ----------
    models : sequence of Path
    data : str or None
        Folder or URL; by default the one that the first model was learned from, if it is there.

    Raises
    ------
    InputError
        If one is no model, or of other data.
    """
    read = dict(zip(_names(models), map(load_model, models), strict=True))
    return Shown(read, Dataset.open(data) if data else _own_data(next(iter(read.values()))))


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the name of each folder, or its path where two have one name."""
    names = [path.resolve().name for path in paths]
    return [
        name if names.count(name) == 1 else str(path)
        for path, name in zip(paths, names, strict=True)
    ]


def _own_data(model: Model) -> Dataset | None:
    found: Any = None
    if model.data.address:
        with suppress(InputError):
            found = Dataset.open(model.data.address)
    return found if found and found.fingerprint == model.data.fingerprint else None
