"""Read what JSON says into typed values, and refuse what is of another type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(made: type[T], said: Any, where: str = "it") -> T:
    """Make a dataclass of what JSON says, with all that it holds.

    Parameters
    ----------
    made : dataclass
    said : object
        What `json.loads` returned.
    where : str
        What the message calls it.

    Raises
    ------
    ValueError
        If a key is missing or unknown, or a value has another type than its field.
    """
    value: T = _decoded(made, said, where)
    return value


def check_keys_of(said: Any, hints: Mapping[str, Any], where: str = "it") -> dict[str, Any]:
    """Return an object of JSON of which these keys are there and have these types.

    Raises
    ------
    ValueError
    """
    if not isinstance(said, dict):
        raise ValueError(f"{where} is {type(said).__name__}, no object")
    missing = [name for name in hints if name not in said]
    if missing:
        raise ValueError(f"{where} has no {missing[0]!r}")
    return said | {name: _decoded(hint, said[name], name) for name, hint in hints.items()}


def _decoded(hint: Any, said: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _dataclass_of(hint, said, where)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _first_of(inner, said, where)
    if origin is Literal:
        good, value = said in inner, said
    elif origin is list:
        good = isinstance(said, list)
        value = [_decoded(inner[0], one, where) for one in said] if good else None
    elif origin is not None:  # a mapping: the keys of JSON are texts
        good = isinstance(said, dict)
        value = {key: _decoded(inner[1], one, key) for key, one in said.items()} if good else None
    else:
        good, value = _is_plain(hint, said), said
    if not good:
        raise ValueError(f"{where} is {str(said)[:40]!r}, no {getattr(hint, '__name__', hint)}")
    return value


def _is_plain(hint: Any, said: Any) -> bool:
    if hint is Any:
        return True
    if isinstance(said, bool):
        return hint is bool
    return isinstance(said, int | float if hint is float else hint)


def _first_of(hints: tuple[Any, ...], said: Any, where: str) -> Any:
    for hint in hints[:-1]:
        try:
            return _decoded(hint, said, where)
        except ValueError:
            continue
    return _decoded(hints[-1], said, where)


def _dataclass_of(made: Any, said: Any, where: str) -> Any:
    hints = get_type_hints(made)
    wanted = {
        own.name: hints[own.name]
        for own in fields(made)
        if (own.default is MISSING and own.default_factory is MISSING)
        or (isinstance(said, dict) and own.name in said)
    }
    values = check_keys_of(said, wanted, where)
    unknown = values.keys() - hints.keys()
    if unknown:
        raise ValueError(f"{where} has {min(unknown)!r}, which nobody knows")
    return made(**values)
