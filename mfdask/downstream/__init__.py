"""Tables made from a model: dense predictions, anomalies, churn and lifetime value."""
