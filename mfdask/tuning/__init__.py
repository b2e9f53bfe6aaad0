"""Searches for parameters, on a validation part of the training ratings."""

from mfdask.tuning.search import Settings, Tuned, tune
from mfdask.tuning.space import PRESETS, Search

__all__ = ["PRESETS", "Search", "Settings", "Tuned", "tune"]
