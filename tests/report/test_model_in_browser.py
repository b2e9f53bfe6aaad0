"""The figures of models as a reader sees them, in a headless Chromium where one is installed."""

import json

import pytest

from mfdask.errors import InputError
from mfdask.models import ALS
from mfdask.report.browser import find_browser
from mfdask.report.model.section import model_section
from mfdask.report.page import write_page
from mfdask.report.training.section import training_section
from tests.report.chromium import Chromium
from tests.report.hostile import SCRIPT, hostile_data

try:
    find_browser()
except InputError as error:
    pytest.skip(str(error), allow_module_level=True)

_MAP = "item-map-pca"
#: The map's list of genres and plot, and where the plot stands.
_FIND = f"""
const figure = document.getElementById("{_MAP}");
figure.scrollIntoView({{ block: "center" }});
const shown = documents[[...document.querySelectorAll("figure")].indexOf(figure)];
const root = Bokeh.index.roots.find((one) => one.model === shown.model);
const [choice, plot] = root.child_views;
const source = plot.model.renderers[0].data_source;
"""


@pytest.fixture(scope="module")
def section(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    data = hostile_data(client, folder)
    model = ALS(n_factors=3, n_sweeps=3, item_prior="genre").fit(data)
    section = model_section(model, data, SCRIPT)
    write_page(folder / "r.html", "t", [], [training_section({SCRIPT: model}, data), section])
    return section, folder / "r.html"


@pytest.fixture(scope="module")
def browser(section):
    with Chromium() as browser:
        browser.open(section[1])
        yield browser


@pytest.fixture(scope="module")
def items(section):
    return next(part for part in section[0].parts if part.name == _MAP).table()


def test_it_is_quiet_and_asks_nobody(browser, section):
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [
        section[1].absolute().as_uri()
    ]
    assert browser.run("document.title") == "t"


def test_a_hostile_title_is_shown_on_hover(browser, items):
    for line in items.itertuples():
        place = browser.run(f"""(() => {{ {_FIND}
          const corner = plot.el.getBoundingClientRect();
          const {{ x_scale, y_scale }} = plot.frame;
          return [corner.x + x_scale.compute({line.x}), corner.y + y_scale.compute({line.y})];
        }})()""")
        browser.move(*place)
        texts = browser.run("""(() => {
          const texts = [];
          const walk = (node) => {
            for (const child of node.querySelectorAll("*")) {
              if (child.classList.contains("bk-tooltip-row-value")) texts.push(child.textContent);
              if (child.shadowRoot) walk(child.shadowRoot);
            }
          };
          walk(document);
          return texts;
        })()""")
        assert line.title in [text.strip() for text in texts]
    assert browser.run("document.title") == "t"


def test_names_on_the_map_of_genres_do_not_overlap(browser):
    for width in (1400, 420):
        browser.resize(width, 1000)
        browser.wait_for(f"(document.documentElement.scrollWidth <= {width})")
        found = browser.run("""(() => {
          const figure = document.getElementById("genre-map");
          const { model } = documents[[...document.querySelectorAll("figure")].indexOf(figure)];
          const { data } = model.renderers[0].data_source, plot = model;
          const place = (range, value, size) =>
            (value - range.start) / (range.end - range.start) * size;
          return [...data._label.keys()].filter((k) => data._label[k]).map((k) => ({
            name: data._label[k], align: data._align[k],
            x: place(plot.x_range, data.x[k], plot.inner_width) + data._right[k],
            y: data._down[k] - place(plot.y_range, data.y[k], plot.inner_height),
          }));
        })()""")
        assert found
        spans = []
        for each in found:
            left = {"left": 0.0, "center": 0.5, "right": 1.0}[each["align"]]
            wide = 6 * len(each["name"])
            begin = each["x"] - left * wide
            spans.append((begin, begin + wide, each["y"]))
        for k, (left, right, y) in enumerate(spans):
            for other_left, other_right, other_y in spans[:k]:
                assert right <= other_left or other_right <= left or abs(y - other_y) >= 12
    browser.resize(1400, 1000)
    assert browser.errors == []


def test_the_genre_filter(browser, items):
    for genre in (SCRIPT, "Drama", "all genres"):
        seen = browser.run(f"""(async () => {{ {_FIND}
          const list = choice.shadow_el.querySelector("select");
          list.value = {json.dumps(genre)};
          const done = new Promise((tell) => source.change.connect(tell));
          list.dispatchEvent(new Event("change"));
          await done;
          return [...source.data._alpha];
        }})()""")
        meant = [genre in ("all genres", *own.split("|")) for own in items["genres"]]
        assert [alpha > 0.5 for alpha in seen] == meant
    assert browser.errors == []
