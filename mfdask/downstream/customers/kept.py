"""Feature tables kept in a folder, so that churn and ltv of the same cut-offs make them once."""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pandas as pd

from mfdask.downstream.customers.origins import Origins
from mfdask.downstream.customers.tables import FeatureTable
from mfdask.files import atomic_directory
from mfdask.models import FactorModel
from mfdask.shards import Dataset

#: Of what is computed: features of another version are made anew.
_VERSION = 2
_PREFIX, _LIST = "features-", "tables.json"
_LOG = logging.getLogger(__name__)


def kept_features(
    folder: Path,
    data: Dataset,
    model: FactorModel,
    origins: Origins,
    as_of: str,
    make: Callable[[], list[FeatureTable]],
) -> list[FeatureTable]:
    """Return the feature tables that a folder keeps, or make them and keep them there.

    Parameters
    ----------
    folder : Path
        It keeps one set of tables: those of other data, parameters or cut-offs are taken out.
    data, model, origins, as_of
        What the tables depend on; see `tables.feature_tables`.
    make : callable
        Makes them.
    """
    rows = zlib.crc32(model.item_rows.tobytes())
    facts = [_VERSION, data.fingerprint, data.n_test, model.parameters, rows, origins.all, as_of]
    key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    place = folder / f"{_PREFIX}{key}"
    if place.exists():
        try:
            return _read(place)
        except (OSError, ValueError) as error:  # Arrow's errors are among these
            _LOG.warning("%s: cannot be read, and is made again (%s)", place, error)
            shutil.rmtree(place)
    tables = make()
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_directory(place) as fresh:
        _write(tables, fresh)
    for other in folder.glob(f"{_PREFIX}*"):
        if other != place:
            shutil.rmtree(other)
    return tables


def _write(tables: list[FeatureTable], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for table in tables:
        table.cohort.to_parquet(folder / f"cohort-{table.cutoff}.parquet")
        table.everyone.to_parquet(folder / f"everyone-{table.cutoff}.parquet")
    listed = [{"cutoff": table.cutoff, "version": table.version} for table in tables]
    (folder / _LIST).write_text(json.dumps(listed))


def _read(folder: Path) -> list[FeatureTable]:
    tables = []
    for line in json.loads((folder / _LIST).read_text()):
        cutoff = line["cutoff"]
        cohort, everyone = (
            pd.read_parquet(folder / f"{name}-{cutoff}.parquet") for name in ("cohort", "everyone")
        )
        tables.append(FeatureTable(cutoff, cohort, everyone, line["version"]))
    return tables
