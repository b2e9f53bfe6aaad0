"""Predictions held against ratings that the model has not seen."""
