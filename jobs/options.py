"""Options of a command, made of the parameters of dataclasses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import click

from mfdask.parameters import Parameter, parameters_of

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_TYPES = {int: click.INT, float: click.FLOAT, str: click.STRING, bool: click.BOOL}


def option_of(
    own: Parameter, *, label: str = "", shown: str | None = None, unset: bool = False
) -> Callable[[Decorated], Decorated]:
    """Return the decorator that adds the option of one parameter.

    Its range is for the dataclass to check: then all who set it are told the same.

    Parameters
    ----------
    own : Parameter
        The command gets the value under its name.
    label : str
        What stands in front of the help, such as ``[als, genre]``.
    shown : str, optional
        The default that the help names; by default the parameter's own.
    unset : bool
        Whether the command gets None where the option is not given.
    """
    default = _said(own.default) if shown is None else shown
    help_text = " ".join(filter(None, (label, own.help)))
    return click.option(
        f"--{own.option}/--no-{own.option}" if own.kind is bool else f"--{own.option}",
        own.name,
        type=click.Choice(own.choices) if own.choices else _TYPES[own.kind],
        default=None if unset else own.default,
        help=f"{help_text}  [default: {default}]" if default else help_text,
    )


def _said(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "" if default is None else str(default)


def options_of(
    owner: type, name: str, *, omit: Collection[str] = ()
) -> Callable[[Decorated], Decorated]:
    """Return the decorator that adds the options of a dataclass's parameters.

    Parameters
    ----------
    owner : type
        Of its optional parameters, the help says what None means.
    name : str
        The command gets an `owner` as this argument.
    omit : collection of str
        Parameters that have no option.
    """
    own = {key: each for key, each in parameters_of(owner).items() if key not in omit}

    def decorate(run: Decorated) -> Decorated:
        @functools.wraps(run)
        def with_owner(**options: Any) -> Any:
            given = {key: options.pop(key) for key in own}
            return run(**{name: owner(**given)}, **options)

        return _with_all((option_of(each) for each in own.values()), with_owner)  # type: ignore

    return decorate


def options_of_kinds(owners: Mapping[str, type]) -> Callable[[Decorated], Decorated]:
    """Return the decorator that adds an option for each parameter of several dataclasses.

    The command gets what was given under the names of the parameters, and None for the others. The
    help of a parameter names the kinds that have it, unless all do, and each kind's default.

    Parameters
    ----------
    owners : mapping of str to type
        Dataclasses by the names of their kinds.
    """
    described: dict[str, dict[str, Parameter]] = {}
    for kind, owner in owners.items():
        for name, own in parameters_of(owner).items():
            described.setdefault(name, {})[kind] = own
    options = [_option_of_kinds(by_kind, len(owners)) for by_kind in described.values()]
    return lambda run: _with_all(options, run)


def _option_of_kinds(
    by_kind: Mapping[str, Parameter], n_kinds: int
) -> Callable[[Decorated], Decorated]:
    label = "" if len(by_kind) == n_kinds else f"[{', '.join(by_kind)}]"
    defaults: dict[str, list[str]] = {}
    for kind, own in by_kind.items():
        defaults.setdefault(_said(own.default), []).append(kind)
    (first, _), *others = defaults.items()
    shown = "; ".join([first, *(f"for {', '.join(kinds)} {said}" for said, kinds in others)])
    return option_of(next(iter(by_kind.values())), label=label, shown=shown, unset=True)


def _with_all(options: Any, run: Decorated) -> Decorated:
    """Add options so that the help lists them in their order."""
    for option in reversed(list(options)):
        run = option(run)
    return run
