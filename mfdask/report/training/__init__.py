"""Figures of training: sweeps, tiers of speed, searches for parameters."""
