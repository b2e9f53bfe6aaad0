"""A data set whose titles, ids and genres try to be anything but text."""

import numpy as np
import pandas as pd

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.splits import Split
from mfdask.shards import Dataset
from tests.shards.oracle import memory_source

SCRIPT = "<script>document.title = 'taken'</script>"
TEXTS = (
    SCRIPT,
    "</script><img src=x onerror=\"document.title='taken'\">",
    '"quotes" & \'apostrophes\' <!-- and comments',
    "שלום \u202eright to left",
    "$$\\frac{1}{2}$$ \\[x\\] \\(y\\)",
    "@{title} @item_id{safe} $index",
    "=HYPERLINK(\"http://example.org\",\"x\")",
    "line\u2028separator",
    "W" * 400,
)  # fmt: skip


def hostile_data(client, folder) -> Dataset:
    """Ingest ratings of users and items that are all called so."""
    lines = np.indices((len(TEXTS), len(TEXTS))).reshape(2, -1).T
    frame = pd.DataFrame(
        {
            "user_id": [TEXTS[user] for user in lines[:, 0]],
            "item_id": [f"{TEXTS[item]} {item}" for item in lines[:, 1]],
            "rating": lines.sum(axis=1) % 5 + 1.0,
            "timestamp": 10**9 + 86_400 * np.arange(len(lines)),
        }
    )
    ids = [f"{text} {item}" for item, text in enumerate(TEXTS)]
    years = [1990 + item for item in range(len(TEXTS))]
    catalogue = pd.DataFrame(
        {
            "item_id": ids,
            "title": TEXTS,
            "year": years,
            "genres": [f"{text}|Drama" for text in TEXTS],
        }
    )
    source = memory_source(frame, catalogue=catalogue, name=SCRIPT)
    choices = IngestOptions(Split.parse("random:0.2"))
    ingest(source, folder / "d", client=client, choices=choices)
    return Dataset.open(folder / "d")
