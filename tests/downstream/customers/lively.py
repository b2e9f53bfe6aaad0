"""A made-up data set of people who come back, day after day, until they do not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from mfdask.ingestion.build import IngestOptions, ingest
from mfdask.ratings.formats import open_source
from mfdask.ratings.splits import Split

DAY = 86_400
#: 2020-01-01, and how many days are made up from there.
START = 1_577_836_800
LENGTH = 720


def made_up(users=120, items=300, seed=1, taste_drives_away=0.0, turn_day=None):
    """Return ratings: rates are gamma, people leave for good, tastes have three factors.

    With `taste_drives_away` the time until people leave goes by their first taste, so that the
    shortest and the longest differ by ``exp`` of some four times as much. From `turn_day` on, users
    of odd ids have the opposite tastes.
    """
    rng = np.random.default_rng(seed)
    tastes, traits = rng.normal(size=(users, 3)), rng.normal(size=(items, 3)) / 3
    popular = rng.dirichlet(np.full(items, 0.3))
    lines = []
    for user in range(users):
        begin = rng.integers(0, 360)
        stays = rng.exponential(400) * np.exp(-taste_drives_away * tastes[user, 0])
        day, every = begin, 1 + rng.gamma(1.0, 20)
        order = rng.choice(items, items, replace=False, p=popular + 1e-12)
        seen = 0
        while day < min(begin + stays, LENGTH) and seen + 3 < items:
            turned = turn_day is not None and user % 2 == 0 and day >= turn_day
            own = -tastes[user] if turned else tastes[user]
            for k, item in enumerate(order[seen : seen + 3].tolist()):
                mean = 3.5 + own @ traits[item]
                stars = np.clip(np.round(2 * (mean + 0.5 * rng.normal())) / 2, 0.5, 5)
                lines.append((user + 1, item + 1, stars, START + int(day) * DAY + 3600 + k))
            seen, day = seen + 3, day + 1 + rng.exponential(every)
    return pd.DataFrame(lines, columns=["user_id", "item_id", "rating", "timestamp"])


def taken_in(ratings, folder, client, blocks=2, split="random:0.1", repeats="latest"):
    """Ingest ratings and return the folder of the data set."""
    folder.mkdir()
    ratings.to_csv(folder / "ratings.csv", index=False)
    choices = IngestOptions(Split.parse(split), blocks=blocks, repeats=repeats)
    ingest(open_source(str(folder / "ratings.csv")), folder / "d", client=client, choices=choices)
    return folder / "d"


@cache
def everybody(client, root):
    """Return the folder of the data set of all that is made up; leave it as it is."""
    return taken_in(made_up(), root / "lively", client)
