"""Figures of anomalies, churn and lifetime value."""

from mfdask.report.findings.section import findings_section

__all__ = ["findings_section"]
