"""The page as a reader sees it, in a headless Chromium where one is installed."""

import re

import pytest

from mfdask.errors import InputError
from mfdask.figures import theme
from mfdask.report.browser import find_browser, write_document, write_picture
from mfdask.report.data.facts import Facts
from mfdask.report.inputs import Inputs
from mfdask.report.page import write_page
from mfdask.report.report import all_sections, figures_of, notes
from tests.report.chromium import WALK, Chromium
from tests.report.hostile import SCRIPT, hostile_data

try:
    find_browser()
except InputError as error:
    pytest.skip(str(error), allow_module_level=True)

_TOOLTIPS = f"""(() => {{ {WALK}
  const texts = [], scripts = [];
  walk(document, (element) => {{
    if (element.classList.contains("bk-tooltip-row-value")) texts.push(element.textContent);
    if (["SCRIPT", "IMG"].includes(element.tagName) && element.closest(".bk-tooltip-content"))
      scripts.push(element.outerHTML);
  }});
  return {{ texts, scripts }};
}})()"""


@pytest.fixture(scope="module")
def report(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    facts = Facts.of(hostile_data(client, folder))
    sections = list(all_sections(facts, Inputs()))
    write_page(folder / "r.html", facts.data.name, notes(facts), sections)
    return folder / "r.html", figures_of(sections)


@pytest.fixture(scope="module")
def browser(report):
    with Chromium() as browser:
        browser.open(report[0])
        yield browser


def test_it_is_quiet_and_asks_nobody(browser, report):
    assert browser.errors == []
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert asked == [report[0].absolute().as_uri()]
    assert browser.run("document.title") == SCRIPT


def test_every_figure_has_ink(browser, report):
    ink = browser.ink()
    assert set(ink) == {figure.name for figure in report[1]}
    assert min(ink.values()) > 50, ink


def place_of(browser, name, x, y):
    """Scroll to a figure, and return where in the window a point of its plot is."""
    return browser.run(
        f"""(() => {{
          const figure = document.getElementById("{name}");
          figure.scrollIntoView({{ block: "center" }});
          const shown = documents[[...document.querySelectorAll("figure")].indexOf(figure)];
          const view = Bokeh.index.roots.find((one) => one.model === shown.model);
          const {{ x_scale, y_scale }} = view.frame;
          const corner = view.el.getBoundingClientRect();
          return [corner.x + x_scale.compute({x}), corner.y + y_scale.compute({y})];
        }})()"""
    )


def test_a_hostile_title_is_shown_on_hover(browser, report):
    table = next(f for f in report[1] if f.name == "densest-corner").table()
    for line in table.drop_duplicates("item_id").itertuples():
        browser.move(*place_of(browser, "densest-corner", line.item_rank, line.user_rank))
        said = browser.run(_TOOLTIPS)
        assert said["scripts"] == []
        texts = [text.rstrip() for text in said["texts"]]
        assert texts == [line.user_id, f"{line.title} ({line.item_id})", f"{line.rating:g}"]
    assert browser.errors == []
    assert browser.run("document.title") == SCRIPT


def test_light_and_dark_reach_canvases_and_tooltips(browser):
    colour = "documents[1].model.below[0].axis_label_text_color"
    button = "document.getElementById('ground')"
    seen = []
    for ground in ("light", "dark"):
        browser.prefer(ground)
        seen.append((browser.run(colour), browser.run(f"{button}.textContent")))
    assert seen == [(theme.LIGHT["soft"], "Dark"), (theme.DARK["soft"], "Light")]
    browser.run(f"{button}.click()")
    assert browser.run(colour) == theme.LIGHT["soft"]
    browser.run(f"{button}.click()")
    browser.move(*place_of(browser, "densest-corner", 1, 1))
    ground = browser.run(f"""(() => {{ {WALK}
      const colours = [];
      walk(document, (element) => {{
        if (element.classList.contains("bk-Tooltip"))
          colours.push(getComputedStyle(element).backgroundColor);
      }});
      return colours.pop();
    }})()""")
    red, green, blue = (int(theme.DARK["ground"][k : k + 2], 16) for k in (1, 3, 5))
    assert ground == f"rgb({red}, {green}, {blue})"


def test_numbers_are_one_click_away(browser, report):
    browser.run("document.addEventListener('click', (event) => event.preventDefault())")
    links = browser.run(
        """[...document.querySelectorAll(".numbers")].map((link) => {
          link.click();
          return [link.download, link.href.split(":")[0]];
        })"""
    )
    assert links == [[f"{figure.name}.csv", "blob"] for figure in report[1]]


def test_nothing_is_wider_than_a_phone(browser):
    browser.resize(420, 900)
    browser.wait_for("(document.documentElement.scrollWidth <= 420)")
    browser.resize(1400, 1000)


def test_paper_has_pictures_of_all_figures_on_a_light_ground(browser, report):
    browser.prefer("dark")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    pictures = browser.run("""[...document.querySelectorAll("figure")].map((figure) => {
      const picture = figure.querySelector("img.printed");
      return [figure.id, picture ? decodeURIComponent(picture.src) : ""];
    })""")
    light, dark = theme.LIGHT["soft"], theme.DARK["soft"]
    for figure, (name, svg) in zip(report[1], pictures, strict=True):
        assert name == figure.name
        assert svg.startswith("data:image/svg+xml") == figure.is_picture
        assert dark not in svg
        assert not svg or light in svg
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("documents[1].model.below[0].axis_label_text_color") == dark
    browser.prefer("light")
    assert browser.errors == []


def test_one_document(report, tmp_path):
    write_document(report[0], tmp_path / "new" / "r.pdf")
    document = (tmp_path / "new" / "r.pdf").read_bytes()
    assert document.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", document)) > 4


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF-"), ("png", b"\x89PNG")])
def test_single_figures(report, tmp_path, kind, start):
    figures = {figure.name: figure for figure in report[1]}
    assert not figures["statistics"].is_picture
    file = tmp_path / "new" / f"f.{kind}"
    write_picture(figures["densest-corner"], file)
    assert file.read_bytes().startswith(start)
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_legend_above_leaves_room_for_its_plot(report, tmp_path):
    figures = {figure.name: figure for figure in report[1]}
    write_picture(figures["item-degrees"], tmp_path / "f.svg")
    drawn = (tmp_path / "f.svg").read_text()
    frames = re.findall(r"<clipPath[^>]*><path[^>]*d=\"([^\"]+)\"", drawn)
    heights = [float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", frames[0])]
    assert max(heights) - min(heights) > 100
