"""The two sides of a rating."""

from __future__ import annotations

SIDES = ("users", "items")
OTHER = {"users": "items", "items": "users"}
