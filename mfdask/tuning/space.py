"""Search spaces: values or ranges of parameters, by their option names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mfdask.errors import InputError
from mfdask.models import Estimator, kind_of, kinds
from mfdask.models.registry import Kind
from mfdask.parameters import Parameter, parameters_of

#: Searches with a name: the grids that each goes through, one after the other.
PRESETS: dict[str, list[str]] = {
    # Section 5.2.1 of the paper: around its first guess, then the neighbourhood of what won.
    "paper-grid": [
        "lambda=0.005,0.01,0.02 gamma=0.005,0.01,0.02 tau=0.05,0.1,0.2",
        "lambda=0.002,0.003,0.004 gamma=0.0125,0.015,0.0175 tau=0.025,0.05,0.075",
    ],
    "k-sweep": ["factors=0,2,5,10,20,40,80"],  # section 5.2.2
}


def tunable_of(kind: Kind) -> dict[str, Parameter]:
    """Return what a search of a kind can go through, by the names of the options of `train`."""
    return {own.option: own for own in kind.open_parameters.values() if own.tunable}


def tunable_kinds() -> dict[str, Kind]:
    """Return the kinds of model that have anything to search."""
    return {name: kind for name, kind in kinds().items() if tunable_of(kind)}


#: A point of a search: a value for each parameter.
Point = dict[str, float | None]


@dataclass(frozen=True)
class Values:
    """The values that a parameter takes."""

    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Range:
    """A parameter takes anything from `low` to `high`; drawn in the logarithm where `low` > 0."""

    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        """Whether draws are even in the logarithm."""
        return self.low > 0


Axis = Values | Range


@dataclass(frozen=True)
class SearchSpace:
    """Grids of parameters; a grid gives each of its parameters an axis.

    Attributes
    ----------
    grids : tuple of dict of str to Axis
        All with the same parameters.
    """

    grids: tuple[dict[str, Axis], ...]

    @classmethod
    def parse(
        cls, specs: Iterable[str] = (), preset: str | None = None, kind: str = "als"
    ) -> SearchSpace:
        """Read ``tau=0.01..0.2`` (a range) and ``factors=5,10,20`` (values).

        Parameters
        ----------
        specs : iterable of str
            Each takes the place of the preset's values of that parameter.
        preset : str, optional
            One of `PRESETS`.
        kind : str
            Of the model, whose parameters are searched.

        Raises
        ------
        InputError
            If one cannot be read, names no parameter or one twice, or there is nothing to search.
        """
        tunable = tunable_of(kind_of(kind))
        own = _axes(list(specs), tunable)
        grids = PRESETS[preset] if preset else [""]
        search = cls(tuple(_axes(grid.split(), tunable) | own for grid in grids))
        if not search.grids[0]:
            raise InputError(
                f"nothing to search: give a `preset`, or `specs` such as {_example(tunable)}"
            )
        return search

    def points(self) -> list[Point]:
        """Return all points of the grids in their order, each once.

        Raises
        ------
        InputError
            If a range is among them.
        """
        found: dict[tuple[float | None, ...], Point] = {}
        for grid in self.grids:
            for name, axis in grid.items():
                if isinstance(axis, Range):
                    raise InputError(
                        f"`specs` {name}={axis.low:g}..{axis.high:g}: a grid needs values, such "
                        f"as {name}={axis.low:g},{axis.high:g}; or another `sampler`"
                    )
            columns = [axis.values for axis in grid.values() if isinstance(axis, Values)]
            for values in itertools.product(*columns):
                found[values] = dict(zip(grid, values, strict=True))
        return list(found.values())

    def axes(self) -> dict[str, Axis]:
        """Return one axis a parameter: where grids differ, the values of all."""
        merged = dict(self.grids[0])
        for grid in self.grids[1:]:
            for name, axis in grid.items():
                before = merged[name]
                if isinstance(axis, Values) and isinstance(before, Values):
                    every = {*before.values, *axis.values}
                    merged[name] = Values(tuple(sorted(every, key=_none_first)))
        return merged

    def check(self, base: Estimator) -> None:
        """Raise `InputError` if an end of a range, or a value, is not one that `base` takes."""
        for name, axis in self.axes().items():
            ends = axis.values if isinstance(axis, Values) else (axis.low, axis.high)
            for value in ends:
                try:
                    configured(base, {name: value})
                except InputError as error:
                    raise InputError(f"`specs` {name}: {error}") from None


def configured(base: Estimator, point: Point) -> Estimator:
    """Return `base` with the parameters of a point.

    Raises
    ------
    InputError
        If one is out of its range.
    """
    own = {each.option: each for each in parameters_of(base).values()}
    chosen: dict[str, Any] = {
        own[name].name: None if value is None else own[name].kind(value)
        for name, value in point.items()
    }
    return replace(base, **chosen)  # type: ignore[type-var]


def train_options(config: Estimator) -> list[str]:
    """Return the options of `mfdask train` that learn with these parameters."""
    kind = kind_of(config.kind)
    options = ["--model", kind.name]
    for name, own in kind.open_parameters.items():
        value = getattr(config, name)
        if (own.tunable and value != own.default) or name == "seed":
            options += [f"--{own.option}", str(value)]
    return options


def _none_first(value: float | None) -> float:
    return -math.inf if value is None else value


def _example(tunable: Mapping[str, Parameter]) -> str:
    return "tau=0.01..0.2" if "tau" in tunable else f"{next(iter(tunable), 'NAME')}=VALUES"


def _axes(specs: Sequence[str], tunable: Mapping[str, Parameter]) -> dict[str, Axis]:
    axes: dict[str, Axis] = {}
    for spec in specs:
        name, _, text = spec.partition("=")
        if name not in tunable:
            raise InputError(f"`specs` {spec}: write NAME=VALUES, NAME one of {', '.join(tunable)}")
        if name in axes:
            raise InputError(f"`specs` {spec}: {name} is given twice; list all its values once")
        axes[name] = _axis(spec, text, tunable[name])
    return axes


def _axis(spec: str, text: str, own: Parameter) -> Axis:
    whole = own.kind is int
    low, is_range, high = text.partition("..")
    if not is_range:
        parts = map(own.read, text.split(","))
        each = (None if part is None else _number(spec, part, whole) for part in parts)
        return Values(tuple(dict.fromkeys(each)))
    found = Range(_number(spec, low, whole), _number(spec, high, whole), whole)
    if found.low >= found.high:
        raise InputError(f"`specs` {spec}: a range goes from the smaller to the larger number")
    return found


def _number(spec: str, text: str, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        kind = "whole numbers" if whole else "numbers"
        raise InputError(
            f"`specs` {spec}: '{text}' is not right; give {kind} such as 5,10 or 5..10"
        )
    return value
