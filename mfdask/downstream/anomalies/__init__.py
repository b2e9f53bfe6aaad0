"""Anomaly detection: shilling attacks, shared accounts, and items whose ratings drift."""
