"""Find the columns of user, item, rating, timestamp, split and weight in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mfdask.errors import InputError
from mfdask.ratings.values import ROLES

_GUESSES = {
    "user": ("userid", "user", "uid", "customerid", "reviewerid", "visitorid", "cid",
        "memberid", "reviewer", "authorid", "username", "playerid", "accountid",
    ),
    "item": (
        "movieid", "itemid", "item", "movie", "iid", "productid", "parentasin", "asin", "isbn",
        "bookid", "animeid", "recipeid", "articleid", "trackid", "songid", "gameid", "businessid",
        "gmapid", "artistid", "videoid", "newsid", "jokeid", "hotelid", "venueid", "placeid",
        "courseid", "beerid", "showid", "appid", "sku",
    ),
    "rating": ("rating", "ratings", "score", "stars", "overall", "bookrating", "userrating",
        "reviewscore", "reviewoverall", "ratingscore"),
    "timestamp": (
        "timestamp", "time", "ts", "unixreviewtime", "unixtime", "datetime", "date", "ratedat",
        "tdat", "reviewtime", "reviewdate", "createdat", "eventtime", "ratingdate", "timems",
    ),
}  # fmt: skip
#: Names of columns with a word in the place of a rating.
_WORDS = ("event", "eventtype", "action", "interaction", "behavior", "behaviour", "type")
#: Roles that an empty name leaves out; events and withdrawals have no rating.
_OPTIONAL = ("rating", "timestamp", "split", "weight")
_SHOWN = 300  # characters of a header in a message
_EXAMPLE = "`columns` user=…,item=…,rating=…,timestamp=…"


def are_positions(columns: Mapping[str, str] | None) -> bool:
    """Tell whether `columns` gives positions from 0, for a table without a header."""
    names = [name for name in (columns or {}).values() if name]
    return bool(names) and all(name.isdecimal() for name in names)


def by_name(header: Sequence[str], columns: Mapping[str, str] | None, file: str) -> dict[str, int]:
    """Find the place of each role in `header`: as `columns` says, else by a sensible guess.

    Parameters
    ----------
    header : sequence of str
        The names in the file.
    columns : mapping or None
        Role (of `ROLES`) to name. Roles left out are guessed, but for `split` and `weight`; where
        user and item are named there need be no rating. An empty name leaves out the timestamps,
        or the ratings.
    file : str
        For messages.

    Returns
    -------
    dict
        Role to place from 0, in the order of `ROLES`; without those that are left out.

    Raises
    ------
    InputError
        A role is unknown, its column is missing or meant twice.
    """
    given = _checked_roles(columns)
    places = {}
    for role in ROLES:
        place = (
            _named(header, given[role], role, file) if role in given else _guess(header, role, file)
        )
        if place is not None:
            places[role] = place
        elif not _may_lack(role, given):
            raise InputError(_not_found(header, role, file))
    return _distinct(places, file)


def by_position(n_fields: int, columns: Mapping[str, str], file: str) -> dict[str, int]:
    """Take the place of each role from `columns`, for a table of `n_fields` without a header.

    Raises
    ------
    InputError
        A role is unknown or missing, or its place is beyond the last column or meant twice.
    """
    given = {role: name for role, name in _checked_roles(columns).items() if name}
    missing = [role for role in ROLES if role not in given and role not in _OPTIONAL]
    if missing:
        raise InputError(
            f"{file}: positions are given, but none for {' and '.join(missing)}; "
            "write `columns` user=0,item=1,rating=2 with the positions from 0"
        )
    places = {role: int(given[role]) for role in ROLES if role in given}
    beyond = [f"{role}={place}" for role, place in places.items() if place >= n_fields]
    if beyond:
        raise InputError(
            f"{file}: `columns` {','.join(beyond)} is beyond the last column; the file's first "
            f"line has {n_fields} columns, counted from 0"
        )
    return _distinct(places, file)


def _checked_roles(columns: Mapping[str, str] | None) -> Mapping[str, str]:
    unknown = [role for role in columns or {} if role not in ROLES]
    if unknown:
        raise InputError(
            f"`columns`: {unknown[0]!r} is not one of {', '.join(ROLES)}; write {_EXAMPLE}"
        )
    return columns or {}


def _may_lack(role: str, given: Mapping[str, str]) -> bool:
    """Whether a table may be without a role: who names user and item may have no ratings."""
    if role == "rating":
        return given.get(role) == "" or {"user", "item"} <= given.keys()
    return role != "rating" and role in _OPTIONAL


def _named(header: Sequence[str], name: str, role: str, file: str) -> int | None:
    if not name and role in _OPTIONAL:
        return None
    if header.count(name) == 1:
        return list(header).index(name)
    if name in header:
        raise InputError(f"{file}: the header has {name!r} twice; rename one of them")
    raise InputError(
        f"{file}: no column {name!r} (meant as {role}) in the header {_listed(header)}; "
        f"write {_EXAMPLE} with names from it"
    )


def _guess(header: Sequence[str], role: str, file: str) -> int | None:
    plain = [_bare(name) for name in header]
    found = next((name for name in _GUESSES.get(role, ()) if name in plain), None)
    if found is not None and plain.count(found) > 1:
        raise InputError(f"{file}: two columns look like the {role}; say which with {_EXAMPLE}")
    return None if found is None else plain.index(found)


def _bare(name: str) -> str:
    # RecBole's headers name the type behind a colon: user_id:token
    return name.partition(":")[0].casefold().translate({ord(c): None for c in "_- ."})


def _not_found(header: Sequence[str], role: str, file: str) -> str:
    if any(_is_number(name) for name in header):
        return (
            f"{file}: no header, the first line is {_listed(header)}; say which column is "
            f"which by position from 0: `columns` {_positions(len(header))}"
        )
    none = ", or `columns` rating= if each row is an event" if role == "rating" else ""
    words = next((name for name in header if _bare(name) in _WORDS), None)
    if none and words is not None:
        none += f", or `columns` rating={words} and what each word is worth with `event_values`"
    return (
        f"{file}: no column looks like the {role} in the header {_listed(header)}; "
        f"write {_EXAMPLE} with names from it{none}"
    )


def _positions(n_fields: int) -> str:
    """Return positions that so many fields may have."""
    places = [f"{role}={place}" for place, role in enumerate(_GUESSES) if place < n_fields]
    return ",".join(places if n_fields > 2 else [*places, "rating="])


def _listed(header: Sequence[str]) -> str:
    """Return the names of a header, or the first of very many."""
    names = ", ".join(header)
    return names if len(names) <= _SHOWN else names[:_SHOWN] + "…"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _distinct(places: dict[str, int], file: str) -> dict[str, int]:
    if len(set(places.values())) < len(places):
        twice = ", ".join(f"{role}={place}" for role, place in places.items())
        raise InputError(f"{file}: one column is meant twice ({twice}); write {_EXAMPLE}")
    return places
