"""Command-line arguments and options, made of dataclass parameters; `--config` files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from mfdask.cluster import ClusterConfig
from mfdask.errors import InputError
from mfdask.files import file_place, folder_place
from mfdask.parameters import Parameter, parameters_of

from .errors import EndedError, ending, option_name

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: The file by which a folder is told to be one thing or the other.
_MARKS = {"model": "model.json", "data set": "manifest.json"}

#: Options that every job has: no file of options has them, and none is printed by `--json`.
_OF_ALL = {"config", "as_json", "debug"}

_TYPES: dict[type, click.ParamType] = {
    int: click.INT,
    float: click.FLOAT,
    str: click.STRING,
    bool: click.BOOL,
}


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
    default = _said(own) if shown is None else shown
    help_text = " ".join(filter(None, (label, own.help)))
    return click.option(
        f"--{own.option}/--no-{own.option}" if own.kind is bool else f"--{own.option}",
        own.name,
        type=_type_of(own),
        default=None if unset else own.default,
        metavar=own.metavar
        or (f"{_TYPES[own.kind].name.upper()}|{own.none}" if own.none else None),
        help=f"{help_text}  [default: {default}]" if default else help_text,
    )


def _type_of(own: Parameter) -> click.ParamType:
    if own.choices:
        return click.Choice(own.choices)
    each = _TYPES[own.kind]
    if own.none is not None:
        return WordType(each, own.none)
    return ListType(each) if own.many else each


def _said(own: Parameter) -> str:
    if own.many and own.default is not None:
        return ",".join(map(str, own.default))
    if isinstance(own.default, bool):
        return own.option if own.default else f"no-{own.option}"
    return own.none or "" if own.default is None else str(own.default)


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


def options_of_kinds(
    owners: Mapping[str, Mapping[str, Parameter]],
) -> Callable[[Decorated], Decorated]:
    """Return the decorator that adds an option for each parameter of several kinds.

    The command gets what was given under the names of the parameters, and None for the others. The
    help of a parameter names the kinds that have it, unless all do, and each kind's default.

    Parameters
    ----------
    owners : mapping of str to mapping
        For the name of each kind its parameters, by their names.
    """
    described: dict[str, dict[str, Parameter]] = {}
    for kind, parameters in owners.items():
        for name, own in parameters.items():
            described.setdefault(name, {})[kind] = own
    options = [_option_of_kinds(by_kind, list(owners)) for by_kind in described.values()]
    return lambda run: _with_all(options, run)


def _option_of_kinds(
    by_kind: Mapping[str, Parameter], kinds: list[str]
) -> Callable[[Decorated], Decorated]:
    without = [kind for kind in kinds if kind not in by_kind]
    few = len(without) < len(by_kind)
    label = f"[{'all but ' if few else ''}{', '.join(without if few else by_kind)}]"
    defaults: dict[str, list[str]] = {}
    for kind, own in by_kind.items():
        defaults.setdefault(_said(own), []).append(kind)
    (first, _), *others = defaults.items()
    shown = "; ".join([first, *(f"for {', '.join(those)} {said}" for said, those in others)])
    own = _with_word(by_kind)
    return option_of(own, label=label if without else "", shown=shown, unset=True)


def _with_word(by_kind: Mapping[str, Parameter]) -> Parameter:
    """Return the first kind's parameter, which takes and tells the word that others have for it."""
    first = next(iter(by_kind.values()))
    having = {kind: own.none for kind, own in by_kind.items() if own.none}
    if first.none or not having:
        return first
    word = next(iter(having.values()))
    return replace(first, none=word, help=f"{first.help} For {', '.join(having)} also {word}.")


def _with_all(options: Any, run: Decorated) -> Decorated:
    """Add options so that the help lists them in their order."""
    for option in reversed(list(options)):
        run = option(run)
    return run


@dataclass(frozen=True)
class WordType(click.ParamType):
    """A value, or the word that stands for None and is left as it is."""

    each: click.ParamType
    word: str
    name = "word"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or the word."""
        if value == self.word:
            return value
        try:
            return self.each.convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message} Nor is it {self.word!r}.", param, ctx)


@dataclass(frozen=True)
class ListType(click.ParamType):
    """Values with commas between them, as a tuple."""

    each: click.ParamType
    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the values; a file of options has a list, or a single one."""
        given = value.split(",") if isinstance(value, str) else value
        given = given if isinstance(given, list | tuple) else [given]
        return tuple(self.each.convert(one, param, ctx) for one in given)


@dataclass(frozen=True)
class FolderType(click.ParamType):
    """A folder that holds a model or a data set; the one is not taken for the other."""

    holds: str
    made: Callable[[str], Any]
    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, unless it is one of the other kind."""
        (other,) = set(_MARKS) - {self.holds}
        if _has(value, _MARKS[other]) and not _has(value, _MARKS[self.holds]):
            mend = _order(ctx) or f"a {self.holds} is wanted here"
            raise EndedError(2, f"{value}: is a {other}; {mend}")
        return self.made(value)


def _has(folder: str, file: str) -> bool:
    """Whether a file is there to be seen; why it is not is for the job to tell."""
    try:
        return Path(folder, file).is_file()
    except OSError:
        return False


def _order(ctx: click.Context | None) -> str | None:
    """Say the order of the arguments of a command that has models and data sets among them."""
    own = [] if ctx is None else ctx.command.params
    arguments = [one for one in own if isinstance(one, click.Argument)]
    held = {one.type.holds for one in arguments if isinstance(one.type, FolderType)}
    if ctx is None or len(held) < len(_MARKS):
        return None
    words = [ctx.command_path, *(one.make_metavar(ctx) for one in arguments)]
    return f"give the model first, then the data set: `{' '.join(words)}`"


#: A model: a folder, as a path.
MODEL = FolderType("model", Path)

#: A data set: a folder, or a URL. It stays a text, since a Path would make ``s3:/`` of ``s3://``.
DATA = FolderType("data set", str)

#: A data set in a folder, as a path.
DATA_FOLDER = FolderType("data set", Path)

#: Any other file or folder.
PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class OutputType(click.ParamType):
    """A path to write to; what must not be replaced there is refused before the work starts."""

    place_of: Callable[[Path], Path]
    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path as it was given."""
        try:
            self.place_of(Path(value))
        except InputError as error:
            raise EndedError(error.exit_code, str(error)) from None
        except OSError:
            pass  # such as a folder that may not be entered: for the job to tell
        return Path(value)


#: A file that a job writes.
OUT_FILE = OutputType(file_place)


def _parquet_place(target: Path) -> Path:
    """Return `file_place` of a table that can only be Parquet.

    Raises
    ------
    InputError
        As `file_place`; if the ending is that of another form.
    """
    if target.suffix not in ("", ".parquet"):
        raise InputError(f"{target}: the table is written as Parquet; let the file end in .parquet")
    return file_place(target)


#: A Parquet file that a job writes.
OUT_PARQUET = OutputType(_parquet_place)

#: A folder that a job writes.
OUT_FOLDER = OutputType(folder_place)


def config_file_option(run: Decorated) -> Decorated:
    """Add `--config`, a file of options."""
    return click.option(
        "--config",
        type=PATH,
        metavar="FILE.toml",
        is_eager=True,
        expose_value=False,
        callback=_take_file,
        help="Take options from this TOML file, such as min-ratings = 5; those given beside win.",
    )(run)


def _take_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make what a file says the defaults of the command."""
    if path is None:
        return
    from mfdask.nightly.settings import check_table, read_toml

    known = {
        name.removeprefix("--"): own
        for own in _options(ctx.command)
        for name in own.opts
        if name.startswith("--")
    }
    with ending(ctx.command):
        hints = {key: _hint(own) for key, own in known.items()}
        said = check_table(read_toml(path, "give one to --config"), hints, f"{path}: ")
    ctx.default_map = {str(known[key].name): value for key, value in said.items()}


def _options(command: click.Command) -> list[click.Option]:
    own = [own for own in command.params if isinstance(own, click.Option)]
    return [option for option in own if option.name not in _OF_ALL]


def _hint(own: click.Option) -> Any:
    """Return the type that the value of an option has in a file."""
    if isinstance(own.type, ListType):
        return int | tuple[int, ...]
    if isinstance(own.type, WordType):
        return _plain_hint(own.type.each) | Literal[own.type.word]
    kind: Any = _plain_hint(own.type)
    return tuple[kind, ...] if own.multiple or own.nargs > 1 else kind


def _plain_hint(own: click.ParamType) -> Any:
    if isinstance(own, click.Choice):
        return Literal[tuple(own.choices)]
    for click_type, made in (
        (click.types.BoolParamType, bool),
        (click.types.IntParamType, int),
        (click.types.FloatParamType, float),
    ):
        if isinstance(own, click_type):
            return made
    return str


def effective_options(ctx: click.Context, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a command has run with, as a file for `--config` may hold them.

    Parameters
    ----------
    ctx : click.Context
    found : mapping
        Values that the command has found by itself, by the names of its parameters.
    """
    values = {**ctx.params, **found}
    return {
        option_name(own).removeprefix("--"): _plain(values[own.name])
        for own in _options(ctx.command)
        if values.get(own.name) is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return str(value) if isinstance(value, Path) else value


#: Where the work runs; the job gets it as `cluster`.
cluster_options = options_of(ClusterConfig, "cluster")
