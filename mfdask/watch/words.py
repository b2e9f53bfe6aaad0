"""The texts of the progress page: what is fitted, how far it is, and as of when."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple

from mfdask.watch.events import Fit

#: Sweeps whose median time says how long the next ones take.
_RECENT = 5
#: A fit is late when it has told nothing for so many times that long, and these seconds.
_PATIENCE, _GRACE = 10, 10.0


class Words(NamedTuple):
    """Texts of the progress page.

    Attributes
    ----------
    title : str
    line : str
        How far it is.
    as_of : str
        Of when all this is.
    """

    title: str
    line: str
    as_of: str


def words_of(fit: Fit | None, now: float) -> Words:
    """Put a fit in words.

    Parameters
    ----------
    fit : Fit or None
    now : float
        Seconds since 1970.
    """
    if fit is None:
        line = "A fit shows here how far it is; what else is running stands below."
        return Words("No training has run yet", line, f"As of {_moment(now)}.")
    if not fit.sweeps:
        line = f"Its first sweep has been running for {_span(now - fit.began)}; "
        line += "kernels are compiled at their first use."
        if not fit.alive:
            line = "It ended before its first sweep did."
        return Words("A fit has begun", line, f"As of {_moment(now)}.")
    last = fit.sweeps[-1]
    as_of = f"As of {_moment(now)}; the last sweep was told {_span(now - fit.heard)} ago. "
    as_of += f"The data set is of {datetime.fromisoformat(last.data_as_of):%Y-%m-%d %H:%M} UTC."
    return Words(f"{last.model} on {last.data}", _line(fit, now), as_of)


def _line(fit: Fit, now: float) -> str:
    last = fit.sweeps[-1]
    if not fit.alive:
        return f"Ended; told last: sweep {last.sweep} of at most {last.n_sweeps}, {last.note}."
    each = median(told.seconds for told in list(fit.sweeps)[-_RECENT:])
    if now - fit.heard > _PATIENCE * each + _GRACE:
        ahead = f"nothing was told for {_span(now - fit.heard)}, though a sweep took {_span(each)}"
    else:
        ahead = f"at most {_span(each * (last.n_sweeps - last.sweep))} left"
    millions = last.speed >= 1e6
    speed = f"{last.speed / 1e6:.1f} million" if millions else f"{last.speed:,.0f}"
    sweep = f"Sweep {last.sweep} of at most {last.n_sweeps}"
    return f"{sweep}: {last.note}; {speed} ratings a second; {ahead}."


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _span(seconds: float) -> str:
    if seconds < 1:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
