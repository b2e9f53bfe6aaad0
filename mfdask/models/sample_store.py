"""The draws of a Bayesian model as Parquet tables of its directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mfdask.models.design import Array
from mfdask.models.model import FactorModel
from mfdask.models.samples import Float64s, Samples
from mfdask.models.sides import SIDES

SAMPLES = "samples.parquet"


def write_samples(model: FactorModel, samples: Samples, folder: Path) -> None:
    """Write the draws' tables into a model's folder."""
    columns: dict[str, object] = {"noise_precision": samples.noise_precision}
    for side in SIDES:
        for what in ("precisions", "weights"):
            array: Float64s = getattr(samples, what)[side]
            columns[f"{side}_{what}"] = array.reshape(len(samples), -1).tolist()
    pq.write_table(pa.table(columns), folder / SAMPLES)
    for side, table in (("users", model.users), ("items", model.items)):
        ids = pa.Table.from_pandas(table.iloc[:, [0]], preserve_index=False)
        for s, bias in enumerate(samples.biases[side].T):
            ids = ids.append_column(f"s{s:02d}", pa.array(np.ascontiguousarray(bias)))
        pq.write_table(ids, folder / _biases_file(side))


def read_samples(folder: Path, n_factors: int) -> Samples:
    """Read the draws of a model whose draws have so many factors each.

    Raises
    ------
    OSError, KeyError, ValueError, pyarrow.ArrowException
        If a table is missing or does not fit the others.
    """
    table = pq.read_table(folder / SAMPLES)
    d = n_factors + 1

    def arrays(what: str) -> dict[str, Float64s]:
        return {
            side: np.array(table[f"{side}_{what}"].to_pylist()).reshape(len(table), -1, d)
            for side in SIDES
        }

    noise = table["noise_precision"].to_numpy()
    biases = {side: _read_biases(folder / _biases_file(side), len(noise)) for side in SIDES}
    return Samples(noise, biases, arrays("precisions"), arrays("weights"))


def _biases_file(side: str) -> str:
    return f"{side.removesuffix('s')}_biases.parquet"


def _read_biases(file: Path, draws: int) -> Array:
    table = pq.read_table(file).drop_columns([pq.read_schema(file).names[0]])
    biases = np.empty((len(table), draws), np.float32)
    for s, column in enumerate(table.columns):
        biases[:, s] = column.to_numpy()
    return biases
