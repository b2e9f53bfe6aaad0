"""Figures of recommendations to made-up new users, with explanations."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from bokeh.core.properties import value
from bokeh.models.annotations import LabelSet
from bokeh.models.ui import UIElement

from mfdask.figures import theme
from mfdask.figures.figure import Figure, ListFigure, add_hover, new_plot, plain
from mfdask.models import Ability, Model
from mfdask.recommendation import History, Ranking, recommend_new
from mfdask.recommendation.reasons import explain_new
from mfdask.report.parts import colours_of, labels_of, named, rule

#: How many people there are, how many items each of them loves, and how many they are offered.
_PEOPLE, _LOVED, _OFFERED = 3, 3, 6
_ESTEEM = "esteem by all"


class Person(NamedTuple):
    """Somebody made up, who gave the highest rating to a few items.

    Attributes
    ----------
    loves : str
        A genre, or empty: the most rated items.
    rows : list of int
        Item rows.
    """

    loves: str
    rows: list[int]


def people(model: Model) -> list[Person]:
    """Return somebody for each of a few genres, who loves its most rated items.

    The genres with most ratings come first; of their items, those that no one before loves. Where
    there are no genres, there is one who loves the most rated items.
    """
    items = model.items
    by_count = np.argsort(-items["n_train"].to_numpy(), kind="stable").tolist()
    genres = [set(text.split("|")) - {""} for text in items["genres"]]
    ratings: Counter[str] = Counter()
    for names, n in zip(genres, items["n_train"], strict=True):
        ratings.update(dict.fromkeys(sorted(names), int(n)))
    taken: set[int] = set()
    found = []
    for name, _ in ratings.most_common(_PEOPLE):
        own = [row for row in by_count if name in genres[row] and row not in taken][:_LOVED]
        taken |= set(own)
        if own:
            found.append(Person(name, own))
    return found or [Person("", by_count[:_LOVED])]


def example_table(model: Model, person: Person, ranking: Ranking) -> pd.DataFrame:
    """Return what a person is offered, and what each offer rests on.

    Returns
    -------
    DataFrame
        `rank, item_id, title, score` of the offer, `because` (the title of a loved item, or what
        everybody thinks) and its `part` of the score; `left` and `right`: where the part
        begins and ends when parts above zero, and those below, are added up from zero.
    """
    items = model.items
    names = dict(zip(items["item_id"], named(items["item_id"], items["title"]), strict=True))
    loved = items["item_id"].take(person.rows).tolist()
    history = History.of(model, dict.fromkeys(loved, model.data.rating_max))
    offered = recommend_new(model, history, ranking)
    reasons = explain_new(model, history, offered["item_id"].tolist(), ranking)
    beyond = reasons.items.get("rest", 0.0)  # what is in no rating's part
    own = reasons.items.assign(part=reasons.items["item"] + beyond)[["item_id", "part"]]
    rated = reasons.rated.assign(because=reasons.rated["rated_id"].map(names))
    parts = pd.concat([rated[["item_id", "because", "part"]], own.assign(because=_ESTEEM)])
    offers = offered[["rank", "item_id", "score"]].assign(title=offered["item_id"].map(names))
    table = offers.merge(parts, on="item_id", how="left", sort=False)
    outer = table.groupby([table["rank"], table["part"] >= 0])["part"].cumsum()
    inner = outer - table["part"]
    table["left"], table["right"] = np.minimum(inner, outer), np.maximum(inner, outer)
    columns = ["rank", "item_id", "title", "score", "because", "part", "left", "right"]
    return table[columns]


class Example(ListFigure):
    """What one person is offered: the table of `example_table`."""

    wide = True
    label = "_label"

    def __init__(
        self, numbers: pd.DataFrame, person: Person, number: int, stars: bool = True
    ) -> None:
        self._stars = stars
        self.name = f"new-user-{number}"
        who = f"who loves {person.loves}" if person.loves else "who loves what all know"
        self.title = f"Offers to somebody new {who}"
        loved = [name for name in numbers["because"].drop_duplicates() if name != _ESTEEM]
        self.caption = (
            f"They have given the highest rating to {_listed(loved)}. Each line is an offer, the "
            f"best on top, with what every rating adds to its score{', in stars' * stars}; the dot "
            "is their sum, and what is the same for all offers is left out."
        )
        if stars:
            self.caption += (
                " Ranked by taste: what everybody thinks of an item counts for a twentieth."
            )
        super().__init__(numbers)

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table with labels and colours."""
        offers = numbers.drop_duplicates("rank")
        labels = dict(zip(offers["rank"], labels_of(offers["title"]), strict=True))
        lines = numbers["rank"].map(labels).tolist()
        colours = colours_of(numbers["because"])
        return {
            **super().columns(numbers),
            "_label": lines,
            "_bar": [(line, -0.14) for line in lines],
            "_over": [(line, 0.32) for line in lines],
            "_offer": np.where(numbers["rank"].duplicated(), "", lines).tolist(),
            "_because": [plain(name) for name in numbers["because"]],
            "_colour": numbers["because"].map(colours).tolist(),
            "_sum": numbers.groupby("rank")["part"].transform("sum").to_numpy(),
        }

    def draw(self) -> UIElement:
        """Return the parts of each offer, side by side."""
        height = 150 + 50 * self._numbers["rank"].nunique()
        unit = " (stars)" * self._stars
        plot = new_plot(f"part of the score{unit}", "", height=height, y_range=self.lines)
        plot.yaxis.visible = plot.ygrid.visible = False
        look = self.filled("_colour", legend_field="_because")
        bars = plot.hbar("_bar", 0.44, left="left", right="right", **look)
        sums = plot.scatter("_sum", "_bar", source=self.source, size=7, line_color=None)
        sums.glyph.tags = [{"fill_color": "ink"}]
        # Beside the bars, titles would leave these no room on a phone.
        place: dict[str, Any] = {"x": 0, "x_units": "screen", "y": "_over", "text": "_offer"}
        font: dict[str, Any] = {
            "text_font": value(theme.FONT),
            "text_font_size": "12px",
            "text_baseline": "middle",
        }
        ink = [{"text_color": "ink"}]
        plot.add_layout(LabelSet(source=self.source, tags=ink, **place, **font))
        rule(plot, 0, upright=True, dash="solid")
        plot.legend[0].update(location="left", margin=0, padding=0)
        plot.add_layout(plot.legend[0], "below")
        offer, reason = ("offer", "@rank. @title"), ("because of", "@because")
        part, score = (
            ("part", f"@part{{+0.0000}}{' stars' * self._stars}"),
            ("score", "@score{0.000}"),
        )
        add_hover(plot, bars, [offer, reason, part, score])
        return plot


def _listed(names: list[str]) -> str:
    """Return names in a row, as a sentence has them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def examples(model: Model, min_ratings: int) -> list[Figure]:
    """Return a figure for each person, who is offered items with so many training ratings.

    Without people who love every such item already.
    """
    ranking = Ranking(top=_OFFERED, min_ratings=min_ratings)
    offers = [(person, example_table(model, person, ranking)) for person in people(model)]
    some = [(person, table) for person, table in offers if len(table)]
    stars = model.can(Ability.RATINGS)
    return [Example(table, person, number, stars) for number, (person, table) in enumerate(some, 1)]
