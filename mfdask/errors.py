"""The errors a user can cause, each with the exit code that a job ends with."""


class MfdaskError(Exception):
    """One clear line: what is wrong, where, and how to mend it."""

    exit_code = 1


class InputError(MfdaskError, ValueError):
    """Wrong usage or bad input (exit code 2)."""

    exit_code = 2


class RefusedError(MfdaskError):
    """Refused by a safety rule: a lock is held, disk or memory would not do (exit code 3)."""

    exit_code = 3
