"""The page asks no network, holds every number, and shows hostile texts as texts."""

import io
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.figures.figure import Figure, Missing, Section, TableFigure, html_table, plain
from mfdask.report.data.facts import Facts
from mfdask.report.page import embedded, page, to_csv, write_page
from mfdask.report.report import Inputs, all_sections, chosen, figures_of, notes
from mfdask.shards import Dataset
from tests.report.hostile import SCRIPT, TEXTS, hostile_data


class Parsed(HTMLParser):
    """The parts of a page that a test asks for."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.scripts = [], [], []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attributes).get("type"), ""))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, text):
        if self._inside == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = kind, before + text
        elif text.strip():
            self.texts.append(text.strip())

    @property
    def data(self):
        """What is embedded for each figure."""
        return [json.loads(text) for kind, text in self.scripts if kind == "application/json"]


@pytest.fixture(scope="module")
def facts(small_data):
    return Facts.of(Dataset.open(small_data))


@pytest.fixture(scope="module")
def sections(facts):
    return list(all_sections(facts, Inputs()))


@pytest.fixture(scope="module")
def parsed(facts, sections):
    return Parsed(page("A title", notes(facts), sections))


def test_nothing_is_loaded_from_anywhere(parsed):
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base", "form"}
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    policies = [a["content"] for _, a in parsed.tags if "http-equiv" in a]
    assert policies[0].startswith("default-src 'none';")


def test_contents_lead_to_every_part(parsed, sections):
    places = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(set(places)) == len(places)
    linked = [a["href"][1:] for tag, a in parsed.tags if tag == "a" and len(a["href"]) > 1]
    assert linked == ["data", *(part.name for part in sections[0].parts)]
    assert set(linked) <= set(places)


def test_the_numbers_of_every_figure_are_in_the_page(parsed, sections):
    figures = figures_of(sections)
    assert len(parsed.data) == len(figures) == 20
    for inside, figure in zip(parsed.data, figures, strict=True):
        read = pd.read_csv(io.StringIO(inside["csv"]))
        wanted = pd.read_csv(io.StringIO(figure.table().to_csv(index=False)))
        pd.testing.assert_frame_equal(read, wanted, rtol=1e-8, check_dtype=False)
        assert inside["item"]["root_id"] == figure.root.id


def test_what_follows_light_and_dark_is_named(parsed):
    roles = {
        role
        for inside in parsed.data
        for found in inside["roles"].values()
        for role in found.values()
    }
    assert roles == {"ink", "soft", "line", "ground"}


@pytest.fixture(scope="module")
def hostile(client, tmp_path_factory):
    return Facts.of(hostile_data(client, tmp_path_factory.mktemp("hostile")))


def test_hostile_texts_are_texts(hostile):
    sections = list(all_sections(hostile, Inputs()))
    parsed = Parsed(page(hostile.data.name, [SCRIPT], sections))
    clean = Parsed(page("x", ["y"], []))
    assert SCRIPT in parsed.texts
    kinds = [kind for kind, _ in parsed.scripts]
    assert kinds.count(None) == [kind for kind, _ in clean.scripts].count(None)
    assert {tag for tag, _ in parsed.tags} <= {tag for tag, _ in clean.tags} | {
        "section", "figure", "figcaption", "h2", "h3", "a", "li", "ol", "span", "br",
    }  # fmt: skip
    corner = next(f for f in figures_of(sections) if f.name == "densest-corner")
    csv = next(d["csv"] for d in parsed.data if d["item"]["root_id"] == corner.root.id)
    wanted = {f"'{text}" if text.startswith(("=", "@", "+", "-")) else text for text in TEXTS}
    assert set(pd.read_csv(io.StringIO(csv))["title"]) == wanted


def test_json_in_a_script_element_cannot_end_it():
    text = "</script><!--&\u2028\u2029"
    assert json.loads(embedded(text)) == text
    assert not set("<>&\u2028\u2029") & set(embedded(text))


def test_tables_escape_what_is_in_them():
    table = pd.DataFrame({"<b>": ["<i>", 'a"b'], "n": [1234567, 2], "x": [0.12345, 1e-9]})
    shown = html_table(table)
    assert "<b>" not in shown
    assert "<i>" not in shown
    texts = Parsed(shown).texts
    assert texts == ["<b>", "n", "x", "<i>", "1,234,567", "0.1235", 'a"b', "2", "1e-09"]


def test_columns_of_words_stand_to_the_left_and_dates_in_one_line():
    table = pd.DataFrame({"title": [None, "Heat (1995)"], "n": [1.5, None]}, dtype=object)
    table["day"], table["reason"] = "2020-01-02", "why " * 20
    shown = html_table(table)
    assert re.findall('<td class="([^"]*)"', shown)[4:] == [
        "text", "number whole", "text whole", "text long"
    ]  # fmt: skip


def test_no_text_is_taken_for_tex():
    for text in TEXTS:
        found = plain(text)
        assert "$$" not in found
        assert "\\[" not in found
        assert "\\(" not in found
        assert found.replace("\u2060", "") == text


def test_missing_parts_say_why(tmp_path):
    class Odd(TableFigure):
        name, title, caption = "odd", "Odd", "An odd one."

    parts = [Odd(pd.DataFrame({"a": [1]})), Missing("even", "Even", "There are <none>.")]
    section = Section("s", "S", "Intro.", parts)
    assert "There are <none>." in Parsed(page("t", [], [section])).texts
    assert [part.name for part in chosen([section], ["odd"])[0].parts] == ["odd"]
    with pytest.raises(InputError, match=r"names even: cannot be drawn here. There are <none>"):
        chosen([section], ["even"])
    with pytest.raises(InputError, match="names two: there is none; give some of odd, even"):
        chosen([section], ["odd", "two"])


def test_what_nobody_asked_for_is_not_made(facts):
    def sections():
        yield from all_sections(facts, Inputs())
        pytest.fail("a section more was made")

    name = next(all_sections(facts, Inputs())).parts[0].name
    (found,) = chosen(sections(), [name])
    assert [part.name for part in found.parts] == [name]


def test_a_page_is_written_whole(tmp_path, sections, facts):
    out = tmp_path / "a" / "b.html"
    size = write_page(out, "t", [], sections)
    assert out.stat().st_size == size < 4 * 2**20
    assert [file.name for file in out.parent.iterdir()] == ["b.html"]
    with pytest.raises(InputError, match="is a folder"):
        write_page(tmp_path, "t", [], sections)


def test_a_model_of_other_data_is_refused(facts, hostile):
    from mfdask.models import ALS

    model = ALS(n_factors=1, n_sweeps=1).fit(hostile.data)
    with pytest.raises(InputError, match="give the data set of the model"):
        list(all_sections(facts, Inputs({"m": model})))


def test_a_figure_alone(facts):
    from bokeh.embed import file_html

    from mfdask.report.data.overview import RatingHistogram

    figure = RatingHistogram.of(facts)
    assert isinstance(figure, Figure)
    assert figure.source.data["n"].sum() == facts.data.n_train + facts.data.n_test
    assert figure.root.id in file_html(figure.root)


def test_no_text_is_a_formula_in_a_spreadsheet():
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1", "1-2", "", "é"]
    numbers = pd.DataFrame({"=title": texts, "n": range(-5, 5), "k": pd.Categorical(texts)})
    part = SimpleNamespace(table=lambda: numbers)
    read = pd.read_csv(
        io.StringIO(to_csv(part.table())), keep_default_na=False, lineterminator="\n"
    )
    wanted = [f"'{text}" for text in texts[:6]] + texts[6:]
    assert list(read) == ["'=title", "n", "k"]
    assert read["'=title"].tolist() == read["k"].tolist() == wanted
    assert read["n"].tolist() == list(range(-5, 5))
