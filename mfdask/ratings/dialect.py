"""How the texts of a source are written, where that cannot be guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mfdask.errors import InputError, require
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
    delimiter: str | None = parameter(
        None,
        "What is between the fields of text: a sign or several, tab, or space for any number of "
        "blanks.  [default: guessed]",
    )
    decimal: Literal[".", ","] | None = parameter(
        None, "Decimal sign of ratings in text.  [default: guessed]"
    )
    thousands: str | None = parameter(
        None, "Sign between the thousands of ratings, such as a comma or a point.  [default: none]"
    )
    encoding: str | None = parameter(
        None, "Encoding of text, such as latin-1, cp1252 or utf-16.  [default: utf-8]"
    )
    comment: str | None = parameter(
        None,
        "What lines of text begin with that are no rows, such as #.  [default: # or % at the top]",
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
        for name in ("delimiter", "thousands", "comment"):
            require(getattr(self, name) != "", name, "", "a sign")
        sign = self.thousands
        fits = sign is None or (len(sign) == 1 and not sign.isalnum() and sign != self.decimal)
        require(fits, "thousands", sign, "one sign, other than the decimal one, and no digit")
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError:
            raise InputError(
                f"`encoding` {self.encoding}: there is no such; write latin-1, cp1252 or utf-16"
            ) from None

    @property
    def sign(self) -> str | None:
        """The delimiter as it is in text; a blank stands for any number of them."""
        return {"tab": "\t", "\\t": "\t", "space": " "}.get(self.delimiter or "", self.delimiter)


#: Nothing is said.
AS_GUESSED = Dialect()
