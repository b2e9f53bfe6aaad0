"""A model as a directory of open formats: `model.json`, a few Parquet tables, nothing else.

======================  ==========================================================================
`model.json`            schema version, kind, parameters, data facts, metrics, package versions
`users.parquet`         `user_id, bias, f00…, n_train`
`items.parquet`         `item_id, title, year, genres, bias, f00…, n_train`
`history.parquet`       one line a sweep
`features.parquet`      `feature, bias, f00…`: what each genre stands for, where that is learned, or
                        each feature of `item_features.parquet`: `item_id` and the file's columns
`samples.parquet`       a Bayesian model's draws, one a line: noise precision, priors of both sides
`user_biases.parquet`,  `user_id` or `item_id`, and the bias in each draw, `s00…`
`item_biases.parquet`
======================  ==========================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.errors import InputError
from mfdask.execution import Reference
from mfdask.features.encoder import FeatureEncoder
from mfdask.files import atomic_directory, crc32, resolve_link
from mfdask.models.design import Array, pack
from mfdask.models.fitted import Sweep
from mfdask.models.model import DataFacts, FactorModel
from mfdask.models.sample_store import SAMPLES, read_samples, write_samples

SCHEMA_VERSION = 1
_ITEM_FEATURES = "item_features.parquet"
_PACKAGES = ("mfdask", "numpy", "numba", "dask", "distributed", "pandas", "pyarrow")


def save_model(model: FactorModel, path: Path | str) -> None:
    """Write a model's directory; a model that is there already is replaced in one move.

    Raises
    ------
    InputError
        If `path` is there and is not a model.
    """
    path = Path(path)
    check_model_place(path)
    with atomic_directory(path) as fresh:
        pq.write_table(_side_table(model, "users"), fresh / "users.parquet")
        pq.write_table(_side_table(model, "items"), fresh / "items.parquet")
        history = pd.DataFrame([asdict(sweep) for sweep in model.history])
        history.astype({"test_rmse": "float64"}).to_parquet(fresh / "history.parquet", index=False)
        if model.feature_weights is not None:
            pq.write_table(_feature_table(model), fresh / "features.parquet")
        if model.item_features is not None:
            _with_ids(model).to_parquet(fresh / _ITEM_FEATURES, index=False)
        if model.samples is not None:
            write_samples(model, model.samples, fresh)
        (fresh / "model.json").write_text(json.dumps(_description(model), indent=2) + "\n")


def check_model_place(path: Path) -> None:
    """Refuse a place that holds anything but a model.

    Raises
    ------
    InputError
    """
    if path.exists() and not (path / "model.json").exists():
        raise InputError(f"{path}: is there already and is not a model; write elsewhere with --out")


def model_bytes(n_rows: int, n_factors: int, draws: int = 1) -> int:
    """Return what a model's directory takes at most, in bytes: ids and titles are guessed."""
    return n_rows * (4 * (n_factors + 1) * draws + 100)


def _description(model: FactorModel) -> dict[str, Any]:
    last = asdict(model.history[-1])
    if math.isnan(last["fidelity"]):
        del last["fidelity"]  # of a model from before it was noted; JSON has no such number
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": model.kind,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": model.parameters,
        "mean": model.mean,
        "data": asdict(model.data),
        **({"coding": model.coding.said()} if model.coding else {}),
        "metrics": {"sweeps": last.pop("sweep"), **last},
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _side_table(model: FactorModel, side: str) -> pa.Table:
    """Return the ids and facts of a side with `bias` and a column for each factor."""
    users = side == "users"
    frame, bias, factors = (
        (model.users, model.user_bias, model.user_factors)
        if users
        else (model.items, model.item_bias, model.item_factors)
    )
    table = pa.Table.from_pandas(frame.drop(columns="n_train"), preserve_index=False)
    table = _append_unknowns(table, bias, factors)
    return table.append_column("n_train", pa.array(frame["n_train"]))


def _feature_table(model: FactorModel) -> pa.Table:
    assert model.feature_weights is not None
    table = pa.table({"feature": model.feature_names})
    return _append_unknowns(table, model.feature_weights[:, 0], model.feature_weights[:, 1:])


def _with_ids(model: FactorModel) -> pd.DataFrame:
    """Return the items' features with an id for each, under a name that is free."""
    assert model.item_features is not None
    return model.item_features.set_axis(model.items["item_id"]).reset_index()


def _append_unknowns(table: pa.Table, bias: Array, factors: Array) -> pa.Table:
    table = table.append_column("bias", pa.array(np.ascontiguousarray(bias)))
    for k in range(factors.shape[1]):
        table = table.append_column(_factor(k), pa.array(np.ascontiguousarray(factors[:, k])))
    return table


def _factor(k: int) -> str:
    return f"f{k:02d}"


def load_model(path: Path | str) -> FactorModel:
    """Read a model's directory.

    Raises
    ------
    InputError
        If there is no model, it is damaged, or a newer version of mfdask wrote it.
    """
    with _opened(path) as (folder, said):
        samples = None
        if (folder / SAMPLES).exists():
            samples = read_samples(folder, int(said["parameters"]["n_factors"]))
        n_factors = _n_factors(folder, said)
        users, user_rows = _read_side(folder, "users", n_factors)
        items, item_rows = _read_side(folder, "items", n_factors)
        history = [Sweep(**line) for line in _read_history(folder / "history.parquet")]
        return FactorModel(
            kind=said["kind"],
            parameters=said["parameters"],
            mean=said["mean"],
            user_rows=user_rows,
            item_rows=item_rows,
            users=users,
            items=items,
            data=DataFacts(**said["data"]),
            history=history,
            samples=samples,
            **_read_features(folder, n_factors, said.get("coding")),
        )


@dataclass(frozen=True)
class ModelRef(Reference):
    """Names a model on disk; the checksum of `model.json` tells it from another in its place."""

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

    def open(self) -> FactorModel:
        """Return the model, read once in each process that uses it."""
        if ModelRef.of(Path(self.path)) != self:
            raise InputError(f"{self.path}: was replaced while it was being read; start again")
        return _read_once(self)


@lru_cache(maxsize=1)
def _read_once(ref: ModelRef) -> FactorModel:
    return load_model(ref.path)


def count_factors(path: Path | str) -> int:
    """Return `FactorModel.n_factors` of a model's directory, whose rows are not read.

    Raises
    ------
    InputError
        As `load_model`.
    """
    with _opened(path) as (folder, said):
        return _n_factors(folder, said)


def load_side(path: Path | str, side: str) -> tuple[pd.Index, Array]:
    """Read one side of a model's directory, and nothing else.

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
    with _opened(path) as (folder, said):
        table, rows = _read_side(folder, side, _n_factors(folder, said))
        return pd.Index(table.iloc[:, 0]), rows


@contextmanager
def _opened(path: Path | str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folder of a model and its description; tell of damage that the block meets."""
    path = resolve_link(Path(path))
    said = _read_description(path)
    try:
        yield path, said
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{path}: damaged model ({line}); train it again") from error


def _n_factors(path: Path, said: dict[str, Any]) -> int:
    """Return the length of a factor vector: of all draws together, where there are some."""
    draws = pq.read_metadata(path / SAMPLES).num_rows if (path / SAMPLES).exists() else 1
    return int(said["parameters"]["n_factors"]) * draws


def _read_description(path: Path) -> dict[str, Any]:
    try:
        said = json.loads((path / "model.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path}: no model there (no model.json); make one with `mfdask train`"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}/model.json: damaged ({error}); train it again") from None
    if said.get("schema_version", 0) > SCHEMA_VERSION:
        raise InputError(
            f"{path}: written by a newer mfdask (schema {said['schema_version']}, this one reads "
            f"up to {SCHEMA_VERSION}); upgrade mfdask"
        )
    return dict(said)


def _read_side(path: Path, side: str, n_factors: int) -> tuple[pd.DataFrame, Array]:
    frame = pq.read_table(path / f"{side}.parquet").to_pandas()
    names = [_factor(k) for k in range(n_factors)]
    rows = pack(frame["bias"].to_numpy(np.float32), frame[names].to_numpy(np.float32))
    return frame.drop(columns=["bias", *names]), rows


def _read_features(path: Path, n_factors: int, said: dict[str, Any] | None) -> dict[str, Any]:
    """Read what the items' prior follows; a model that does not say how it is coded has genres."""
    file, raw = path / "features.parquet", path / _ITEM_FEATURES
    if not file.exists():
        return {}
    frame = pq.read_table(file).to_pandas()
    columns = ["bias", *map(_factor, range(n_factors))]
    coding = FeatureEncoder.read(said) if said else FeatureEncoder.genres(frame["feature"].tolist())
    if coding.names != frame["feature"].tolist():
        raise ValueError("features.parquet is of other features")
    return {
        "coding": coding,
        "feature_weights": frame[columns].to_numpy(np.float32),
        "item_features": None if coding.of_genres else pd.read_parquet(raw).iloc[:, 1:],
    }


def _read_history(file: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    for line in lines:
        line["test_rmse"] = None if line["test_rmse"] != line["test_rmse"] else line["test_rmse"]
    return lines
