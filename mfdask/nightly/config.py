"""The configuration of the nights: the tables of `nightly.toml` as dataclasses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.features.file import ONE
from mfdask.files import from_home
from mfdask.models import Ability, Estimator, kind_of
from mfdask.nightly.settings import Table, build, check_keys, override, read_toml, take_table
from mfdask.parameters import Parametrised, parameter
from mfdask.ratings.dialect import Dialect
from mfdask.ratings.splits import Split
from mfdask.shards.remote import is_url


@dataclass(frozen=True)
class InboxConfig(Parametrised):
    """The inbox of new files."""

    folder: str = parameter(
        "inbox", "Folder of new files, within the home or absolute, on the same file system."
    )
    on_bad_file: Literal["set-aside", "stop"] = parameter(
        "set-aside", "What becomes of a night with a file that cannot be read."
    )
    settle_seconds: float = parameter(
        5.0, "A file changed less than so long ago is still being written, and waits.", at_least=0
    )


@dataclass(frozen=True)
class DataConfig(Dialect):
    """Options of the ingest; later nights extend the data set of the first.

    How files are written is said as to `mfdask ingest`.

    Attributes
    ----------
    columns : mapping of str to str
        Which column is which, as `mfdask ingest --columns`.
    map : mapping of str to float
        What words are worth, as `mfdask ingest --map`.
    """

    split: str = parameter("random:0.1", "What is held out, as `mfdask ingest --split`.")
    seed: int = parameter(42, "Seed of the split.")
    blocks: int = parameter(0, "Blocks a side; 0: as many as the ratings ask for.", at_least=0)
    start: str = parameter("", "Data set that the first night extends; empty: none.")
    max_rejected: float = parameter(
        0.01,
        "Share of bad rows, which are left out, up to which a file is taken in, on any night.",
        at_least=0,
        at_most=1,
    )
    repeats: Literal["auto", "latest", "sum", "count"] = parameter(
        "auto", "As `mfdask ingest --repeats`, on the first night; auto: its default."
    )
    columns: Mapping[str, str] = field(default_factory=dict)
    map: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingConfig(Parametrised):
    """Kind and parameters of the model that is learned."""

    model: str = parameter("als", "Kind of model, as `mfdask train --model`.")
    preset: str = parameter("", "As `mfdask train --preset`; empty: none.")
    item_features: str = parameter("", "File of item features, if the model needs one.")
    user_features: str = parameter("", "File of user features, if the model needs one.")
    warm: bool = parameter(True, "Begin with the published model's rows, if they fit.")
    always: bool = parameter(False, "Train also where nothing new came in.")
    checkpoint_every: int = parameter(5, "Sweeps between two checkpoints.", at_least=0)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def estimator(self, table: str = "training") -> Estimator:
        """Return what learns the model; `table` is what errors call the configuration's.

        Raises
        ------
        InputError
            If a parameter cannot be meant, or a file of features is missing or useless.
        """
        kind = kind_of(self.model)
        keys = {name: f"{table}.{own.option}" for name, own in kind.open_parameters.items()}
        try:
            made = kind.configure(self.parameters, self.preset or None, unattended=True)
        except InputError as error:
            raise InputError(error.with_names(keys | {"preset": f"{table}.preset"})) from None
        for one in ONE.values():
            key, given = f"{table}.{one}-features", getattr(self, f"{one}_features")
            needed = getattr(made, f"needs_{one}_features")
            if needed and not given:
                raise InputError(f"{key}: this model needs a file of {one} features")
            if given and not needed:
                raise InputError(f"{key}: this model follows no file; leave it out")
        return made

    @property
    def features(self) -> dict[str, Path]:
        """The files of features, as `Estimator.fit` takes them."""
        files = {f"{one}_features": getattr(self, f"{one}_features") for one in ONE.values()}
        return {name: Path(file) for name, file in files.items() if file}


@dataclass(frozen=True)
class GateConfig(Parametrised):
    """Conditions under which a candidate is published."""

    tolerance: float = parameter(
        0.005,
        "Rating units by which its RMSE may be above the published, on any slice.",
        at_least=0,
    )
    surprise: float = parameter(
        1.25,
        "Its RMSE on the night's new held-out ratings over the published model's on those held out "
        "before, at most: files of another nature are refused.",
        at_least=1,
    )
    ranking_tolerance: float = parameter(
        0.01,
        "NDCG by which the lists of a model that ranks may be worse than the published model's.",
        at_least=0,
    )
    ranking_users: int = parameter(
        2000, "Users whose lists are measured, drawn at random.", at_least=1
    )
    newest_days: float = parameter(30.0, "Length of the newest slice.", at_least=0)
    min_ratings: int = parameter(100, "Slices and nights of fewer ratings do not decide.")
    coverage: float = parameter(
        0.99, "Share of the published users, and items, that must be there.", at_least=0, at_most=1
    )
    size: float = parameter(
        0.95, "Share of the published ratings that must be there.", at_least=0, at_most=1
    )
    max_rmse: float = parameter(0.0, "The RMSE must not exceed this; 0: anything goes.", at_least=0)
    min_rows: float = parameter(
        0.0,
        "A night's rows over the median of the last seven nights', at least; 0: off.",
        at_least=0,
    )
    max_rows: float = parameter(0.0, "The same, at most; 0: off.", at_least=0)
    max_shift: float = parameter(
        0.5,
        "By how much the share of a rating value may differ from the data set's before; 1: off.",
        at_least=0,
        at_most=1,
    )
    max_new_users: float = parameter(
        1.0, "Share of a night's rows whose users are new, at most; 1: off.", at_least=0, at_most=1
    )
    max_new_items: float = parameter(1.0, "The same of items.", at_least=0, at_most=1)
    max_age_days: float = parameter(
        0.0, "Days since the newest rating, at most; 0: off.", at_least=0
    )


@dataclass(frozen=True)
class DownstreamConfig(Parametrised):
    """A job that follows each published model.

    Attributes
    ----------
    job : str
        Such as ``recommend``.
    arguments : tuple of str
        ``{model}``, ``{ranking}``, ``{data}``, ``{tables}`` and ``{version}`` stand for what they
        are; ``{ranking}`` for the model, where no other one ranks.
    """

    job: str
    arguments: tuple[str, ...] = ()
    timeout_minutes: float = parameter(
        120.0, "Time that the job may take; then it is ended, and has failed.", above=0
    )


@dataclass(frozen=True)
class RetentionConfig(Parametrised):
    """What is kept: the newest of each, and what is younger."""

    models: int = parameter(7, "Newest releases that are kept.", at_least=1)
    candidates: int = parameter(2, "Newest refused candidates that are kept.", at_least=0)
    days: float = parameter(
        0.0, "What is younger is kept; 0: age keeps nothing.", at_least=0, at_most=36_500
    )


@dataclass(frozen=True)
class HooksConfig(Parametrised):
    """Commands that get a run's line of `runs.jsonl` on standard input; empty: none."""

    success: str = parameter("", "Command after a night that ended well.")
    failure: str = parameter("", "Command after any other.")
    timeout_seconds: float = parameter(60.0, "Time that a command may take.", above=0)


@dataclass(frozen=True)
class NightlyConfig:
    """A whole `nightly.toml`.

    Attributes
    ----------
    home : Path
        Folder that holds everything.
    at : str
        When nights start, HH:MM, for `mfdask status`; empty: not known.
    metrics : str
        Prometheus text file, within the home or absolute; empty: none.
    timeout_minutes : float
        Time that a night may take; 0: any.
    """

    home: Path
    at: str = ""
    metrics: str = "metrics.prom"
    timeout_minutes: float = 1440.0
    inbox: InboxConfig = InboxConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    ranking: TrainingConfig | None = None
    gate: GateConfig = GateConfig()
    downstream: tuple[DownstreamConfig, ...] = ()
    retention: RetentionConfig = RetentionConfig()
    hooks: HooksConfig = HooksConfig()
    cluster: ClusterConfig = field(default_factory=ClusterConfig)

    @property
    def trainings(self) -> dict[str, TrainingConfig]:
        """What a night learns, by the names of the folders within a release."""
        return {"model": self.training} | ({"ranking": self.ranking} if self.ranking else {})

    @classmethod
    def read(cls, path: Path, overrides: Iterable[str] = ()) -> NightlyConfig:
        """Read a file.

        Parameters
        ----------
        path : Path
        overrides : iterable of str
            ``table.key=value`` each, in place of what the file says.

        Raises
        ------
        InputError
            If it cannot be read, a key is unknown, or a value cannot be meant.
        """
        said = read_toml(path)
        for assignment in overrides:
            override(said, assignment)
        try:
            return cls.of(said, path.absolute().parent)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def of(cls, said: Table, folder: Path) -> NightlyConfig:
        """Make it of the tables; paths are relative to `folder`."""
        said = dict(said)
        check_keys(said, [known.name for known in fields(cls)], "")
        training = _training("training", take_table(said, "training"), folder)
        ranking = None
        if "ranking" in said:
            ranking = _training("ranking", take_table(said, "ranking"), folder)
        downstream = _downstream(said.pop("downstream", []))
        inbox = build(InboxConfig, take_table(said, "inbox"), "inbox.")
        data = build(DataConfig, take_table(said, "data"), "data.")
        gate = build(GateConfig, take_table(said, "gate"), "gate.")
        retention = build(RetentionConfig, take_table(said, "retention"), "retention.")
        hooks = build(HooksConfig, take_table(said, "hooks"), "hooks.")
        cluster = build(ClusterConfig, take_table(said, "cluster"), "cluster.")
        top = build(_Top, said, "")
        _refuse_urls({"home": top.home, "inbox.folder": inbox.folder, "data.start": data.start})
        if data.start:
            data = replace(data, start=str(folder / data.start))
        tables = inbox, data, training, ranking, gate, downstream, retention, hooks, cluster
        home = folder / from_home(top.home)
        config = cls(home, top.at, top.metrics, top.timeout_minutes, *tables)
        _check(config)
        return config


@dataclass(frozen=True)
class _Top(Parametrised):
    """The keys that are in no table."""

    home: str = "nightly"
    at: str = ""
    metrics: str = "metrics.prom"
    timeout_minutes: float = parameter(
        1440.0, "Time that a night may take; the next start goes on with it. 0: any.", at_least=0
    )


def _training(name: str, said: Table, folder: Path) -> TrainingConfig:
    own = {known.name: known.name for known in fields(TrainingConfig) if known.name != "parameters"}
    for one in ONE.values():
        own[f"{one}-features"] = own.pop(f"{one}_features")
    kind = kind_of(str(said.get("model", TrainingConfig.model)))
    options = {parameter.option: name for name, parameter in kind.open_parameters.items()}
    # The names of files and those of Python are both taken.
    check_keys(said, dict.fromkeys([*own.values(), *own, *options]), f"{name}.")
    plain = {own[key]: value for key, value in said.items() if key in own}
    given = {options[key]: value for key, value in said.items() if key not in own}
    made = build(TrainingConfig, {**plain, "parameters": given}, f"{name}.")
    files: dict[str, Any] = {name: str(folder / file) for name, file in made.features.items()}
    return replace(made, **files)


def _downstream(said: Any) -> tuple[DownstreamConfig, ...]:
    if not isinstance(said, list) or not all(isinstance(table, dict) for table in said):
        raise InputError("downstream: write each job as a table of its own, [[downstream]]")
    for number, table in enumerate(said):
        if "job" not in table:
            raise InputError(
                f'downstream number {number + 1}: names no job; give one such as job = "recommend"'
            )
    return tuple(build(DownstreamConfig, table, "downstream.") for table in said)


def _refuse_urls(places: Mapping[str, str]) -> None:
    for key, place in places.items():
        if is_url(place):
            raise InputError(
                f"{key}: {place} is a URL, and a night locks, links and renames; give a path, and "
                "copy what it publishes to the URL in hooks.success"
            )


def _check(config: NightlyConfig) -> None:
    """Refuse values that cannot be meant, before a night begins."""
    split = Split.parse(config.data.split)
    # Else the files of the home's own would be met in the inbox, and taken in or set aside.
    apart = not config.home.resolve().is_relative_to((config.home / config.inbox.folder).resolve())
    for good, place, wanted in (
        (apart, "inbox.folder", "a folder that holds nothing else, and not the home"),
        (split.kind != "none", "data.split", "something held out, for the gate"),
        (not split.is_by_rows, "data.split", "another: one by file order cannot grow"),
        (not config.at or is_time_of_day(config.at), "at", "a time of day, HH:MM"),
    ):
        if not good:
            raise InputError(f"{place}: give {wanted}")
    _check_models(config)


def _check_models(config: NightlyConfig) -> None:
    estimator = config.training.estimator()
    if config.ranking is None:
        return
    if Ability.RATINGS not in estimator.abilities:
        raise InputError(f"ranking: a model of kind {estimator.kind} ranks already; leave it out")
    ranking = config.ranking.estimator("ranking")
    if Ability.RATINGS in ranking.abilities:
        raise InputError(
            f"ranking.model: a model of kind {ranking.kind} predicts ratings; give one that only "
            "ranks, such as ials"
        )


def is_time_of_day(text: str) -> bool:
    """Whether a text is HH:MM."""
    return re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text) is not None
