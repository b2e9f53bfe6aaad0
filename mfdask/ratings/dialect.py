"""How the texts of a source are written, where that cannot be guessed."""

from __future__ import annotations

from dataclasses import dataclass

from mfdask.parameters import Parametrised, parameter
from mfdask.ratings.times import check_format


@dataclass(frozen=True)
class Dialect(Parametrised):
    """How texts and values are written; what is not said is guessed from the start of each file."""

    timestamp_format: str | None = parameter(
        None,
        "Form of the timestamps: s, ms, us or ns since 1970, or signs of strptime such as "
        "%d.%m.%Y.  [default: guessed]",
        metavar="FORM",
    )
    missing: tuple[float, ...] | None = parameter(
        None,
        "Ratings that stand for none, such as 0,-1,99: such rows are left out and counted among "
        "the rejected, but refuse no file.",
        metavar="NUMBER,…",
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        check_format(self.timestamp_format)


#: Nothing is said.
AS_GUESSED = Dialect()
