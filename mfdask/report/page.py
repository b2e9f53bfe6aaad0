"""The report page: one self-contained HTML file of figures and their numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from bokeh.embed import json_item
from bokeh.resources import Resources

from mfdask.figures import ground
from mfdask.figures.figure import Figure, Missing, Section
from mfdask.figures.ground import asset
from mfdask.files import atomic_file

#: What a browser may do for the page: run what is in it, and nothing else. Bokeh compiles the
#: callbacks of its widgets, which is what "eval" is for.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
#: In a script element these could end it, or begin a comment.
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_page(out: Path, title: str, notes: Sequence[str], sections: Sequence[Section]) -> int:
    """Write a report, whole or not at all; a file that is there is replaced.

    Parameters
    ----------
    out : Path
    title : str
    notes : sequence of str
        Lines below the title: what the report is of, and as of when.
    sections : sequence of Section

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    InputError
        If `out` is a folder.
    """
    with atomic_file(out) as fresh:
        return fresh.write_bytes(page(title, notes, sections).encode())


def page(title: str, notes: Sequence[str], sections: Sequence[Section]) -> str:
    """Return a report as HTML; see `write_page`."""
    resources = Resources(mode="inline", components=["bokeh", "bokeh-widgets"])
    shown = "".join(map(_section, sections))
    contents = "".join(map(_contents, sections))
    below = "".join(f"<p><bdi>{escape(note)}</bdi></p>" for note in notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{ground.style()}{asset("mfdask.report", "page.css")}</style>
{resources.render_js()}
</head>
<body>
<button id="ground" type="button" aria-label="light or dark"></button>
<div class="page">
<header><h1><bdi>{escape(title)}</bdi></h1>{below}
<p class="unfinished">Printed before all of its figures were drawn.</p>
</header>
<nav aria-label="Contents">{contents}</nav>
<main>{shown}</main>
</div>
<script>{ground.script()}{asset("mfdask.report", "page.js")}</script>
</body>
</html>
"""


def _contents(section: Section) -> str:
    lines = "".join(
        f'<li><a href="#{part.name}">{escape(part.title)}</a></li>' for part in section.parts
    )
    head = f'<li class="section"><a href="#{section.name}">{escape(section.title)}</a></li>'
    return f"<ol>{head}{lines}</ol>"


def _section(section: Section) -> str:
    parts = "".join(
        _missing(part) if isinstance(part, Missing) else _figure(part) for part in section.parts
    )
    return (
        f'<section id="{section.name}"><h2>{escape(section.title)}</h2>'
        f'<p class="intro">{escape(section.intro)}</p>'
        f'<div class="figures">{parts}</div></section>\n'
    )


def _missing(part: Missing) -> str:
    return (
        f'<div class="missing" id="{part.name}"><h3>{escape(part.title)}</h3>'
        f"<span>{escape(part.why)}</span></div>\n"
    )


def _figure(part: Figure) -> str:
    table = part.table()
    inside = {
        "item": json_item(part.root),
        "roles": ground.roles_by_id(part.root),
        "csv": to_csv(table),
    }
    width = "wide" if part.wide else "narrow"
    lines = f"{len(table):,} line{'' if len(table) == 1 else 's'}"
    picture = " data-picture='1'" if part.is_picture else ""
    return f"""<figure class="{width}" id="{part.name}"{picture}>
<h3>{escape(part.title)}</h3>
<div class="picture"></div>
<script type="application/json">{embedded(inside)}</script>
<figcaption>{escape(part.caption)}<br>
<a class="numbers" href="#" download="{part.name}.csv">Numbers (CSV, {lines})</a></figcaption>
</figure>
"""


def to_csv(table: pd.DataFrame) -> str:
    """Return the numbers behind a figure as CSV, to nine digits.

    Texts that a spreadsheet would take for formulas begin with an apostrophe.
    """
    safe = table.map(_no_formula).rename(columns=_no_formula)
    return safe.to_csv(index=False, float_format="%.9g")


def _no_formula(cell: Any) -> Any:
    begins = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if begins else cell


def embedded(value: Any) -> str:
    """Return JSON that can stand in a script element, whatever texts are in it."""
    return json.dumps(value).translate(_UNSAFE)
