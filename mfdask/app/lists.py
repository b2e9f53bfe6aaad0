"""Lists of items as HTML, and the reasons for them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from mfdask.app.site import Shown
from mfdask.models import Model
from mfdask.recommendation import Reasons

#: More levels than this are no row of stars.
_MOST_STARS = 10
#: Ratings that are named as a reason.
_REASONS = 2
#: Of what the first says, that the second must say at least to be named too.
_SHARE = 0.2


def element(tag: str, text: Any, kind: str = "", **attributes: object) -> str:
    """Return an HTML element of a text; attributes are as in HTML, with ``_`` for ``-``."""
    return _around(tag, f"<bdi>{escape(str(text))}</bdi>", kind, attributes)


def _around(tag: str, inside: str, kind: str, attributes: Mapping[str, object]) -> str:
    given = {"class": kind} if kind else {}
    given |= {name.replace("_", "-"): str(value) for name, value in attributes.items()}
    said = "".join(f' {name}="{escape(value)}"' for name, value in given.items())
    return f"<{tag}{said}>{inside}</{tag}>"


def button(text: str, do: str, kind: str = "", **attributes: object) -> str:
    """Return a button that asks for an action of the page, with ``data_…`` for what it says."""
    return element("button", text, kind, type="button", data_do=do, **attributes)


def line_button(text: str, after: str, do: str, **attributes: object) -> str:
    """Return a whole line that is a button: a text to the left, another to the right."""
    inside = element("span", text) + element("span", after, "score")
    return _around("button", inside, "line", {"type": "button", "data_do": do, **attributes})


def title_of(item: Mapping[str, Any]) -> str:
    """Return an item's title, or what to call it where there is none."""
    return str(item.get("title") or f"item {item['item_id']}")


def about(item: Mapping[str, Any]) -> str:
    """Return what else is known of an item, in a line: genres and training ratings."""
    genres = str(item.get("genres") or "").replace("|", ", ")
    return " · ".join(filter(None, (genres, f"{item['n_train']:,} ratings")))


def records_of(shown: Shown, rows: Iterable[int]) -> list[dict[str, Any]]:
    """Return what is known of items, a mapping each."""
    names = [n for n in ("item_id", "title", "genres", "n_train") if n in shown.items]
    return mappings_of(shown.items[names].iloc[list(rows)])


def mappings_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a mapping of each line of a table."""
    return [{str(name): value for name, value in line.items()} for line in table.to_dict("records")]


def levels_of(model: Model) -> list[float]:
    """Return the ratings that may be given with one click, ascending."""
    low, high = model.data.rating_min, model.data.rating_max
    whole = [float(level) for level in range(max(math.ceil(low), 1), math.floor(high) + 1)]
    return whole if 0 < len(whole) <= _MOST_STARS else sorted({low, (low + high) / 2, high})


def toggles(label: str, names: Sequence[str], chosen: Collection[str], do: str) -> str:
    """Return a row of buttons, each of which is on or off."""
    buttons = [
        button(name, do, title=name, data_name=name, aria_pressed=str(name in chosen).lower())
        for name in names
    ]
    head = element("span", label, "soft")
    return f'{head}<div class="toggles" role="group">{"".join(buttons)}</div>'


def stars(item: Mapping[str, Any], rating: float | None, levels: Sequence[float]) -> str:
    """Return a row of stars to rate an item by."""
    key = str(item["item_id"])
    buttons = [
        button(
            "★",
            "rate",
            "star on" if rating is not None and rating >= level else "star",
            data_item=key,
            data_rating=f"{level:g}",
            aria_label=f"rate {title_of(item)} {level:g}",
        )
        for level in levels
    ]
    return f'<span class="stars">{"".join(buttons)}</span>'


def item_line(item: Mapping[str, Any], after: str) -> str:
    """Return a line of a list: the item, HTML to the right of it, and below what is known of it."""
    name = element("span", title_of(item), "what")
    return f"<li>{name}{after}{element('span', about(item), 'soft below')}</li>"


def ranked_list(items: pd.DataFrame, scores: Sequence[str], reasons: Mapping[Any, str]) -> str:
    """Return a list of recommendations: rank, item, why, score, and a button to rate it."""
    lines = []
    for rank, (item, score) in enumerate(zip(mappings_of(items), scores, strict=True), 1):
        why = reasons.get(item["item_id"], "")
        name = element("span", title_of(item), "what") + element("span", about(item), "soft what")
        name += element("span", why, "soft what") if why else ""
        lines.append(
            f"<li>{element('span', rank, 'rank')}<span>{name}</span>"
            f"{element('span', score, 'score')}</li>"
        )
    return f'<ol class="ranked">{"".join(lines)}</ol>'


def reasons_in_words(reasons: Reasons, titles: Mapping[Any, str]) -> dict[Any, str]:
    """Return why each item is on a list, in words: the ratings that say most for it."""
    most = reasons.rated.groupby("item_id", sort=False)["part"].transform("max")
    parts = reasons.rated[reasons.rated["part"] > (_SHARE * most).clip(lower=0)]
    best = parts.sort_values("part", ascending=False).groupby("item_id", sort=False).head(_REASONS)
    return {
        item: "because of "
        + ", ".join(
            f"{titles[rated]} ({part:+.2g})"
            for rated, part in zip(own["rated_id"], own["part"], strict=True)
        )
        for item, own in best.groupby("item_id", sort=False)
    }
