"""The state of a page in the query string of its address."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode


class Address:
    """Reads what a query string says; what it cannot mean is left out, and noted.

    Attributes
    ----------
    troubles : list of str
        What was left out, a sentence each.
    """

    def __init__(self, arguments: Mapping[str, Sequence[bytes]]) -> None:
        self._given = {
            name: [value.decode("utf-8", "replace") for value in values]
            for name, values in arguments.items()
        }
        self.troubles: list[str] = []

    def every(self, name: str) -> list[str]:
        """Return all values of a name."""
        return self._given.get(name, [])

    def text(self, name: str, default: str = "") -> str:
        """Return the last value of a name."""
        return (self.every(name) or [default])[-1]

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        text = self.text(name)
        try:
            value = float(text) if text else default
        except ValueError:
            value = math.nan
        if text and not low <= value <= high:  # not a number either
            self.troubles.append(f"{name}={text} in the address is no number {low:g} to {high:g}.")
            return default
        return value

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        """Return one of some texts."""
        text = self.text(name, default)
        if text in options:
            return text
        self.troubles.append(f"{name}={text} in the address is none of what is here.")
        return default

    def choices(self, name: str, options: Sequence[str]) -> list[str]:
        """Return those of some texts that are named."""
        known = [text for text in self.every(name) if text in options]
        for text in sorted(set(self.every(name)) - set(known)):
            self.troubles.append(f"{name}={text} in the address is none of what is here.")
        return list(dict.fromkeys(known))


def query_string(state: Mapping[str, Any]) -> str:
    """Return a query string of values, or of lists of values; what is empty or None is left out."""
    kept = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in state.items()
        if value not in (None, "", [])
    }
    return urlencode(kept, doseq=True)


def unless(value: Any, default: Any) -> Any:
    """Return a value for the address, None if it is what a fresh page has."""
    return None if value == default else value
