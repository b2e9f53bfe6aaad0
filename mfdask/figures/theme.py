"""Colours and style of all figures."""

from __future__ import annotations

from typing import Any

from bokeh.model import Model
from bokeh.models import Axis, Grid, Plot
from bokeh.models.annotations import ColorBar, Legend, Title

#: Okabe & Ito (2008), "Color Universal Design", without black and yellow, each of which is lost on
#: one of the two grounds.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
#: The first of them marks the main thing of a figure, the second what it is held against.
MAIN, OTHER, THIRD, *_ = COLOURS
#: What is none of them, together.
REST = "#8c959f"
#: Perceptually even and readable without colour; low to high.
SCALE = "Viridis256"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

#: What a part is coloured by: text, lesser text, links, fine lines, what lies behind a figure, and
#: behind the page.
LIGHT = {
    "ink": "#1c2128",
    "soft": "#57606a",
    "link": "#0b63ae",
    "line": "#d8dee4",
    "ground": "#ffffff",
    "page": "#f6f7f9",
}
DARK = {
    "ink": "#e6edf3",
    "soft": "#9da7b3",
    "link": "#6cb2f5",
    "line": "#343b44",
    "ground": "#161b22",
    "page": "#0d1117",
}

_ROLES: dict[type[Model], dict[str, str]] = {
    Axis: {
        "axis_label_text_color": "soft",
        "major_label_text_color": "soft",
        "axis_line_color": "line",
        "major_tick_line_color": "line",
        "minor_tick_line_color": "line",
    },
    Grid: {"grid_line_color": "line"},
    Title: {"text_color": "soft"},
    Legend: {
        "background_fill_color": "ground",
        "label_text_color": "ink",
        "title_text_color": "soft",
    },
    ColorBar: {"major_label_text_color": "soft"},
}
#: What does not change with the ground.
_STYLE: dict[type[Model], dict[str, Any]] = {
    Plot: {
        "background_fill_color": None,
        "border_fill_color": None,
        "outline_line_color": None,
        "min_border_right": 16,
        "min_border_top": 12,
    },
    Axis: {
        "axis_label_text_font": FONT,
        "axis_label_text_font_size": "13px",
        "axis_label_text_font_style": "normal",
        "major_label_text_font": FONT,
        "major_label_text_font_size": "12px",
        "minor_tick_out": 0,
    },
    Grid: {"grid_line_alpha": 0.6},
    Title: {"text_font": FONT, "text_font_size": "12px", "text_font_style": "normal"},
    Legend: {
        "background_fill_alpha": 0.8,
        "border_line_color": None,
        "label_text_font": FONT,
        "label_text_font_size": "12px",
        "title_text_font": FONT,
        "title_text_font_size": "12px",
        "title_text_font_style": "normal",
    },
    ColorBar: {
        "background_fill_color": None,
        "bar_line_color": None,
        "major_label_text_font": FONT,
        "major_label_text_font_size": "12px",
        "major_tick_line_color": None,
        "padding": 4,
        "width": 12,
    },
}


def dress(root: Model) -> None:
    """Give every part of a figure its style, with the colours for a light ground."""
    for model in root.references():
        for kind, style in _STYLE.items():
            if isinstance(model, kind):
                model.update(**style)
        model.update(**{name: LIGHT[role] for name, role in roles_of(model).items()})


def roles_of(model: Model) -> dict[str, str]:
    """Return which properties of a model follow the ground, and as what: ``{"text_color": "ink"}``.

    A glyph or label that is no axis, grid, title, legend or colour bar says so in its tags:
    ``tags=[{"text_color": "ink"}]``.
    """
    roles: dict[str, str] = {}
    for kind, found in _ROLES.items():
        if isinstance(model, kind):
            roles |= found
    for tag in model.tags:
        if isinstance(tag, dict):
            roles |= tag
    return roles
