"""Predictions held against ratings that the model has not seen."""

from mfdask.evaluation.accuracy import Accuracy, Errors, bin_labels, measure_accuracy, objective

__all__ = ["Accuracy", "Errors", "bin_labels", "measure_accuracy", "objective"]
