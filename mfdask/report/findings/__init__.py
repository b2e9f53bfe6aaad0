"""What other jobs have found: anomalies, and customers who leave or stay."""

from mfdask.report.findings.section import findings_section

__all__ = ["findings_section"]
