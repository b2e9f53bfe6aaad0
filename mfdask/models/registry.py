"""The kinds of model by name: our own, and those of installed packages.

A package adds a kind by an entry point of the group ``mfdask.models``: its name is the kind's, its
value the `Estimator`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from typing import Any

from mfdask.errors import InputError
from mfdask.models.base import Estimator

GROUP = "mfdask.models"


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes
    ----------
    name : str
    estimator : type
    help : str
        What it is, for the command line.
    settled : mapping
        Parameters that the name settles.
    """

    name: str
    estimator: type[Estimator]
    help: str
    settled: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open_parameters(self) -> set[str]:
        """Names of the parameters that may be chosen."""
        return {own.name for own in fields(self.estimator)} - set(self.settled)  # type: ignore[arg-type]

    def configure(
        self, given: Mapping[str, Any], preset: str | None = None, unattended: bool = False
    ) -> Estimator:
        """Return an estimator: a preset's parameters, and over them what is given.

        Parameters
        ----------
        given : mapping
            Values by the names of parameters.
        preset : str, optional
        unattended : bool
            Begin with `Estimator.unattended`.

        Raises
        ------
        InputError
            If the kind has no such preset or parameter, or a value is out of its range.
        """
        presets = self.estimator.presets
        if preset and preset not in presets:
            known = f"it has {', '.join(presets)}" if presets else "leave it out"
            raise InputError(f"`preset` {preset}: a model of kind {self.name} has none; {known}")
        for name in given:
            if name not in self.open_parameters:
                raise InputError(
                    f"`{name}` says nothing to a model of kind {self.name}; leave it out"
                )
        chosen: dict[str, Any] = dict(self.estimator.unattended) if unattended else {}
        chosen |= {**(presets[preset] if preset else {}), **given, **self.settled}
        return self.estimator(**chosen)


_KINDS: dict[str, Kind] = {}


def register(name: str, estimator: type[Estimator], help: str, **settled: Any) -> None:
    """Add a kind of model."""
    _KINDS[name] = Kind(name, estimator, help, settled)


def kinds() -> dict[str, Kind]:
    """Return all kinds by name."""
    for entry in _others():
        kind_of(entry.name)
    return dict(_KINDS)


def kind_of(name: str) -> Kind:
    """Return a kind of model.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in _KINDS:
        entry = next((entry for entry in _others() if entry.name == name), None)
        if entry is None:
            raise InputError(
                f"no kind of model is called {name!r}; there are {', '.join(kinds())}, or install "
                "the package that has it"
            )
        estimator = entry.load()
        register(name, estimator, (estimator.__doc__ or name).strip().partition("\n")[0])
    return _KINDS[name]


def _others() -> Iterable[Any]:
    return entry_points(group=GROUP)
