"""CSS and JavaScript of pages with figures: cards, and the change between light and dark."""

from __future__ import annotations

from importlib.resources import files

from bokeh.model import Model

from mfdask.figures import theme


def style() -> str:
    """Return CSS: the colours of `theme` as variables, for light and for dark, and cards."""
    light, dark = (
        "".join(f"--{role}: {colour};" for role, colour in colours.items())
        for colours in (theme.LIGHT, theme.DARK)
    )
    return (
        f":root{{--font: {theme.FONT}; {light} color-scheme: light}}"
        f"@media (prefers-color-scheme: dark){{:root{{{dark} color-scheme: dark}}}}"
        f":root[data-ground=light]{{{light} color-scheme: light}}"
        f":root[data-ground=dark]{{{dark} color-scheme: dark}}"
        f"{asset('mfdask.figures', 'cards.css')}"
    )


def script() -> str:
    """Return JavaScript for a page with a button ``#ground``.

    What is shown joins ``documents`` as ``{model, roles}``, `roles` as `roles_by_id` has them, and
    is coloured by ``paint``.
    """
    return asset("mfdask.figures", "ground.js")


def roles_by_id(root: Model) -> dict[str, dict[str, str]]:
    """Return which properties of which models of a figure follow the ground, see `roles_of`."""
    roles = {model.id: theme.roles_of(model) for model in root.references()}
    return {model: found for model, found in roles.items() if found}


def asset(package: str, name: str) -> str:
    """Return a text file of a package."""
    return (files(package) / name).read_text(encoding="utf-8")
