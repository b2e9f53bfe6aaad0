"""The page *For you*: lists for whoever rates a few items, or for a user of the data set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from bokeh.layouts import column
from bokeh.models.widgets import Div, RangeSlider, Slider, TextInput

from mfdask.app.address import unless
from mfdask.app.lists import (
    button,
    element,
    item_line,
    levels_of,
    ranked_list,
    reasons_in_words,
    records_of,
    stars,
    title_of,
    toggles,
)
from mfdask.app.page import AppPage, Card
from mfdask.app.site import Shown
from mfdask.errors import InputError
from mfdask.figures.theme import MAIN
from mfdask.models import Ability, Model
from mfdask.recommendation import (
    History,
    Ranking,
    explain_new,
    explain_user,
    predict_new,
    recommend,
    recommend_new,
)
from mfdask.recommendation.candidates import parse_id

_TOP = 10
#: Titles that are offered at a time, and those of a known user that are shown.
_TO_BEGIN, _OF_USER = 6, 6
_MOST_WANTED = 1000


class ForYou(AppPage):
    """Search, rate, and see the lists follow."""

    path = "for-you"
    title = "For you"
    intro = (
        "Rate a few titles, and each model's list follows at once. Or take a user of the data set."
    )

    def build(self) -> None:
        """See `AppPage.build`."""
        self.shown = self.site.now()
        self.rated = self._rated_in_address()
        self.user = self.address.text("user")
        self._allowed = lru_cache(maxsize=32)(self._allowed_rows)
        self.hits, self.own = self.html("hits"), self.html("own")
        self.lists = {name: self.html(f"list-{k}") for k, name in enumerate(self.shown.models)}
        width: Any = "narrow" if len(self.lists) > 2 else "half"
        lists = [
            Card(f"list-{k}", self._heading(name), place, width=width)
            for k, (name, place) in enumerate(self.lists.items())
        ]
        self.cards = [self._search_card(), self._own_card(), self._choice_card(), *lists]
        self._show_hits()
        self._show_lists()

    def state(self) -> Mapping[str, Any]:
        """See `AppPage.state`."""
        low, high = self.shown.years or (0, 0)
        first, last = self.years.value if self.years else (low, high)
        return {
            "q": self.search.value_input,
            "user": self.user,
            "rated": [f"{item}:{rating:g}" for item, rating in self.rated.items()],
            "least": unless(self.least.value, self._least_by_default()),
            "variety": unless(self.variety.value, 0),
            "weight": unless(self.weight.value, Ranking.bias_weight),
            "genre": self.chosen,
            "from": unless(int(first), low),
            "to": unless(int(last), high),
        }

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """See `AppPage.actions`."""
        return {
            "rate": self._rate,
            "drop": self._drop,
            "clear": self._clear,
            "genre": self._turn_genre,
        }

    # ---- what a reader says

    def _rate(self, said: dict[str, str]) -> None:
        item, rating = said["item"], float(said["rating"])
        if item not in self.shown.by_id:
            raise InputError(f"item {item}: the model does not know it")
        self.user = self.known.value = ""
        self.rated[item] = rating
        self._show_hits()
        self._show_lists()

    def _drop(self, said: dict[str, str]) -> None:
        self.rated.pop(said["item"], None)
        self._show_hits()
        self._show_lists()

    def _clear(self, said: dict[str, str]) -> None:
        self.rated, self.user = {}, ""
        self.known.value = ""
        self._show_hits()
        self._show_lists()

    def _turn_genre(self, said: dict[str, str]) -> None:
        name = said["name"]
        if name in self.chosen:
            self.chosen.remove(name)
        elif name in self.shown.genres:
            self.chosen.append(name)
        self._show_genres()
        self._show_lists()

    def _take_user(self) -> None:
        self.user = self.known.value.strip()
        self._show_lists()

    # ---- parts

    def _search_card(self) -> Card:
        self.search = self.watch(
            TextInput(
                title="Search titles",
                value=self.address.text("q"),
                placeholder="such as Toy Story",
                sizing_mode="stretch_width",
            ),
            self._show_hits,
            "value_input",
        )
        root = column(self.search, self.hits, sizing_mode="stretch_width")
        return Card("search", "Rate what you know", root, width="narrow")

    def _own_card(self) -> Card:
        self.known = self.watch(
            TextInput(
                title="Or take a known user, by id", value=self.user, sizing_mode="stretch_width"
            ),
            self._take_user,
        )
        root = column(self.own, self.known, sizing_mode="stretch_width")
        return Card("own", "Whom the lists are for", root, width="narrow")

    def _choice_card(self) -> Card:
        least = self._least_by_default()
        number = self.address.number
        most = int(min(_MOST_WANTED, max(self.shown.items["n_train"].max(), 10)))
        self.least = self._slider("Ratings an item has at least", "least", least, most, 5)
        self.variety = self._slider("Variety", "variety", 0, 1, 0.05)
        self.weight = self._slider(
            "Weight of an item's general esteem", "weight", Ranking.bias_weight, 1, 0.05
        )
        self.weight.visible = any(
            {Ability.RATINGS, Ability.BIASES} <= model.estimator.abilities
            for model in self.shown.models.values()
        )
        self.chosen = self.address.choices("genre", self.shown.genres)
        self.genres, self.years = self.html("genres"), None
        self._show_genres()
        if self.shown.years and self.shown.years[0] < self.shown.years[1]:
            low, high = self.shown.years
            ends = (int(number("from", low, low, high)), int(number("to", high, low, high)))
            slider = RangeSlider(
                title="Years", start=low, end=high, value=ends, step=1, sizing_mode="stretch_width",
                format="0", bar_color=MAIN,
            )  # fmt: skip
            self.years = self.watch(slider, self._show_lists, "value_throttled")
        parts = [self.least, self.variety, self.weight, self.genres, self.years]
        lacking = self._lacking()
        root = column(*filter(None, [*parts, lacking]), sizing_mode="stretch_width")
        return Card("choice", "What may be on them", root, width="narrow")

    def _show_genres(self) -> None:
        label = "Only these genres" if self.chosen else "All genres, or only"
        names = self.shown.genres
        self.genres.text = toggles(label, names, self.chosen, "genre") if names else ""

    def _slider(self, title: str, name: str, default: float, most: float, step: float) -> Slider:
        value = self.address.number(name, min(default, most), 0, most)
        slider = Slider(
            title=title, start=0, end=most, value=value, step=step, bar_color=MAIN,
            sizing_mode="stretch_width",
        )  # fmt: skip
        watched: Slider = self.watch(slider, self._show_lists, "value_throttled")
        return watched

    def _lacking(self) -> Div | None:
        lines = [*self.shown.lacking]
        if self.shown.data is None:
            lines.append(
                "The models' data set is not here: what a known user has rated is not left out"
            )
        if not lines:
            return None
        return self.html("lacking", element("p", f"{'; '.join(lines)}.", "soft"))

    def _heading(self, name: str) -> str:
        model = self.shown.models[name]
        return name if name == model.kind else f"{name} ({model.kind})"

    # ---- what is shown

    def _show_hits(self) -> None:
        text = self.search.value_input or self.search.value
        if text.strip():
            rows = self.shown.titles.search(text, _TO_BEGIN)
            empty = "No title has that; try a part of one word."
        else:
            rows = [
                row
                for row in range(min(len(self.shown.items), _TO_BEGIN + len(self.rated)))
                if str(self.shown.items["item_id"].iloc[row]) not in self.rated
            ][:_TO_BEGIN]
            empty = ""
        levels = levels_of(self._first())
        lines = [
            item_line(item, stars(item, self.rated.get(str(item["item_id"])), levels))
            for item in records_of(self.shown, rows)
        ]
        head = "" if text.strip() else element("p", "Rated most, to begin with:", "soft")
        self.hits.text = f"{head}<ul>{''.join(lines)}</ul>" if lines else element("p", empty)

    def _show_lists(self) -> None:
        self.own.text = self._own_ratings()
        for name, place in self.lists.items():
            try:
                place.text = self._list(name)
            except InputError as error:
                place.text = element("p", error, "soft")

    def _own_ratings(self) -> str:
        levels = levels_of(self._first())
        if self.user:
            return self._ratings_of_user()
        rows = [self.shown.by_id[item] for item in self.rated]
        lines = []
        for item in records_of(self.shown, rows):
            key = str(item["item_id"])
            label = f"take back {title_of(item)}"
            drop = button("✕", "drop", "plain", data_item=key, aria_label=label)
            lines.append(
                item_line(item, f"<span>{stars(item, self.rated[key], levels)}{drop}</span>")
            )
        if not lines:
            return element("p", "Nothing is rated yet.", "soft")
        return (
            f"{element('p', 'You have rated:', 'soft')}<ul>{''.join(lines)}</ul>"
            f"<p>{button('Begin anew', 'clear')}</p>"
        )

    def _ratings_of_user(self) -> str:
        clear = f"<p>{button('Back to ratings of your own', 'clear')}</p>"
        if self.shown.data is None:
            return clear
        row = self._user_row()
        history = History.of_user(self.shown.data, row)
        order = np.argsort(-history.ratings, kind="stable")[:_OF_USER]
        lines = [
            item_line(item, element("span", f"{rating:g}", "score"))
            for item, rating in zip(
                records_of(self.shown, history.items[order]), history.ratings[order], strict=True
            )
        ]
        head = f"{len(history.items):,} training ratings, the best liked first:"
        return f"{clear}{element('p', head, 'soft')}<ul>{''.join(lines)}</ul>"

    def _list(self, name: str) -> str:
        model = self.shown.models[name]
        began = time.perf_counter()
        ranking = self._ranking(model)
        if self.user:
            found, scores, reasons = self._for_user(model, ranking)
        elif self.rated:
            found, scores, reasons = self._for_ratings(model, ranking)
        else:
            return element("p", "The list begins with the first rating.", "soft")
        if found.empty:
            return element("p", "Everything that may be on the list is rated already.", "soft")
        took = f"{ranking.unit(model)}; made in {(time.perf_counter() - began) * 1e3:,.0f} ms"
        return ranked_list(found, scores, reasons) + element("p", took, "soft")

    def _for_ratings(
        self, model: Model, ranking: Ranking
    ) -> tuple[pd.DataFrame, list[str], dict[Any, str]]:
        ids = self.shown.items["item_id"].tolist()
        rated = {ids[self.shown.by_id[item]]: rating for item, rating in self.rated.items()}
        history = History.of(model, rated)
        found = recommend_new(model, history, ranking)
        if model.can(Ability.RATINGS) and len(found):
            scores = [f"{stars:.1f} ★" for stars in predict_new(model, history, found["item_id"])]
        else:
            scores = [f"{score:.3g}" for score in found["score"]]
        reasons = explain_new(model, history, found["item_id"], ranking) if len(found) else None
        return found, scores, reasons_in_words(reasons, self._titles()) if reasons else {}

    def _for_user(
        self, model: Model, ranking: Ranking
    ) -> tuple[pd.DataFrame, list[str], dict[Any, str]]:
        user = parse_id(self.user, model.users["user_id"], "user")
        found = recommend(model, [user], self.shown.data, ranking)
        rows = model.rows_of("items", found["item_id"])
        found = found.assign(n_train=model.items["n_train"].to_numpy()[rows])
        if model.can(Ability.RATINGS) and len(found):
            predicted = model.predict(user, found["item_id"])
            scores = [f"{stars:.1f} ★" for stars in predicted]
        else:
            scores = [f"{score:.3g}" for score in found["score"]]
        if self.shown.data is None or found.empty:
            return found, scores, {}
        try:
            reasons = explain_user(model, user, self.shown.data, found["item_id"], ranking)
        except InputError:  # a kind that tells no reasons
            return found, scores, {}
        return found, scores, reasons_in_words(reasons, self._titles())

    # ---- what it is made from

    def _first(self) -> Model:
        return next(iter(self.shown.models.values()))

    def _titles(self) -> Mapping[Any, str]:
        return _Titles(self.shown)

    def _user_row(self) -> int:
        users = self._first().users["user_id"]
        user = parse_id(self.user, users, "user")
        (row,) = self._first().rows_of("users", [user]).tolist()
        if row < 0:
            raise InputError(f"user {self.user}: not among the {len(users):,} users of the models")
        return int(row)

    def _ranking(self, model: Model) -> Ranking:
        genres = tuple(self.chosen)
        years = tuple(map(int, self.years.value)) if self.years else None
        whole = not genres and years in (None, self.shown.years)
        return Ranking(
            top=_TOP,
            bias_weight=float(self.weight.value),
            min_ratings=int(self.least.value),
            variety=float(self.variety.value),
            allow=None if whole else self._allowed(genres, years),
        )

    def _allowed_rows(self, genres: tuple[str, ...], years: tuple[int, int] | None) -> Any:
        items = self.shown.items
        good = np.ones(len(items), np.bool_)
        if genres:
            text, kinds = pd.factorize(items["genres"].fillna(""))
            wanted = set(genres)
            good &= np.array([not wanted.isdisjoint(own.split("|")) for own in kinds])[text]
        if years is not None and years != self.shown.years:
            year = items["year"].to_numpy(np.float64, na_value=np.nan)
            good &= (year >= years[0]) & (year <= years[1])
        return tuple(items["item_id"][good].tolist())

    def _least_by_default(self) -> int:
        least = max(Ranking().least_for(model) for model in self.shown.models.values())
        many = float(np.quantile(self.shown.items["n_train"], 0.9))
        return int(min(least, many // 5 * 5))

    def _rated_in_address(self) -> dict[str, float]:
        rated: dict[str, float] = {}
        low, high = self._first().data.scale
        for text in self.address.every("rated"):
            item, _, rating = text.rpartition(":")
            try:
                value = float(rating)
            except ValueError:
                value = np.nan
            if item in self.shown.by_id and low <= value <= high and math.isfinite(value):
                rated[item] = value
            else:
                self.address.troubles.append(f"rated={text} in the address is no rating here.")
        return rated


class _Titles(Mapping[Any, str]):
    """What to call an item, by its raw id."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def __getitem__(self, item_id: Any) -> str:
        (item,) = records_of(self._shown, [self._shown.by_id[str(item_id)]])
        return title_of(item)

    def __iter__(self) -> Any:
        return iter(self._shown.items["item_id"])

    def __len__(self) -> int:
        return len(self._shown.items)
