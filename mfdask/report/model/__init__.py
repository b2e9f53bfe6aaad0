"""Figures of a model."""

from mfdask.report.model.section import model_section

__all__ = ["model_section"]
