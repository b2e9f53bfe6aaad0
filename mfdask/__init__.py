"""Nightly matrix factorisation of tens of millions of ratings on one workstation.

What is named here is public and stable (`docs/api.md`); everything else may change. A name is
loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Each public name, and the module that it is from; `__init__.pyi` tells type checkers the same.
_PUBLIC = {
    "ALS": "mfdask.models",
    "BPR": "mfdask.models",
    "Ability": "mfdask.models",
    "Bayes": "mfdask.models",
    "BayesianModel": "mfdask.models",
    "ClusterConfig": "mfdask.cluster",
    "Dataset": "mfdask.shards",
    "Estimator": "mfdask.models",
    "FactorModel": "mfdask.models",
    "IALS": "mfdask.models",
    "InputError": "mfdask.errors",
    "MfdaskError": "mfdask.errors",
    "Model": "mfdask.models",
    "NCF": "mfdask.models",
    "Ranking": "mfdask.recommendation",
    "RankingPlan": "mfdask.evaluation",
    "RefusedError": "mfdask.errors",
    "compare": "mfdask.evaluation",
    "evaluate": "mfdask.evaluation",
    "explain": "mfdask.recommendation",
    "extend": "mfdask.ingestion.extend",
    "ingest": "mfdask.ingestion.build",
    "load_model": "mfdask.models",
    "measure_calibration": "mfdask.evaluation",
    "measure_model": "mfdask.evaluation",
    "measure_ranking": "mfdask.evaluation",
    "open_cluster": "mfdask.cluster",
    "open_frame": "mfdask.ratings.frames",
    "open_source": "mfdask.ratings.formats",
    "parameter": "mfdask.parameters",
    "ratings_frame": "mfdask.shards.frames",
    "recommend": "mfdask.recommendation",
    "recommend_new": "mfdask.recommendation",
    "save_model": "mfdask.models",
    "similar": "mfdask.recommendation",
    "write_recommendations": "mfdask.recommendation",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mfdask' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
