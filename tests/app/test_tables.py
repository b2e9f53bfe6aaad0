"""Tables of any length, the pages of the downstream jobs' tables, and what is behind a line."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from mfdask.app.behind import ratings_of_item, ratings_of_user
from mfdask.app.page import AppPage, Card
from mfdask.app.pages import pages_of
from mfdask.app.site import Shown, Site
from mfdask.app.table import TableView
from mfdask.app.tables import Customers, Suspects
from mfdask.errors import InputError
from tests.app.serving import page_at
from tests.report.hostile import TEXTS


def cells(html):
    """Return the texts of the lines of a table."""
    return [
        [unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", line)]
        for line in re.findall(r"<tr>(.*?)</tr>", html.partition("<tbody>")[2])
    ]


NUMBERS = pd.DataFrame(
    {
        "user_id": np.arange(100_000) * 3,
        "score": (np.arange(100_000) * 7919 % 100_003) / 7.0,
        "title": [f"Title {k % 977}" for k in range(100_000)],
        "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(100_000), unit="h"),
    }
)


def test_a_long_text_is_two_lines_and_the_whole_at_hand(tables):
    html = page_at(Suspects, tables).table._html.text
    assert 'class="long" title="a burst of many words' in html


class OneTable(AppPage):
    """A page with a long table."""

    path, title, intro = "one", "One", ""

    def build(self):
        self.picked = []
        self.view = TableView(self, "t", NUMBERS, self.picked.append)
        self.cards = [Card("t", "", self.view.root)]

    def state(self):
        return self.view.state()

    def actions(self):
        return self.view.actions()


@pytest.fixture
def page():
    return page_at(OneTable, Site())


def test_a_long_table_is_sent_leaf_by_leaf(page):
    assert len(page.view._html.text) < 20_000
    assert [line[0] for line in cells(page.view._html.text)] == [str(3 * k) for k in range(15)]
    assert "1 to 15 of 100,000 lines" in re.sub("<[^>]*>", "", page.view._html.text)
    page.act({"do": "t-leaf", "first": "15"})
    assert cells(page.view._html.text)[0][0] == "45"
    assert page.query.value == "t-from=15"
    page.act({"do": "t-leaf", "first": "999999999"})
    assert cells(page.view._html.text)[-1][0] == str(3 * 99_999)


def test_sorting(page):
    for sign, ascending in (("", True), ("-", False)):
        page.act({"do": "t-sort", "column": "score"})
        wanted = NUMBERS.sort_values("score", ascending=ascending, kind="stable")["user_id"]
        assert [line[0] for line in cells(page.view._html.text)] == list(map(str, wanted[:15]))
        assert page.query.value == f"t-sort={sign}score"
    again = page_at(OneTable, Site(), page.query.value)
    assert again.view._html.text == page.view._html.text
    assert 'aria-sort="descending"' in again.view._html.text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("title 976", NUMBERS["title"] == "Title 976"),
        ("score > 14000", NUMBERS["score"] > 14_000),
        ("user_id = 300", NUMBERS["user_id"] == 300),
        ("no such text", NUMBERS["score"] < 0),
    ],
)
def test_filtering(page, text, wanted):
    page.view.filter.value = text
    assert page.notice.text == ""
    ids = NUMBERS["user_id"][wanted]
    assert [line[0] for line in cells(page.view._html.text)] == list(map(str, ids[:15]))
    page.act({"do": "t-save"})
    said = json.loads(page.file.value)
    assert said["name"] == "t.csv"
    assert said["text"].count("\n") == len(ids) + 1
    if len(ids):
        page.act({"do": "t-sort", "column": "score"})
        page.act({"do": "t-pick", "line": str(ids.index[-1])})
        assert page.picked[-1]["user_id"] == ids.iloc[-1]


def test_ids_are_not_set_in_thousands():
    for name in ("item_id", "suggested_1", "group", "run"):
        table = pd.DataFrame({name: [12_345], "n": [12_345]})
        assert cells(TableView(page_at(OneTable, Site()), "u", table)._html.text) == [
            ["12345", "12,345"]
        ]


def test_a_condition_that_cannot_be_meant(page):
    page.view.filter.value = "score > much"
    assert "is a number, which" in page.notice.text


@pytest.fixture(scope="module")
def tables(small_site, tmp_path_factory):
    """Return a site with tables of suspects and of customers."""
    folder = tmp_path_factory.mktemp("tables")
    data = small_site.fixed.data
    users, items = data.users()["user_id"], data.items()["item_id"]
    suspects = pd.DataFrame(
        {
            "entity": ["item", "user"],
            "item_id": [items[3], items[3]],
            "user_id": pd.array([None, users[5]], "Int64"),
            "title": ["<img src=x onerror=alert(1)>", "b"],
            "score": [7.0, 9.5],
            "window_start": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "reason": ["=1+1", f"a burst {'of many words ' * 9}"],
        }
    )
    suspects.to_parquet(folder / "suspected_attacks.parquet")
    pd.DataFrame({"user_id": users[:1], "gap": [1.0]}).to_parquet(
        folder / "suspected_sharing.parquet"
    )
    churn = pd.DataFrame(
        {
            "user_id": users[:40],
            "event_timestamp": pd.Timestamp("2020-01-01", tz="UTC"),
            "p00": np.zeros(40),
            "score": np.linspace(0, 1, 40),
            "label": pd.array([None, 1] * 20, "Int8"),
        }
    )
    file = tmp_path_factory.mktemp("churn") / "churn.parquet"
    churn.to_parquet(file)
    return Site(small_site.fixed, None, folder, [file])


def test_suspects(tables, small_site):
    page = page_at(Suspects, tables)
    assert page.notice.text == ""
    html = page.table._html.text
    assert "<img" not in html
    first, second = cells(html)
    assert (first[2], second[2]) == ("user", "item")
    page.act({"do": "lines-pick", "line": "0"})  # an item
    item = small_site.fixed.data.items()["item_id"][3]
    wanted = ratings_of_item(small_site.fixed, item)
    assert page.query.value == f"chosen=item%3A{item}&lines-sort=-score"
    assert f"Item {item}: {len(wanted):,} ratings" in page.about.text
    assert "<img" not in page.facts.text
    assert not page.timeline._span.visible  # its end is not known
    assert len(page.timeline.source.data["rating"]) == len(wanted)
    page.act({"do": "lines-pick", "line": "1"})  # a user
    assert "User" in page.about.text
    again = page_at(Suspects, tables, page.query.value)
    assert again.about.text == page.about.text
    assert "a burst" in page.facts.text
    page.act({"do": "lines-save"})
    assert "'=1+1" in json.loads(page.file.value)["text"]
    page.choice.value = "suspected_sharing"
    assert len(cells(page.table._html.text)) == 1


def test_scores_of_all_accounts_come_last_and_are_picked_by_whole_ids(small_site, tmp_path):
    users = small_site.fixed.data.users()["user_id"]
    pd.DataFrame({"user_id": users[:3], "evidence": [0.5, 2.5, 1.5]}).to_parquet(
        tmp_path / "account_scores.parquet"
    )
    pd.DataFrame({"user_id": users[:1], "score": [1.0]}).to_parquet(
        tmp_path / "suspected_sharing.parquet"
    )
    page = page_at(Suspects, Site(small_site.fixed, None, tmp_path))
    assert list(page.files()) == ["suspected_sharing", "account_scores"]
    page.choice.value = "account_scores"
    assert [line[1] for line in cells(page.table._html.text)] == ["2.5", "1.5", "0.5"]
    page.act({"do": "lines-pick", "line": "1"})  # all of its other columns are fractions
    assert page.notice.text == ""
    assert f"User {users[1]}: " in page.about.text


def test_customers(tables):
    page = page_at(Customers, tables)
    lines = cells(page.table._html.text)
    assert "p00" not in page.table._html.text
    assert lines[0][1] == "1"
    assert len(lines) == 15
    assert not page.timeline.root.visible  # nothing has been chosen
    page.table.filter.value = "score < 0.1"
    assert len(cells(page.table._html.text)) == 4
    page.act({"do": "lines-pick", "line": "0"})
    assert page.notice.text == ""
    assert page.timeline.root.visible
    assert {each.path for each in pages_of(tables)} >= {"suspects", "customers"}


def test_ratings_behind(small_site):
    shown = small_site.fixed
    data = shown.data
    counts = data.users()
    user = counts["user_id"][7]
    found = ratings_of_user(shown, user)
    assert len(found) == counts["n_train"][7] + counts["n_test"][7]
    assert (found["user_id"] == user).all()
    assert found["when"].is_monotonic_decreasing
    item = found["item_id"].iloc[0]
    of_item = ratings_of_item(shown, item)
    row = data.rows_of("items", [item])[0]
    items = data.items()
    assert len(of_item) == items["n_train"][row] + items["n_test"][row]
    assert found["rating"].iloc[0] in of_item["rating"][of_item["user_id"] == user].tolist()
    with pytest.raises(InputError, match="table is of other data"):
        ratings_of_user(shown, -5)
    with pytest.raises(InputError, match="is not here"):
        ratings_of_user(Shown(shown.models, None), user)


def test_hostile_ids_and_ratings_without_times(hostile_site, tmp_path):
    shown = hostile_site.fixed
    users = shown.data.users()["user_id"]
    pd.DataFrame({"user_id": users, "score": 1.0}).to_parquet(tmp_path / "churn.parquet")
    page = page_at(Customers, Site(shown, None, None, [tmp_path / "churn.parquet"]))
    for line in range(len(users)):
        page.act({"do": "lines-pick", "line": str(line)})
        assert page.notice.text == ""
        html = page.about.text + page.facts.text + page.behind._html.text + page.table._html.text
        assert "<img" not in html
        assert "<script" not in html
    assert len(TEXTS) == len(users)
    again = page_at(Customers, page.site, page.query.value)
    assert again.notice.text == ""
    assert again.about.text == page.about.text


def test_damaged_or_missing_tables(small_site, tmp_path):
    (tmp_path / "churn.parquet").write_text("no table")
    page = page_at(Customers, Site(small_site.fixed, None, None, [tmp_path / "churn.parquet"]))
    assert "no Parquet table" in page.notice.text
    page = page_at(Suspects, Site(small_site.fixed, None, tmp_path))
    assert "no Parquet table" in page.notice.text
    page = page_at(Suspects, Site(small_site.fixed, None, tmp_path / "none"))
    assert "there are no tables of suspects" in page.notice.text


def test_a_group_of_suspects(more_tables, small_site):
    page = page_at(Suspects, more_tables)
    page.act({"do": "lines-pick", "line": "0"})
    assert page.notice.text == ""
    shown = small_site.fixed
    users, items = shown.data.users()["user_id"], shown.data.items()["item_id"]
    both = pd.concat([ratings_of_item(shown, items[3]), ratings_of_item(shown, items[5])])
    wanted = both["user_id"].isin(users[:150]).sum()
    assert 0 < wanted < len(both)
    assert f"Group 7: 150 accounts, {wanted:,} ratings of 2 items" in page.about.text
    assert len(page.timeline.source.data["rating"]) == wanted
    again = page_at(Suspects, more_tables, page.query.value)
    assert again.about.text == page.about.text
    assert (
        "group 8: is not in this table"
        in page_at(Suspects, more_tables, "chosen=group:8").notice.text
    )


def test_bands_of_customers(more_tables):
    page = page_at(Customers, more_tables)
    assert page.notice.text == ""
    texts = re.sub("<[^>]*>", " ", page.bands.text)
    assert re.findall(r"(high|medium|low): (\d+) users", texts) == [
        ("high", "10"), ("medium", "5"), ("low", "15")
    ]  # fmt: skip
    page.act({"do": "band", "column": "risk", "band": "medium"})
    assert len(cells(page.table._html.text)) == 5
    page.act({"do": "band", "column": "risk", "band": "medium"})
    assert "of 30 lines" in re.sub("<[^>]*>", "", page.table._html.text)
    assert "bands" in {card.name for card in page.cards}
    names = [card.name for card in page.cards]
    assert len(set(names)) == len(names)
    page.choice.value = "ltv"
    assert "middle: 30 users" in re.sub("<[^>]*>", "", page.bands.text)
