"""Parameters as dataclass fields with their ranges, help texts and option names.

Whatever has parameters (an estimator, a ranking, a study, a part of `nightly.toml`) is such a
dataclass. Its checks, the options of the command line, the keys of configuration files and the axes
of a search are all derived from the fields.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from inspect import cleandoc
from textwrap import fill, indent
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mfdask.errors import require

_KEY = "parameter"


@dataclass(frozen=True)
class Parameter:
    """Name, type, range and help of a parameter.

    Attributes
    ----------
    name : str
        Of the field.
    kind : type
        ``int``, ``float``, ``bool`` or ``str``.
    default : object
    optional : bool
        Whether None is a value.
    help : str
        A sentence for the command line.
    option : str
        Name on the command line and in files, without dashes in front.
    choices : tuple of str
        The only values of a text; empty: any.
    at_least, above, at_most, below : float or None
        Ends of the range of a number.
    tunable : bool
        Whether a search may go through it.
    metavar : str or None
        What the help calls a value; by default its type.
    many : bool
        Whether the value is a tuple of such, none of them twice.
    none : str or None
        The word for None on the command line and in files, such as ``all``.
    """

    name: str
    kind: type
    default: Any
    optional: bool
    help: str
    option: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    tunable: bool = False
    metavar: str | None = None
    many: bool = False
    none: str | None = None

    def check(self, value: Any) -> None:
        """Refuse a value of another type or out of its range.

        Raises
        ------
        InputError
        """
        if value is None and self.optional:
            return
        if self.many:
            different = isinstance(value, tuple) and 0 < len(value) == len(set(value))
            require(different, self.name, value, "different numbers")
        for one in value if self.many else (value,):
            require(self._fits(one), self.name, one, self.wanted)

    def read(self, value: Any) -> Any:
        """Return a value of the command line or a file: None for its word."""
        return None if self.none is not None and value == self.none else value

    @property
    def wanted(self) -> str:
        """Say which values there are: ``a whole number from 0 to 256``."""
        if self.choices:
            return " or ".join(self.choices)
        what = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        low = _said("above ", self.above) or _said("from ", self.at_least)
        high = _said("below ", self.below) or _said("to " if low else "up to ", self.at_most)
        if self.above is not None and high:
            low += " and" if self.below is not None else ", up"
        if low.startswith("from") and not high:
            low += " up"
        return " ".join(filter(None, (what[self.kind], low, high)))

    def _fits(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind is bool or isinstance(value, bool):
            return isinstance(value, bool) and self.kind is bool
        if self.kind is str:
            return isinstance(value, str)
        wanted = numbers.Integral if self.kind is int else numbers.Real
        return isinstance(value, wanted) and math.isfinite(value) and self._in_range(float(value))

    def _in_range(self, value: float) -> bool:
        return not (
            (self.at_least is not None and value < self.at_least)
            or (self.above is not None and value <= self.above)
            or (self.at_most is not None and value > self.at_most)
            or (self.below is not None and value >= self.below)
        )


def _said(word: str, end: float | None) -> str:
    return "" if end is None else f"{word}{end:,g}"


def parameter(default: Any, help: str, option: str | None = None, **limits: Any) -> Any:
    """Return a dataclass field with its `Parameter`.

    Parameters
    ----------
    default : object
    help : str
    option : str, optional
        By default the field's name, with dashes.
    **limits
        `at_least`, `above`, `at_most`, `below`, `choices`, `tunable`, `metavar` and
        `none`, see `Parameter`. The choices of a field of type ``Literal`` are its values.
    """
    return field(default=default, metadata={_KEY: {"help": help, "option": option, **limits}})


def parameters_of(settings: Any) -> dict[str, Parameter]:
    """Return the parameters of a dataclass, or of one of its kind, by their names, in order.

    Fields that were not made by `parameter` are none.
    """
    owner = settings if isinstance(settings, type) else type(settings)
    hints = get_type_hints(owner)
    return {
        own.name: _described(own.name, hints[own.name], own.default, own.metadata[_KEY])
        for own in fields(owner)
        if _KEY in own.metadata
    }


def _described(name: str, hint: Any, default: Any, said: Mapping[str, Any]) -> Parameter:
    inner = [part for part in _parts(hint) if part is not NoneType]
    kind = inner[0]
    limits = dict(said)
    if get_origin(kind) is tuple:
        kind, limits["many"] = get_args(kind)[0], True
    if get_origin(kind) is Literal:
        limits.setdefault("choices", get_args(kind))
        kind = type(limits["choices"][0])
    limits["option"] = limits["option"] or name.replace("_", "-")
    return Parameter(
        name,
        kind,
        None if default is MISSING else default,
        len(inner) < len(_parts(hint)),
        **limits,
    )


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def check_parameters(settings: Any) -> None:
    """Refuse a dataclass with a parameter that cannot be meant; for its `__post_init__`.

    Raises
    ------
    InputError
        Names the first such parameter.
    """
    for name, own in parameters_of(settings).items():
        own.check(getattr(settings, name))


class Parametrised:
    """A frozen dataclass whose fields are made by `parameter`.

    It is checked when it is made, and its docstring lists the parameters.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        lines = [
            f"{name} : {cls.__annotations__[name]}, default {value.default!r}\n"
            + indent(fill(value.metadata[_KEY]["help"], 92), "    ")
            for name, value in own.items()
            if _KEY in value.metadata
        ]
        if lines:
            head = ["", "Parameters", "----------", *lines]
            cls.__doc__ = "\n".join([cleandoc(cls.__doc__ or ""), *head])

    def __post_init__(self) -> None:
        """Refuse parameters that cannot be meant."""
        check_parameters(self)


def known_parameters(owner: type, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values in `said` that are fields of a dataclass.

    What an older or a newer version wrote may have others.
    """
    names = {own.name for own in fields(owner)}
    return {name: value for name, value in said.items() if name in names}
