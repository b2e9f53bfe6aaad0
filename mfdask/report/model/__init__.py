"""Figures of a model."""
