"""Exceptions for errors that a user can cause, with their exit codes."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: A parameter in a message.
NAMED = re.compile(r"`([a-z][a-z0-9_]*)`")

#: A URL in a text: its scheme, who asks (a password may hold signs that should be escaped), host
#: and path, query.
_URL = re.compile(
    r"([a-zA-Z][\w+.-]*://)"
    r"([^\s/?#'\"]*@|[^\s/?#'\":]*:(?!\d+(?:[/?#'\"\s]|$))[^\s'\"]*@)?"
    r"((?:[^\s?#'\",;)]|[,;)](?!\s|$))*)"
    r"([?#](?:[^\s'\",;)]|[,;)](?!\s|$))*)?"
)


def without_secrets(text: str) -> str:
    """Return a text whose URLs have neither passwords nor queries, which may be signatures."""
    if "://" not in text:
        return text
    return _URL.sub(
        lambda found: (
            found[1] + ("***@" if found[2] else "") + found[3] + ("?***" if found[4] else "")
        ),
        text,
    )


class MfdaskError(Exception):
    """One clear line: what is wrong, where, and how to mend it.

    Parameters
    ----------
    template : str
        The line, with names of parameters in backticks: Python callers read the bare names, the
        command line puts its options in their place. Secrets in URLs are left out.

    Examples
    --------
    >>> from mfdask import MfdaskError
    >>> error = MfdaskError("`n_factors` must be 0 or more")
    >>> print(error)
    n_factors must be 0 or more
    >>> error.with_names({"n_factors": "--factors"})
    '--factors must be 0 or more'
    """

    exit_code = 1

    def __init__(self, template: str) -> None:
        self.template = template = without_secrets(template)
        super().__init__(NAMED.sub(r"\1", template))

    def with_names(self, names: Mapping[str, str]) -> str:
        """Return the line with other names of parameters, such as those of a file's keys."""
        return NAMED.sub(lambda found: names.get(found[1], found[1]), self.template)

    def __reduce__(self) -> tuple[type[MfdaskError], tuple[str]]:
        """Keep the template on the way from a worker."""
        return type(self), (self.template,)


class InputError(MfdaskError, ValueError):
    """Wrong usage or bad input (exit code 2).

    Examples
    --------
    >>> from mfdask import ALS, InputError
    >>> try:
    ...     ALS(n_factors=-1)
    ... except InputError as error:
    ...     print(error)
    n_factors must be a whole number from 0 to 256, not -1
    """

    exit_code = 2


class RefusedError(MfdaskError):
    """Refused by a safety rule: a lock is held, disk or memory would not do (exit code 3).

    Examples
    --------
    >>> from mfdask import RefusedError
    >>> RefusedError.exit_code
    3
    """

    exit_code = 3


class ClusterError(RefusedError):
    """The cluster is gone, or nothing moves there (exit code 3); no data are to blame."""


class NoSpaceError(RefusedError):
    """The disk is full, or would be (exit code 3)."""


def require(good: bool, name: str, value: object, wanted: str) -> None:
    """Refuse the value of a parameter, and say what is wanted.

    Raises
    ------
    InputError
        Unless it is good.
    """
    if not good:
        raise InputError(f"`{name}` must be {wanted}, not {value!r}")
