"""Raw ratings: files, catalogue, synthetic data."""
