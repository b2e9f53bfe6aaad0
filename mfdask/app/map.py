"""The page *The map*: items in a plane by their factors, their neighbours, and a user's path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from bokeh.events import RangesUpdate
from bokeh.layouts import column
from bokeh.models.widgets import Select, TextInput

from mfdask.app.address import unless
from mfdask.app.lists import about, button, element, line_button, mappings_of, records_of, title_of
from mfdask.app.map_figure import Plane
from mfdask.app.page import AppPage, Card
from mfdask.app.places import Places, View, path_of_user, titles_of_items
from mfdask.errors import InputError
from mfdask.models import Ability, FactorModel
from mfdask.recommendation import similar
from mfdask.recommendation.candidates import parse_id
from mfdask.report.model.axes import AxesMeaning, meaning_of_axes

_METHODS = {"pca": "all items: the plane of most variance", "tsne": "the most rated: t-SNE"}
_FEATURES = 14
_NEAR = 10
_HITS = 6
_CLOSER = 0.5


class Map(AppPage):
    """Zoom from genres to titles; a click shows neighbours."""

    path = "map"
    title = "The map"
    intro = "Items that are liked by the same people lie together."

    def build(self) -> None:
        """See `AppPage.build`."""
        self.shown = self.site.now()
        self.models = {
            name: model
            for name, model in self.shown.able(Ability.FACTORS).items()
            if model.n_factors >= 2
        }
        if not self.models:
            raise InputError("a map needs a model with two factors or more; show one")
        self.choice = self.model_choice(list(self.models), self._place_anew)
        self.method = self._method_choice()
        self.search = self.watch(
            TextInput(
                title="Find a title", value=self.address.text("q"), sizing_mode="stretch_width"
            ),
            self._show_hits,
            "value_input",
        )
        self.user = self.watch(
            TextInput(title="Path of a user, by id", value=self.address.text("user"),
                      sizing_mode="stretch_width"),
            self._show_path,
        )  # fmt: skip
        self.item = self.address.text("item")
        self.hits, self.near, self.above = self.html("hits"), self.html("near"), self.html("above")
        self.titles = self.shown.remember("titles", lambda: titles_of_items(self.shown.items))
        self._take_places(self._places())
        self._look_where_the_address_says()
        parts = [self.choice, self.method, self.search, self.hits, self.user]
        if self.shown.lacking:
            said = f"{'; '.join(self.shown.lacking)}."
            parts.append(self.html("lacking", element("p", said, "soft")))
        controls = column(*parts, sizing_mode="stretch_width")
        plane = column(self.above, self.plane.plot, sizing_mode="stretch_width")
        self.cards = [
            Card("plane", "", plane, Plane.caption, "wide"),
            Card("find", "Find", controls, width="narrow"),
            Card("near", "Most like it", self.near, width="narrow"),
            Card("axes", AxesMeaning.title, self.axes.root, AxesMeaning.caption, "narrow"),
        ]
        self._show_hits()
        self._show_item()
        self._show_path()
        self._redraw()

    @property
    def model(self) -> FactorModel:
        """The model whose items are shown."""
        return self.models[self.choice.value]

    def state(self) -> Mapping[str, Any]:
        """See `AppPage.state`."""
        view = self.plane.view
        moved = not np.allclose(view, self.places.whole())
        return {
            "model": unless(self.choice.value, next(iter(self.models))),
            "method": unless(self.method.value, "pca"),
            "q": self.search.value_input,
            "item": self.item,
            "user": self.user.value,
            "view": ",".join(f"{end:.4g}" for end in view) if moved else "",
        }

    def actions(self) -> Mapping[str, Callable[[dict[str, str]], None]]:
        """See `AppPage.actions`."""
        return {"item": self._choose, "zoom": self._zoom}

    # ---- what a reader says

    def _choose(self, said: dict[str, str]) -> None:
        self.item = said["item"]
        self._show_item()
        self._centre()
        self._redraw()

    def _tapped(self, name: str, old: list[int], new: list[int]) -> None:
        rows = self.plane.source.data["row"]
        if new and rows[new[0]] >= 0:
            self.item = str(self.shown.items["item_id"].iloc[int(rows[new[0]])])
            self.do(self._show_item)
        elif new:
            self.do(lambda: self._closer_at(new[0]))

    def _closer_at(self, circle: int) -> None:
        data = self.plane.source.data
        self._look_around(float(data["x"][circle]), float(data["y"][circle]), _CLOSER)

    def _zoom(self, said: dict[str, str]) -> None:
        view = self.plane.view
        centre = (view.left + view.right) / 2, (view.bottom + view.top) / 2
        if said["by"] == "all":
            self.plane.look_at(self.places.whole())
            self._redraw()
        else:
            self._look_around(*centre, float(said["by"]))

    def _look_around(self, x: float, y: float, share: float) -> None:
        view = self.plane.view
        half, tall = (view.right - view.left) / 2 * share, (view.top - view.bottom) / 2 * share
        self.plane.look_at(View(x - half, x + half, y - tall, y + tall))
        self._redraw()

    def _place_anew(self) -> None:
        self.later(self._places, self._replace_places)

    # ---- parts

    def _method_choice(self) -> Select:
        options: list[str | tuple[Any, str]] = [*_METHODS.items()]
        value = self.address.choice("method", list(_METHODS), "pca")
        select: Select = self.watch(
            Select(title="Placed by", value=value, options=options), self._place_anew
        )
        return select

    def _places(self) -> Places:
        model, method = self.model, self.method.value
        key = ("places", self.choice.value, method)
        return self.shown.remember(key, lambda: Places.of(model, method))

    def _take_places(self, places: Places) -> None:
        self.places = places
        self.plane = Plane(places, self.titles)
        self.axes = AxesMeaning(self._meaning())
        self.plane.source.selected.on_change("indices", self._tapped)
        self.plane.plot.on_event(RangesUpdate, lambda event: self.soon(self._redraw))

    def _replace_places(self, places: Places) -> None:
        """Show other places in place of those that are shown."""
        self.places = places
        self.plane.take(places)
        self.axes.update(self._meaning())
        self._show_item()
        self._show_path()
        self._redraw()

    def _meaning(self) -> Any:
        key = ("axes", self.choice.value, self.method.value)
        items, places = self.model.items.iloc[self.places.rows], self.places
        found = self.shown.remember(key, lambda: meaning_of_axes(places.x, places.y, items))
        return found.head(_FEATURES)

    def _look_where_the_address_says(self) -> None:
        text = self.address.text("view")
        try:
            ends = [float(part) for part in text.split(",")] if text else []
            good = not ends or (len(ends) == 4 and ends[0] < ends[1] and ends[2] < ends[3])
        except ValueError:
            good, ends = False, []
        if not good:
            self.address.troubles.append(f"view={text} in the address is no window.")
        elif ends:
            self.plane.look_at(View(*ends))

    # ---- what is shown

    def _redraw(self) -> None:
        self.plane.redraw()
        self.above.text = f"<p>{_ZOOM}{self.plane.legend()}</p>"

    def _show_hits(self) -> None:
        text = (self.search.value_input or self.search.value).strip()
        rows = self.shown.titles.search(text, _HITS) if text else []
        lines = [_item_button(item) for item in records_of(self.shown, rows)]
        empty = element("p", "No title has that.", "soft") if text else ""
        self.hits.text = "".join(lines) or empty

    def _show_item(self) -> None:
        if not self.item:
            self.near.text = element("p", "Click an item on the map, or find one.", "soft")
            return
        if self.item not in self.shown.by_id:
            raise InputError(f"item {self.item}: not among the items of the models")
        row = self.shown.by_id[self.item]
        self.plane.mark(np.array([row]), self.plane.chosen)
        (item,) = records_of(self.shown, [row])
        head = element("p", title_of(item)) + element("p", about(item), "soft")
        most = int(self.shown.items["n_train"].max())
        found = similar(self.model, item["item_id"], top=_NEAR, min_ratings=min(20, most))
        self.plane.mark(found.index.to_numpy(), self.plane.near)
        lines = [_item_button(near, f"{near['cosine']:.2f}") for near in mappings_of(found)]
        self.near.text = f"{head}{''.join(lines)}"

    def _centre(self) -> None:
        at = np.flatnonzero(self.places.rows == self.shown.by_id[self.item])
        if len(at):
            x, y, view = self.places.x[at[0]], self.places.y[at[0]], self.plane.view
            half, tall = (view.right - view.left) / 2, (view.top - view.bottom) / 2
            self.plane.look_at(View(x - half, x + half, y - tall, y + tall))

    def _show_path(self) -> None:
        self.plane.go(_NO_PATH)
        text = self.user.value.strip()
        if not text:
            return
        if self.shown.data is None:
            raise InputError("a user's path needs the models' data set, which is not here")
        ids = self.model.users["user_id"]
        (row,) = self.model.rows_of("users", [parse_id(text, ids, "user")]).tolist()
        if row < 0:
            raise InputError(f"user {text}: not among the {len(ids):,} users of the model")
        self.plane.go(path_of_user(self.places, self.shown.data, row))


def _item_button(item: Mapping[str, Any], after: str = "") -> str:
    return line_button(title_of(item), after, "item", data_item=item["item_id"])


_NO_PATH = pd.DataFrame({"x": [], "y": [], "when": []})
_ZOOM = "".join(
    button(text, "zoom", data_by=by)
    for text, by in (("Closer", "0.6"), ("Further away", "1.6667"), ("All", "all"))
)
