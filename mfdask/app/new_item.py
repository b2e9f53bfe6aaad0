"""The page *A new item*: what a model foretells of an item that nobody has rated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from bokeh.layouts import column
from bokeh.models import NumeralTickFormatter, Range1d
from bokeh.models.ui import UIElement
from bokeh.models.widgets import Slider, TextInput
from bokeh.transform import dodge

from mfdask.app.address import unless
from mfdask.app.lists import element, toggles
from mfdask.app.page import AppPage, Card
from mfdask.errors import InputError
from mfdask.features.encoder import Number, Shares
from mfdask.figures.figure import (
    Figure,
    ListFigure,
    add_hover,
    html_table,
    lift_legend,
    new_plot,
    plain,
)
from mfdask.figures.theme import MAIN, OTHER
from mfdask.kernels.types import Float32s
from mfdask.models import Ability, FactorModel
from mfdask.models.design import swap_bias_columns
from mfdask.recommendation.candidates import parse_id

_TOP = 12
#: Values of a feature that can be turned on by a button, the first ones.
_MOST_VALUES = 60
_BINS = 40
#: What the scale of the bars goes to at least.
_LEAST_STARS = 0.05


class NewItem(AppPage):
    """Genres or other features in; who would like it, and predicted stars, out."""

    path = "new-item"
    title = "A new item"
    intro = "Say what an item is that nobody has rated yet; the model says who would like it."

    def build(self) -> None:
        """See `AppPage.build`."""
        shown = self.site.now()
        self.models = {
            name: model
            for name, model in shown.able(Ability.NEW_ITEMS).items()
            if model.encoder is not None
        }
        if not self.models:
            raise InputError(
                "none of the models places items that nobody has rated: show one of kind genre or "
                "features, or one with an item prior"
            )
        self.choice = self.model_choice(list(self.models), self._take_model)
        self.features = self.html("features")
        self.who, self.sums = self.html("who"), self.html("sums")
        self.numbers: dict[str, Slider] = {}
        self.chosen = self._chosen_in_address()
        self.user = self.watch(
            TextInput(
                title="For user, by id",
                value=self.address.text("user") or self._most_active(),
                sizing_mode="stretch_width",
            ),
            self._show,
        )
        self.parts = Parts(_NOTHING)
        self.stars = Stars(self._histogram(predictions_of_new(self.model, self._item())))
        sliders = self._sliders()
        root = column(self.choice, self.features, *sliders, self.user, sizing_mode="stretch_width")
        self.cards = [
            Card("item", "What it is", root),
            Card("parts", self.parts.title, column(self.sums, self.parts.root,
                 sizing_mode="stretch_width"), self.parts.caption),
            Card.of_figure(self.stars),
            Card("who", "Who would like it most", self.who, "Users by predicted stars, which may "
                 "go beyond the scale."),
        ]  # fmt: skip
        self._show()

    @property
    def model(self) -> FactorModel:
        """The model that is asked."""
        return self.models[self.choice.value]

    def state(self) -> Mapping[str, Any]:
        """See `AppPage.state`."""
        return {
            "model": unless(self.choice.value, next(iter(self.models))),
            "has": [f"{name}={value}" for name, own in self.chosen.items() for value in own],
            "user": unless(self.user.value, self._most_active()),
            **{f"number-{name}": slider.value for name, slider in self.numbers.items()},
        }

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """See `AppPage.actions`."""
        return {column: self._turning(column) for column in self._shares()}

    # ---- what a reader says

    def _turning(self, name: str) -> Callable[[dict[str, str]], None]:
        def turn(said: dict[str, str]) -> None:
            value, own = said["name"], self.chosen.setdefault(name, [])
            if value in own:
                own.remove(value)
            elif value in self._shares()[name].values:
                own.append(value)
            self._show()

        return turn

    def _take_model(self) -> None:
        self.chosen = {}
        self._show()

    def _chosen_in_address(self) -> dict[str, list[str]]:
        options = [
            f"{name}={value}" for name, own in self._shares().items() for value in own.values
        ]
        chosen: dict[str, list[str]] = {}
        for text in self.address.choices("has", options):
            name, _, value = text.partition("=")
            chosen.setdefault(name, []).append(value)
        return chosen

    def _sliders(self) -> list[Slider]:
        assert self.model.encoder is not None
        for own in self.model.encoder.columns:
            if isinstance(own, Number):
                low, high = own.mean - 3 * own.deviation, own.mean + 3 * own.deviation
                value = self.address.number(f"number-{own.column}", own.mean, low, high)
                slider = Slider(
                    title=plain(own.column), start=low, end=high, value=value, bar_color=MAIN,
                    step=own.deviation / 10, sizing_mode="stretch_width",
                )  # fmt: skip
                self.numbers[own.column] = self.watch(slider, self._show, "value_throttled")
        return list(self.numbers.values())

    def _shares(self) -> dict[str, Shares]:
        assert self.model.encoder is not None
        columns = self.model.encoder.columns
        return {own.column: own for own in columns if isinstance(own, Shares)}

    def _most_active(self) -> str:
        users = self.model.users
        return str(users["user_id"].iloc[int(users["n_train"].to_numpy().argmax())])

    # ---- what is shown

    def _item(self) -> pd.DataFrame:
        texts = {name: "|".join(self.chosen.get(name, [])) for name in self._shares()}
        numbers = {name: float(slider.value) for name, slider in self.numbers.items()}
        return pd.DataFrame([texts | numbers])

    def _show(self) -> None:
        self.features.text = "".join(
            toggles(name.capitalize(), own.values[:_MOST_VALUES], self.chosen.get(name, []), name)
            for name, own in self._shares().items()
        )
        predicted = predictions_of_new(self.model, self._item())
        self.stars.update(self._histogram(predicted))
        self.who.text = self._likers(predicted)
        self._show_parts(predicted)

    def _histogram(self, predicted: Float32s) -> pd.DataFrame:
        low, high = self.model.data.rating_min, self.model.data.rating_max
        n, edges = np.histogram(predicted.clip(low, high), _BINS, (low, high))
        return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "users": n})

    def _likers(self, predicted: Float32s) -> str:
        order = np.argsort(-predicted, kind="stable")[:_TOP]
        users = self.model.users.iloc[order]
        bias = self.model.user_rows[order, 0]
        predicted_without = self.model.mean + bias + self._item_bias()
        table = pd.DataFrame(
            {
                "user": users["user_id"].astype(str).tolist(),
                "ratings": users["n_train"].to_numpy(),
                "predicted stars": predicted[order].round(2),
                "rates all higher by": bias.round(2),
                "by taste": (predicted[order] - predicted_without).round(2),
            }
        )
        mean = element("p", f"{predicted.mean():.2f} stars on average over {len(predicted):,} "
                       "users.", "soft")  # fmt: skip
        return mean + html_table(table)

    def _item_bias(self) -> float:
        return float(self.model.rows_of_new_items(self._item())[0, 0])

    def _show_parts(self, predicted: Float32s) -> None:
        ids = self.model.users["user_id"]
        (row,) = self.model.rows_of("users", [parse_id(self.user.value, ids, "user")]).tolist()
        if row < 0:
            raise InputError(f"user {self.user.value}: not among the {len(ids):,} users")
        parts = parts_of_new(self.model, self._item(), row)
        self.parts.update(_NOTHING if parts.empty else parts)
        bias = float(self.model.user_rows[row, 0])
        low, high = self.model.data.rating_min, self.model.data.rating_max
        said = (
            f"{predicted[row].clip(low, high):.2f} stars: the mean {self.model.mean:.2f}, "
            f"{bias:+.2f} as user {self.user.value} rates, and what stands below"
        )
        self.sums.text = element("p", said)


_NOTHING = pd.DataFrame({"feature": ["nothing chosen"], "everybody": [0.0], "taste": [0.0]})


def predictions_of_new(model: FactorModel, item: pd.DataFrame) -> Float32s:
    """Return every user's predicted stars, unclipped, of an item that nobody has rated.

    float32 (users,); `item` is a table of one line, see `FactorModel.rows_of_new_items`.
    """
    row = swap_bias_columns(model.rows_of_new_items(item))[0]
    found: Float32s = model.user_rows @ row + np.float32(model.mean)
    return found


def parts_of_new(model: FactorModel, item: pd.DataFrame, user: int) -> pd.DataFrame:
    """Take what is predicted of a new item for a user apart by its features.

    Returns
    -------
    DataFrame
        `feature`, `everybody` (stars, from its bias) and `taste` (stars, from the user's factors):
        ``prediction = mean + user bias + the sum of both``. The greatest come first.
    """
    assert model.encoder is not None
    assert model.feature_weights is not None
    shares = model.encoder.encode(item)[0]
    weights, own = model.feature_weights.astype(np.float64), model.user_factors[user]
    table = pd.DataFrame(
        {
            "feature": model.feature_names,
            "everybody": shares * weights[:, 0],
            "taste": shares * (weights[:, 1:] @ own.astype(np.float64)),
        }
    )[shares != 0]
    order = (-table["everybody"] - table["taste"]).argsort(kind="stable")
    return table.iloc[order].reset_index(drop=True)


class Parts(ListFigure):
    """The table of `parts_of_new`."""

    name = "parts"
    title = "What each part of it adds for one user"
    label = "_label"
    caption = (
        "Stars that a genre or another feature adds to the prediction: for everybody, and by what "
        "this user likes more or less than others do."
    )

    def columns(self, numbers: pd.DataFrame) -> dict[str, Any]:
        """Return the table, with labels as plain text."""
        return {**super().columns(numbers), "_label": [plain(name) for name in numbers["feature"]]}

    def draw(self) -> UIElement:
        """Return two bars for each feature."""
        ranges: dict[str, Any] = {"x_range": Range1d(), "y_range": self.lines}
        self._plot = new_plot("stars", "", **ranges)
        self._plot.toolbar_location = None
        for name, shift, colour, label in (
            ("everybody", 0.19, MAIN, "for everybody"),
            ("taste", -0.19, OTHER, "this user's taste"),
        ):
            place = dodge("_label", shift, self.lines)
            look = self.filled(colour, legend_label=label)
            bars = self._plot.hbar(place, right=name, height=0.34, **look)
            add_hover(self._plot, bars, [("", "@feature"), (label, f"@{name}{{+0.000}} stars")])
        self._plot.ygrid.visible = False
        lift_legend(self._plot)
        return self._plot

    def follow(self) -> None:
        """Make room for the features there are."""
        super().follow()
        self._plot.height = 110 + 40 * max(1, len(self.lines.factors))
        numbers = self._numbers[["everybody", "taste"]].to_numpy()
        most = 1.1 * max(float(np.abs(numbers).max(initial=0)), _LEAST_STARS)
        self._plot.x_range.update(start=-most, end=most)


class Stars(Figure):
    """Predicted stars of all users: `low`, `high`, `users`."""

    name = "stars"
    title = "Predicted stars of all users"
    caption = "How many users are predicted to give it so many stars, within the scale."

    def draw(self) -> UIElement:
        """Return a histogram."""
        plot = new_plot("predicted stars", "users", height=400)
        plot.toolbar_location = None
        plot.y_range.update(start=0)
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
        bars = plot.quad("low", "high", "users", 0, **self.filled(MAIN))
        bars.glyph.update(left="low", right="high", top="users", bottom=0)
        add_hover(plot, bars, [("stars", "@low{0.00} to @high{0.00}"), ("users", "@users{0,0}")])
        return plot
