"""What a person calls the metrics of churn and lifetime value; loads nothing, for reports."""

from __future__ import annotations

METRIC_NAMES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "top_decile_lift": "top-decile lift",
    "brier": "Brier score",
    "gini": "Gini",
    "rmse": "RMSE",
    "mae": "MAE",
    "ratio": "predicted / actual",
}
