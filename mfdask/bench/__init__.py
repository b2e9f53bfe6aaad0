"""Measured speed: sweeps, tiers, ingest."""
