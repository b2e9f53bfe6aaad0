"""Searches for parameters, on a validation part of the training ratings."""

from mfdask.tuning.search import Settings, Tuned, tune
from mfdask.tuning.space import PRESETS, SearchSpace

__all__ = ["PRESETS", "SearchSpace", "Settings", "Tuned", "tune"]
