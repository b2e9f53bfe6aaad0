"""The model directory: `model.json` and a few Parquet tables.

======================  ==========================================================================
`model.json`            schema version, kind, parameters, data facts, metrics, package versions,
                        checksums of the other files and of itself
`users.parquet`         `user_id, bias, f00…, n_train`
`items.parquet`         `item_id, title, year, genres, bias, f00…, n_train`
`history.parquet`       one line a sweep
`features.parquet`      `feature, bias, f00…`: what each genre stands for, where that is learned, or
                        each feature of `item_features.parquet`: `item_id` and the file's columns
`samples.parquet`       a Bayesian model's draws, one a line: noise precision, priors of both sides
`user_days.parquet`,    `user_id` or `item_id`, `first_day` of a day or period, its `offset`, and of
`item_periods.parquet`  a Bayesian model the `deviation` of its draws
`user_biases.parquet`,  `user_id` or `item_id`, and the bias in each draw, `s00…`
`item_biases.parquet`
======================  ==========================================================================

Kinds of other packages have columns and files of their own in place of those of factors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.decoding import check_keys_of
from mfdask.errors import InputError, RefusedError
from mfdask.execution import Reference
from mfdask.files import atomic_directory, check_checksum, crc32, resolve_link, with_checksum
from mfdask.kernels.types import Float32s
from mfdask.models.base import DataFacts, Model, Sweep
from mfdask.models.factor_model import FactorModel, split_table
from mfdask.models.registry import Kind, kind_of
from mfdask.shards import SIDES, Dataset
from mfdask.shards.store import FileFacts

SCHEMA_VERSION = 2
#: Figures of a sweep that may be None.
_MAY_LACK = {"train_rmse", "test_rmse", "test_auc", "rhat"}
_PACKAGES = ("mfdask", "numpy", "numba", "dask", "distributed", "pandas", "pyarrow")


def save_model(model: Model, path: Path | str, metrics: Mapping[str, float] | None = None) -> None:
    """Write a model's directory; a model that is there already is replaced in one move.

    Parameters
    ----------
    model : Model
    path : Path
    metrics : mapping of str to float, optional
        What `model.json` tells of the model beside, or in place of, its last sweep's figures.

    Raises
    ------
    InputError
        If `path` is there and is not a model.
    """
    path = Path(path)
    check_model_place(path)
    with atomic_directory(path) as fresh:
        for side, frame in (("users", model.users), ("items", model.items)):
            pq.write_table(_side_table(frame, model.columns(side)), fresh / f"{side}.parquet")
        history = pd.DataFrame([asdict(sweep) for sweep in model.history])
        may_lack = dict.fromkeys(_MAY_LACK, "float64")
        history.astype(may_lack).to_parquet(fresh / "history.parquet", index=False)
        model.write(fresh)
        files = {file.name: asdict(FileFacts.of(file)) for file in sorted(fresh.iterdir())}
        said = with_checksum(_description(model, metrics or {}) | {"files": files})
        (fresh / "model.json").write_text(json.dumps(said, indent=2) + "\n")


def check_model_place(path: Path, data: Dataset | None = None) -> None:
    """Refuse a place that holds anything but a model; with data, also one of other data.

    A data set that has taken more in since is the same one; what is damaged may be replaced.

    Raises
    ------
    InputError
    """
    if path.exists() and not (path / "model.json").exists():
        raise InputError(f"{path}: is there already and is not a model; choose another `out`")
    if data is None or not path.exists():
        return
    with suppress(InputError, KeyError, TypeError):
        old, new = DataFacts(**_read_description(path)["data"]), DataFacts.of(data)
        if old.fingerprint != new.fingerprint and (old.address or path) != new.address:
            raise RefusedError(
                f"{path}: holds a model of other data ({old.name}, {old.n_train:,} ratings); "
                "choose another `out`, or give `overwrite`"
            )


def _description(model: Model, metrics: Mapping[str, float]) -> dict[str, Any]:
    last = asdict(model.history[-1])
    last = {name: value for name, value in last.items() if value == value}  # JSON has no NaN
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": model.kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": model.parameters,
        "data": asdict(model.data),
        **model.description(),
        "metrics": {"sweeps": last.pop("sweep"), **last, **metrics},
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _side_table(frame: pd.DataFrame, learned: dict[str, pa.Array]) -> pa.Table:
    """Return the ids and facts of a side, what was learned of it, and its counts last."""
    table = pa.Table.from_pandas(frame.drop(columns="n_train"), preserve_index=False)
    for name, values in (learned | {"n_train": pa.array(frame["n_train"])}).items():
        table = table.append_column(name, values)
    return table


def load_model(path: Path | str) -> Model:
    """Read a model's directory.

    Raises
    ------
    InputError
        If there is no model, it is damaged, a newer version of mfdask wrote it, or it is of a kind
        whose package is not installed.
    """
    with _opened(path) as (folder, said, kind):
        _check_files(folder, said)
        estimator = kind.estimator
        return estimator.model_type.read(
            folder,
            said,
            {side: pq.read_table(folder / f"{side}.parquet").to_pandas() for side in SIDES},
            estimator=estimator.from_parameters(said["parameters"]),
            data=DataFacts(**said["data"]),
            history=[Sweep(**line) for line in _read_history(folder / "history.parquet")],
        )


def count_factors(path: Path | str) -> int | None:
    """Return `FactorModel.n_factors` of a model's directory, whose rows are not read.

    None where the model has no factors and biases.

    Raises
    ------
    InputError
        As `load_model`.
    """
    with _opened(path) as (folder, said, kind):
        model_type = kind.estimator.model_type
        if not issubclass(model_type, FactorModel):
            return None
        return model_type.stored_factors(folder, said)


def load_side(path: Path | str, side: str) -> tuple[pd.Index, Float32s]:
    """Read one side of a factor model's directory, and nothing else.

    Returns
    -------
    ids : Index
        Raw ids.
    rows : float32 (n, width)
        Their design rows, as in `FactorModel`.

    Raises
    ------
    InputError
        As `load_model`.
    """
    n_factors = count_factors(path)
    with _opened(path) as (folder, said, _):
        _check_files(folder, said, [f"{side}.parquet"])
        frame = pq.read_table(folder / f"{side}.parquet").to_pandas()
        table, rows = split_table(frame, n_factors or 0)
        return pd.Index(table.iloc[:, 0]), rows


@dataclass(frozen=True)
class ModelRef(Reference):
    """Names a model on disk; the checksum of its description tells it from another."""

    path: str
    crc32: int

    @classmethod
    def of(cls, path: Path) -> ModelRef:
        """Return the reference of a model.

        Raises
        ------
        InputError
            If there is none.
        """
        _read_description(path)
        return cls(str(path.absolute()), crc32(path / "model.json"))

    def open(self) -> Model:
        """Return the model, read once in each process."""
        if ModelRef.of(Path(self.path)) != self:
            raise InputError(f"{self.path}: was replaced while it was being read; start again")
        return _read_once(self)


@lru_cache(maxsize=1)
def _read_once(ref: ModelRef) -> Model:
    return load_model(ref.path)


@contextmanager
def _opened(path: Path | str) -> Iterator[tuple[Path, dict[str, Any], Kind]]:
    """Yield a model's folder, description and kind; tell of damage that the block meets."""
    path = resolve_link(Path(path))
    said = _read_description(path)
    kind = kind_of(str(said.get("kind")))
    try:
        yield path, said, kind
    except PermissionError:
        raise  # nothing is damaged
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        pa.ArrowException,
    ) as error:
        line = " ".join(str(error).split())
        mend = "" if line.endswith("train it again") else "; train it again"
        raise InputError(f"{path}: damaged model ({line}){mend}") from error


def _read_description(path: Path) -> dict[str, Any]:
    try:
        said = check_keys_of(json.loads((path / "model.json").read_text()), {"schema_version": int})
        if (schema := said["schema_version"]) > SCHEMA_VERSION:
            raise InputError(
                f"{path}: written by a newer mfdask (schema {schema}, this one reads up to "
                f"{SCHEMA_VERSION}); upgrade mfdask"
            )
        check_checksum(said)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path}: no model there (no model.json); make one with `mfdask train`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError | PermissionError):
            raise
        raise InputError(f"{path}/model.json: damaged ({error}); train it again") from None
    return said


def _check_files(folder: Path, said: dict[str, Any], names: list[str] | None = None) -> None:
    """Compare files of a model, by default all, with their checksums; older models have none."""
    for name, facts in said.get("files", {}).items():
        if names is None or name in names:
            FileFacts(**facts).check(folder / name, "train it again")


def _read_history(file: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    for line in lines:
        for name in _MAY_LACK & line.keys():
            line[name] = None if line[name] != line[name] else line[name]
    return lines
