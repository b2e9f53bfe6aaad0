"""Trials of the attack detector against baselines of the literature: what the docs report."""
