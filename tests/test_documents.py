"""The documents: links lead somewhere, and what they show as code is code."""

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def prose(page):
    return _BLOCK.sub("", page.read_text())


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    words = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower().strip() for head in heads]
    return {re.sub(r"[^\w\- ]", "", head).replace(" ", "-") for head in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose(page)):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_no_page_is_longer_than_a_readers_patience():
    """Appendices may be: one looks into them."""
    begin, appendices = (ROOT / "docs/index.md").read_text().split(":caption: Appendices")
    assert "benchmarks" in appendices
    names = re.findall(r"^[a-z_]+$", begin, re.MULTILINE)
    lengths = {name: len((ROOT / f"docs/{name}.md").read_text().splitlines()) for name in names}
    assert len(lengths) > 20
    assert {name: length for name, length in lengths.items() if length > 240} == {}


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def test_the_example_of_a_kind_is_the_one_that_is_tested():
    wanted = (ROOT / "tests/models/item_means.py").read_text()
    assert blocks("docs/extending.md")[0].strip() == wanted.strip()


def test_the_example_of_the_public_face_runs(tmp_path, monkeypatch, capsys):
    pairs = [(user, item) for user in range(30) for item in range(8) if (user + item) % 3]
    ratings = pd.DataFrame(pairs, columns=["user", "item"])
    ratings["rating"] = 1.0 + (ratings["user"] * ratings["item"]) % 5
    monkeypatch.chdir(tmp_path)
    ratings.to_csv("ratings.csv", index=False)
    example = blocks("docs/api.md")[0]
    assert "Ranking(top=5)" in example
    exec(example.replace("top=5", "top=5, min_ratings=1"), {})  # the example is of more ratings
    assert 0 < float(capsys.readouterr().out) < 4
