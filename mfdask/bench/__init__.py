"""Benchmarks: training sweeps, tiers of speed, ingest, top-N lists, dense predictions."""
