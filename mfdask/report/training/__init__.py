"""Figures of training: sweeps, tiers of speed, searches for parameters."""

from mfdask.report.training.section import training_section

__all__ = ["training_section"]
