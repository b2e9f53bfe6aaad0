"""The pages of the app, in the order in which they are listed."""

from __future__ import annotations

from mfdask.app.ab import AB
from mfdask.app.address import Address
from mfdask.app.for_you import ForYou
from mfdask.app.map import Map
from mfdask.app.new_item import NewItem
from mfdask.app.nights import Nights
from mfdask.app.page import AppPage
from mfdask.app.site import Site
from mfdask.app.tables import Customers, Suspects

_OF_MODELS: tuple[type[AppPage], ...] = (ForYou, NewItem, Map, AB)


def pages_of(site: Site) -> list[type[AppPage]]:
    """Return the pages that there may be something for; each says what it lacks."""
    pages = [*_OF_MODELS] if site.fixed or site.home else []
    if site.home is not None:
        pages.append(Nights)
    if site.home is not None or site.anomalies is not None:
        pages.append(Suspects)
    if site.home is not None or site.customers:
        pages.append(Customers)
    return pages


def warm_up(site: Site) -> None:
    """Make ready what the first readers would wait for: compiled code, and places on the map.

    Raises
    ------
    InputError
        If there are no models to show.
    """
    site.now().warm_up()
    Map(site, Address({}))
