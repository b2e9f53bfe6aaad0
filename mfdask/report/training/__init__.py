"""How models were learned, and what was tried."""

from mfdask.report.training.section import training_section

__all__ = ["training_section"]
