"""Figures as single files for papers, drawn by a headless browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from html import unescape
from pathlib import Path

from bokeh.embed import json_item
from bokeh.model import Model
from bokeh.models import Plot
from bokeh.resources import Resources

from mfdask.errors import InputError, RefusedError
from mfdask.figures.figure import Figure
from mfdask.files import atomic_file
from mfdask.report.page import embedded

FORMATS = ("pdf", "png", "svg")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: Pixels across: a figure of 13 cm in print at 96 pixels an inch, and the double for wide ones.
_WIDTH, _WIDE = 640, 1080
_PNG_SCALE = 3
#: Pixels across of the page that a document is printed from.
_SCREEN = 1100
_SECONDS = 120
_QUIET = ("--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run")


def find_browser() -> str:
    """Return the path of a Chromium that is installed.

    Raises
    ------
    InputError
        If there is none.
    """
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise InputError(
            "pdf, png and svg need Chromium or Chrome on the PATH, and neither is there; install "
            "one (Debian: apt-get install chromium), or write html"
        )
    return found


def write_picture(part: Figure, file: Path) -> None:
    """Write a figure in the format of the file's ending: ``.svg``, ``.pdf`` or ``.png``.

    The figure has no tools from here on.

    Raises
    ------
    InputError
        If no browser is installed.
    RefusedError
        If the browser ends without a picture.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = place / f"figure{file.suffix}"
        svg = _svg(part, browser, place)
        if file.suffix == ".svg":
            made.write_text(svg, encoding="utf-8")
        else:
            _print(svg, made, browser, place)
        _take(made, file, browser)


def write_document(page: Path, file: Path) -> None:
    """Print a report's page as one PDF of A4 sheets, once all its figures are drawn.

    Raises
    ------
    InputError
        If no browser is installed.
    RefusedError
        If the browser ends without a document.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made = place / "document.pdf"
        wide = f"--window-size={_SCREEN},1000"
        _run(browser, place, f"--print-to-pdf={made}", "--no-pdf-header-footer", wide, page)
        _take(made, file, browser)


def _take(made: Path, file: Path, browser: str) -> None:
    """Put what the browser has made in its place."""
    if not made.exists() or not made.stat().st_size:
        raise RefusedError(f"{file}: {browser} drew nothing; try another format")
    with atomic_file(file) as fresh:
        shutil.copyfile(made, fresh)


def _svg(part: Figure, browser: str, place: Path) -> str:
    """Return a figure as SVG: Bokeh draws it in the browser, which prints the page's elements."""
    for model in part.root.references():
        if isinstance(model, Plot):
            model.update(toolbar_location=None)
    page = place / "figure.html"
    page.write_text(_drawing(part.root, _WIDE if part.wide else _WIDTH), encoding="utf-8")
    said = _run(browser, place, "--dump-dom", page)
    found = re.search(r'<pre id="svg">(.*?)</pre>', said, re.DOTALL)
    if found is None:
        raise RefusedError(f"{part.name}: {browser} did not draw the figure; try html")
    return unescape(found[1])


def _drawing(root: Model, width: int) -> str:
    """Return a page that draws a figure, and then writes it into itself as the text of an SVG."""
    resources = Resources(mode="inline", components=["bokeh", "bokeh-widgets"])
    return f"""<!DOCTYPE html>
<meta charset="utf-8">
{resources.render_js()}
<div id="figure" style="width: {width}px"></div>
<script>
(async () => {{
  const views = await Bokeh.embed.embed_item({embedded(json_item(root))}, "figure");
  const [view] = views.roots;
  await view.ready;
  const written = view.export("svg").ctx.get_serialized_svg(true);
  const place = document.createElement("pre");
  place.id = "svg";
  place.textContent = written;
  document.body.append(place);
}})();
</script>
"""


def _print(svg: str, made: Path, browser: str, place: Path) -> None:
    """Write an SVG as a PDF of its size, or as a PNG of three pixels to one."""
    width, height = (
        int(float(number)) for number in re.findall(r'\b(?:width|height)="([\d.]+)', svg)[:2]
    )
    page = place / "print.html"
    page.write_text(
        f"<!DOCTYPE html><meta charset='utf-8'><style>@page{{size:{width}px {height}px;margin:0}}"
        f"body{{margin:0;background:#fff}}svg{{display:block}}</style>{svg}",
        encoding="utf-8",
    )
    if made.suffix == ".pdf":
        _run(browser, place, f"--print-to-pdf={made}", "--no-pdf-header-footer", page)
    else:
        scale, size = f"--force-device-scale-factor={_PNG_SCALE}", f"--window-size={width},{height}"
        _run(browser, place, f"--screenshot={made}", scale, size, page)


def _run(browser: str, place: Path, *arguments: str | Path) -> str:
    """Run the browser without a window, in a profile of its own, and return what it prints."""
    # A sandbox cannot be made by root, as in a container.
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    *options, page = map(str, arguments)
    own = [f"--user-data-dir={place / 'profile'}", "--virtual-time-budget=20000"]
    command = [browser, *_QUIET, *own, *root, *options, Path(page).as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
    except subprocess.TimeoutExpired as error:
        raise RefusedError(f"{browser}: no picture within {_SECONDS} seconds") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise RefusedError(f"{browser}: ended with {error.returncode}: {lines[-1]}") from error
    return done.stdout.decode("utf-8", errors="replace")
