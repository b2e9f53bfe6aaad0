"""Tables that other people work from: dense predictions, anomalies, churn and lifetime value."""
