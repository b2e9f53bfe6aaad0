"""Figures of recommendations to made-up new users, with explanations."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from mfdask.figures.figure import Figure
from mfdask.models import Ability, Model
from mfdask.recommendation import History, Ranking, recommend_new
from mfdask.recommendation.reasons import explain_new
from mfdask.report.model.stacked import StackedParts, stacked
from mfdask.report.parts import named

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
    return stacked(table)[["rank", "item_id", "title", "score", "because", "part", "left", "right"]]


class Example(StackedParts):
    """What one person is offered: the table of `example_table`."""

    def __init__(
        self, numbers: pd.DataFrame, person: Person, number: int, stars: bool = True
    ) -> None:
        self.x_label = f"part of the score{' (stars)' * stars}"
        self.tooltips = (
            ("offer", "@rank. @title"),
            ("because of", "@because"),
            ("part", f"@part{{+0.0000}}{' stars' * stars}"),
            ("score", "@score{0.000}"),
        )
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
