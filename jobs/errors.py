"""Error lines and exit codes of jobs that fail."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mfdask.errors import NAMED, ClusterError, MfdaskError, without_secrets
from mfdask.summaries import harmless

#: Exit code and line for what the system says of a disk.
_DISK = {
    errno.ENOSPC: (3, "no space left on the disk; free some, or write elsewhere"),
    errno.EDQUOT: (3, "the disk quota is used up; free some, or write elsewhere"),
    errno.EFBIG: (3, "files may not be so large; raise the limit (ulimit -f), or write elsewhere"),
    errno.EROFS: (2, "the file system is read-only; write elsewhere"),
    errno.EACCES: (2, "permission denied; check its owner and mode, or write elsewhere"),
    errno.EEXIST: (2, "is not a folder; write elsewhere"),
    errno.ENOTDIR: (2, "is not a folder; write elsewhere"),
    errno.EPERM: (2, "not permitted; check its owner and mode, or write elsewhere"),
}

#: The line for a machine, or a limit, that has too little memory.
LITTLE_MEMORY = "not enough memory; end something else, raise its limit, or take fewer data"
#: What else than a `MemoryError` says so: a thread without a stack, a library without a place.
_SIGNS = (
    "can't start new thread",
    "Failed to launch worker thread",
    "failed to map segment",
    "Cannot allocate memory",
)


class EndedError(click.ClickException):
    """Ends a job with one line on standard error and an exit code."""

    def __init__(self, exit_code: int, line: str) -> None:
        super().__init__(line)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"mfdask: {harmless(self.message)}", err=True)


@contextmanager
def ending(command: click.Command, debug: bool = False) -> Iterator[None]:
    """Turn any error of the block into an `EndedError`; with `debug`, let it pass."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if debug or isinstance(error, click.ClickException | click.exceptions.Exit):
            raise
        raise EndedError(*_explain(error, command)) from None


def _explain(error: BaseException, command: click.Command) -> tuple[int, str]:
    """Return exit code and line for an error."""
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted; nothing was left half-written"
    if isinstance(error, MfdaskError):
        template = error.template
        if isinstance(error, ClusterError) and "resume" in {own.name for own in command.params}:
            template += "; with `resume` it goes on from the last checkpoint"
        return error.exit_code, " ".join(_with_options(template, command).split())
    if isinstance(error, OSError) and error.errno in _DISK:
        code, line = _DISK[error.errno]
        how = " with --out" if "out" in {own.name for own in command.params} else ""
        return code, f"{_place_of(error)}: {line}{how}"
    if is_of_little_memory(error):
        return 3, LITTLE_MEMORY
    line = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
    return 1, f"unexpected error, {line} (run again with --debug to see where)"


def _place_of(error: OSError) -> str:
    """Return the file that an error is of; Arrow names it only in its text."""
    quoted = re.search("'([^']+)'", str(error))
    return error.filename or (quoted[1] if quoted else "disk")


def is_of_little_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that memory is at its end."""
    while error is not None:
        is_said = any(sign in str(error) for sign in _SIGNS)
        is_of_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
        if isinstance(error, MemoryError) or is_of_system or is_said:
            return True
        error = error.__cause__ or error.__context__
    return False


def _with_options(template: str, command: click.Command) -> str:
    """Put options in the place of parameters, as far as the command has them."""
    names = {own.name: option_name(own) for own in command.params if isinstance(own, click.Option)}
    return NAMED.sub(lambda found: names.get(found[1], found[1]), template)


def option_name(own: click.Option) -> str:
    """Return the first long name of an option: ``--min-ratings``."""
    return next((name for name in own.opts if name.startswith("--")), own.opts[0])
