"""Ids that a person gives, in files or one by one, held against those of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfdask.models import Model
from mfdask.recommendation.candidates import first_of, parse_id, read_ids, sort_ids

Ids = tuple[Any, ...]


class GivenIds:
    """Reads ids, and counts those that a model does not know.

    Parameters
    ----------
    model : Model

    Attributes
    ----------
    unknown : dict
        For each option with such ids, the ids.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.unknown: dict[str, Ids] = {}

    def in_file(self, side: str, file: Path | None, option: str) -> Ids | None:
        """Return the known ids of a file, one a line; None without a file."""
        if file is None:
            return None
        return self._known(side, read_ids(file, self._all(side)), option, f"{option} {file}")

    def one_by_one(self, side: str, texts: tuple[str, ...], option: str) -> Ids:
        """Return the known ids of some texts."""
        ids = tuple(parse_id(text, self._all(side), option) for text in texts)
        return self._known(side, ids, option, option)

    def facts(self) -> dict[str, str]:
        """Return what a table says of the unknown ids."""
        return {
            f"unknown ids in {option}": f"{len(ids):,} ({first_of(ids)})"
            for option, ids in self.unknown.items()
        }

    def values(self) -> dict[str, Any]:
        """Return how many ids of each option are unknown, for `--json`."""
        return {option.strip("-"): len(ids) for option, ids in self.unknown.items()}

    def _all(self, side: str) -> Any:
        return (self._model.users if side == "users" else self._model.items).iloc[:, 0]

    def _known(self, side: str, ids: Ids, option: str, where: str) -> Ids:
        found = sort_ids(self._model, side, ids, where)
        if found.unknown:
            self.unknown[option] = found.unknown
        return found.known
