"""Unattended retraining: what a night does, in which order, and what it leaves behind."""
