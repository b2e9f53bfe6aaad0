"""Titles as people write them."""

import pandas as pd
import pytest

from mfdask.errors import InputError
from mfdask.recommendation import Titles

ITEMS = pd.DataFrame(
    {
        "item_id": [1, 3114, 2571, 47, 4973, 1240, 2628, 260, 34048, 64997, 100],
        "n_train": range(11, 0, -1),
        "title": [
            "Toy Story (1995)",
            "Toy Story 2 (1999)",
            "Matrix, The (1999)",
            "Seven (a.k.a. Se7en) (1995)",
            "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
            "Terminator, The (1984)",
            "Star Wars: Episode I - The Phantom Menace (1999)",
            "Star Wars: Episode IV - A New Hope (1977)",
            "War of the Worlds (2005)",
            "War of the Worlds (2005)",
            "",
        ],
    }
)


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Toy Story (1995)", 1),
        ("toy story", 1),
        ("Toy Story 2", 3114),
        ("Toy Story (1999)", 3114),
        ("The Matrix", 2571),
        ("matrix, the (1999)", 2571),
        ("MATRIX", 2571),
        ("Se7en", 47),
        ("seven (1995)", 47),
        ("Le fabuleux destin d'Amelie Poulain", 4973),
        ("amélie", 4973),
        ("phantom menace", 2628),
        ("star wars (1977)", 260),
        ("termin", 1240),
        ("id:64997", 64997),
        ("64997", 64997),
    ],
)
def test_kind_matches(text, item):
    assert Titles(ITEMS).find(text) == item


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("star wars", "may be id:2628 Star Wars.*, id:260 Star Wars"),
        ("War of the Worlds (2005)", "id:34048.*id:64997"),
        ("Toy Storey (1995)", "no such title; nearest: id:1 Toy Story"),
        ("zzzzqqqq", "no such title$"),
        ("", "no such title"),
        ("(1999)", "no such title"),
        ("id:one", "no id"),
        ("987654321", "no such id or title$"),
    ],
)
def test_what_is_not_one_item(text, words):
    with pytest.raises(InputError, match=words):
        Titles(ITEMS).find(text)


def test_without_titles_only_ids():
    titles = Titles(ITEMS.assign(title=""))
    assert titles.find("id:3") == 3
    for text in ("Toy Story", "987654321"):
        with pytest.raises(InputError, match="no item has this id, and this model knows no titles"):
            titles.find(text)


def test_ids_that_are_text():
    assert Titles(ITEMS.assign(item_id=[f"m{i}" for i in range(11)])).find("id:m3") == "m3"
