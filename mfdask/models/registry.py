"""The registry of kinds of models by name: ours, and those of installed packages.

Each is an entry point of the group ``mfdask.models``: its name is the kind's, its value the
`Estimator`, or a `Kind` where the name settles some of its parameters.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mfdask.errors import InputError
from mfdask.models.base import Ability, Estimator, Model
from mfdask.parameters import Parameter, parameters_of
from mfdask.shards import Dataset

GROUP = "mfdask.models"
_LOG = logging.getLogger(__name__)


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
    def open_parameters(self) -> dict[str, Parameter]:
        """The parameters that may be chosen, by their names."""
        every = parameters_of(self.estimator)
        return {name: own for name, own in every.items() if name not in self.settled}

    @property
    def learns_from_ratings(self) -> bool:
        """Whether its models, unless asked otherwise, predict ratings and so must be given some."""
        return Ability.RATINGS in self.configure({}).abilities

    def configure(
        self, given: Mapping[str, Any], preset: str | None = None, unattended: bool = False
    ) -> Estimator:
        """Return an estimator: a preset's parameters, and over them what is given.

        Parameters
        ----------
        given : mapping
            Values by the names of parameters; `Parameter.none` is None.
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
        read = {name: self.open_parameters[name].read(value) for name, value in given.items()}
        chosen |= {**(presets[preset] if preset else {}), **read, **self.settled}
        return self.estimator(**chosen)


def kinds() -> dict[str, Kind]:
    """Return all kinds by name, our own first."""
    return {name: _load(entry) for name, entry in _entries(tuple(sys.path)).items()}


def kind_of(name: str) -> Kind:
    """Return a kind of model.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if entry := _entries(tuple(sys.path)).get(name):
        return _load(entry)
    raise InputError(
        f"no kind of model is called {name!r}; there are {', '.join(kinds())}, or install the "
        "package that has it"
    )


def require_ability(model: Model, ability: Ability, what: str) -> None:
    """Refuse a model that lacks an ability which `what` needs.

    Raises
    ------
    InputError
        Names the kinds whose models, unless asked otherwise, have it.
    """
    if model.can(ability):
        return
    able = [name for name, kind in kinds().items() if ability in kind.configure({}).abilities]
    mend = f"; train one of kind {' or '.join(able)}" if able else ""
    raise InputError(
        f"{what} needs a model that {ability}, which one of kind {model.kind} with these "
        f"parameters does not{mend}"
    )


@cache
def _warn_of_weights(name: str, kind: str) -> None:
    """Say, once in a process, that a kind of model uses no weights."""
    _LOG.warning("%s: a model of kind %s does not use the weights of its ratings", name, kind)


def check_data(estimator: Estimator, data: Dataset) -> None:
    """Refuse data that an estimator cannot learn from, and warn where it uses no weights.

    Raises
    ------
    InputError
        As `Estimator.check_data`. If they are no ratings, or are all equal, and the model is to
        predict ratings; names the kinds of model that take them.
    """
    estimator.check_data(data)
    if data.has_weights and not estimator.uses_weights:
        _warn_of_weights(data.name, estimator.kind)
    if Ability.RATINGS not in estimator.abilities:
        return
    if data.feedback != "ratings":
        wrong = f"holds {data.feedback}, and"
    elif data.rating_min == data.rating_max:
        wrong = f"all its ratings are {data.rating_max:g}, and"
    else:
        return
    takers = [name for name, kind in kinds().items() if not kind.learns_from_ratings]
    mend = f"take {' or '.join(takers)}" if takers else "no kind that is installed learns from them"
    raise InputError(
        f"{data.name}: {wrong} a model of kind {estimator.kind} learns from ratings that differ; "
        f"{mend}"
    )


@cache
def _entries(places: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Return the entry points of all kinds by name: ours first, which nobody replaces.

    Once for where this process imports from: it reads what is told of every package there.
    """
    found = sorted(entry_points(group=GROUP), key=lambda own: not own.value.startswith("mfdask."))
    first: dict[str, EntryPoint] = {}
    for entry in found:
        first.setdefault(entry.name, entry)
    return first


def _load(entry: EntryPoint) -> Kind:
    found = entry.load()
    if isinstance(found, Kind):
        return found
    line = (found.__doc__ or entry.name).strip().partition("\n")[0].rstrip(".")
    return Kind(entry.name, found, line if line[:2].isupper() else line[:1].lower() + line[1:])
