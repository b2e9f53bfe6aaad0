"""Events as tables, and back."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfdask.downstream.events import Events

#: Items of the `small_data`.
N_ITEMS = 200


def events_of(frame):
    """Make events of a table of `user, item, rating, timestamp`."""
    frame = frame.sort_values(["user", "timestamp", "item"])
    lengths = np.bincount(frame["user"])
    return Events(
        0,
        np.append(0, np.cumsum(lengths)),
        frame["item"].to_numpy(np.int32),
        frame["rating"].to_numpy(np.float32),
        frame["timestamp"].to_numpy(np.int64),
        np.zeros(len(frame), bool),
    )


def table_of(events):
    """Return a line for each event."""
    names = ["items", "ratings", "timestamps", "held_out"]
    columns = {name: getattr(events, name) for name in names}
    return pd.DataFrame({"users": events.users, **columns})


def assert_sound(events):
    """Assert the order of events, and that nobody rates an item twice."""
    table = table_of(events)
    in_order = table.sort_values(["users", "timestamps", "items"], ignore_index=True)
    pd.testing.assert_frame_equal(table, in_order)
    assert not table.duplicated(["users", "items"]).any()
