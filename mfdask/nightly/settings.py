"""Read TOML tables into dataclasses, with an error for each wrong key."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mfdask.errors import InputError

T = TypeVar("T")
Table = dict[str, Any]

#: One value of a type, and many.
_KINDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    bool: ("true or false", "true or false"),
}


def read_toml(path: Path, mend: str = "`mfdask nightly --init DIR` writes one") -> Table:
    """Return what a TOML file says.

    Parameters
    ----------
    path : Path
    mend : str, optional
        What to do where there is none.

    Raises
    ------
    InputError
        If there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; {mend}") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {mend}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML ({error})") from None


def override(table: Table, assignment: str) -> None:
    """Set one key of nested tables: ``training.factors=40``, or ``home=/srv`` (a word, unquoted).

    Raises
    ------
    InputError
        If it is no assignment, or goes through a key that is no table.
    """
    place, sign, text = assignment.partition("=")
    *tables, key = place.strip().split(".")
    if not sign or not key:
        raise InputError(f"`overrides` {assignment}: write it as TABLE.KEY=VALUE")
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(
                f"`overrides` {assignment}: {name} is a key, and no table that holds others; leave "
                "out what follows it"
            )
    table[key] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def take_table(said: Table, name: str) -> Table:
    """Remove a table of the file and return it, empty where it is not there.

    Raises
    ------
    InputError
        If the key is there and is no table.
    """
    found = said.pop(name, {})
    if not isinstance(found, dict):
        raise InputError(f"{name} = {found!r}: is to be a table, [{name}]")
    return dict(found)


def build(made: type[T], said: Mapping[str, Any], where: str) -> T:
    """Make a dataclass of a table's keys.

    Parameters
    ----------
    made : dataclass
        Its fields are the keys that there may be, with their types.
    said : mapping
    where : str
        What messages call the table.

    Raises
    ------
    InputError
        If a key is unknown or its value has another type, see `check_table`; or if the dataclass
        refuses a value.
    """
    hints = get_type_hints(made)
    known = {field.name: hints[field.name] for field in fields(made)}  # type: ignore[arg-type]
    values = check_table(said, known, where)
    try:
        return made(**values)
    except InputError as error:
        if error.template.startswith("`"):  # with the key
            raise InputError(f"{where}{error}") from None
        raise


def check_table(said: Mapping[str, Any], hints: Mapping[str, Any], where: str) -> Table:
    """Return the values of a table, of the types that are wanted.

    Parameters
    ----------
    said : mapping
    hints : mapping
        Keys that there may be, and the types of their values.
    where : str
        What messages call the table.

    Raises
    ------
    InputError
        If a key is unknown or its value has another type; says the nearest known key.
    """
    check_keys(said, hints, where)
    for key, value in said.items():
        if not _fits(value, hints[key]):
            raise InputError(f"{where}{key} = {value!r}: give {_say(hints[key])}")
    return {key: _cast(value, hints[key]) for key, value in said.items()}


def check_keys(said: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse keys that nobody knows.

    Raises
    ------
    InputError
    """
    for key in said:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{where}{key}: no such key; {mend}")


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, inner) for inner in get_args(hint))
    if origin is tuple:
        return isinstance(value, list) and all(_fits(v, get_args(hint)[0]) for v in value)
    if origin is not None:
        return isinstance(value, origin)
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, hint)


def _cast(value: Any, hint: Any) -> Any:
    if hint is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _say(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return " or ".join(map(str, get_args(hint)))
    if origin in (Union, UnionType):
        return " or ".join(_say(inner) for inner in get_args(hint) if inner is not type(None))
    if origin is tuple:
        return f"a list of {_KINDS[get_args(hint)[0]][1]}"
    return _KINDS[hint][0]
