"""Figures of anomalies, churn and lifetime value."""
