"""Nights on made-up ratings, cut by time."""

from __future__ import annotations

import pandas as pd
import pytest

from mfdask.nightly.config import NightlyConfig
from mfdask.nightly.paths import NightlyPaths
from mfdask.nightly.run import run_night
from mfdask.ratings.formats import open_source

#: What suits a few thousand ratings, and starts no hook or cluster of its own.
SETTINGS = {
    "home": "home",
    "inbox": {"settle_seconds": 0},
    "data": {"blocks": 2},
    "training": {"factors": 4, "tau": 0.02, "tolerance": 0.001},
    "gate": {"min_ratings": 50, "newest_days": 100_000},
}


@pytest.fixture(scope="session")
def ratings():
    """Return ratings in the order of their times."""
    source = open_source("synthetic:users=300,items=150,ratings=15000", seed=3)
    table = pd.concat([part.read().ratings for part in source.parts], ignore_index=True)
    return table.sort_values("timestamp", kind="stable", ignore_index=True)


class Nights:
    """A home, what it is told, and the ratings that come into it."""

    def __init__(self, folder, ratings, client):
        self.folder, self.ratings, self.client = folder, ratings, client
        self.home = NightlyPaths(folder / "home")
        self.inbox = self.home.root / "inbox"
        self.inbox.mkdir(parents=True)

    def arrive(self, name, begin, end, change=None):
        """Put the ratings of a range into the inbox."""
        lines = self.ratings.iloc[begin:end].copy()
        (change(lines) if change else lines).to_csv(self.inbox / name, index=False)

    def config(self, **tables):
        """Return the settings, with some tables' keys put in place of others."""
        said = {
            name: {**table, **tables.pop(name, {})} if isinstance(table, dict) else table
            for name, table in SETTINGS.items()
        }
        return NightlyConfig.of({**said, **tables}, self.folder)

    def config_with(self, training):
        """Return the settings with another training table."""
        return NightlyConfig.of({**SETTINGS, "training": training}, self.folder)

    def run_with(self, training):
        """Run a night with another training table."""
        return run_night(self.config_with(training), client=self.client)

    def run(self, **tables):
        """Run a night on the cluster of the tests."""
        return run_night(self.config(**tables), client=self.client)


@pytest.fixture
def nights(tmp_path, ratings, client):
    """Return a home in which nothing has happened yet."""
    return Nights(tmp_path, ratings, client)


def names(folder):
    """Return what lies in a folder, but for hidden files; nothing if there is none."""
    if not folder.exists():
        return []
    return sorted(place.name for place in folder.iterdir() if not place.name.startswith("."))
