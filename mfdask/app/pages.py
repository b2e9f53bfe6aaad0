"""The pages of the app, in the order in which they are listed."""

from __future__ import annotations

from mfdask.app.ab import AB
from mfdask.app.for_you import ForYou
from mfdask.app.map import Map
from mfdask.app.new_item import NewItem
from mfdask.app.page import AppPage
from mfdask.app.site import Site

_OF_MODELS: tuple[type[AppPage], ...] = (ForYou, NewItem, Map, AB)


def pages_of(site: Site) -> list[type[AppPage]]:
    """Return the pages that there is something for."""
    return [*_OF_MODELS]
