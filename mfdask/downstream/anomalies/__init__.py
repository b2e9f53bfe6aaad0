"""Ratings that do not look like an honest person's, and items that change."""
