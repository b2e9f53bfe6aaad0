"""The table of suspected attacks: raw ids, titles, dates, and a reason for each line."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mfdask.downstream.anomalies.attacks import EXTREME, Attacks
from mfdask.downstream.anomalies.suspicion import Suspicion
from mfdask.downstream.events import DAY
from mfdask.shards import Dataset

#: Columns of the table, and the types of those that an empty one could not tell.
_COLUMNS = {
    "entity": "str", "item_id": None, "user_id": None, "title": "str", "direction": "str",
    "score": "float64", "q": "float64", "expected_false_per_1000": "float64",
    "window_start": "datetime64[s, UTC]", "window_end": "datetime64[s, UTC]",
    "n_extreme": "int64", "n_expected": "float64", "n_extreme_ever": "int64",
    "agreement": "float64", "n_items": "Int64", "honest_share": "float64",
    "share_in_window": "float64", "resemblance": "float64", "evidence": "float64",
    "burst_evidence": "float64", "group_evidence": "float64", "joint_evidence": "float64",
    "prediction": "float64", "prediction_cleaned": "float64", "reason": "str",
}  # fmt: skip


def attack_table(attacks: Attacks, predictions: pd.DataFrame, data: Dataset) -> pd.DataFrame:
    """Return suspected items, and then users, in one table.

    Parameters
    ----------
    attacks : Attacks
    predictions : DataFrame
        `item, prediction, prediction_cleaned`, see `predictions_without`; may be empty.
    data : Dataset

    Returns
    -------
    DataFrame
        `entity` (``"item"`` or ``"user"``), `item_id` and `title` (of the burst that makes a user
        suspect), `user_id` (missing for items), the columns of `Attacks`, and `reason`.
    """
    labels = extreme_labels(data)
    items = attacks.items.merge(predictions, on="item", how="left")
    items["reason"] = [_item_reason(line, labels) for line in items.itertuples()]
    users = attacks.users.copy()
    users["reason"] = [_user_reason(line, labels) for line in users.itertuples()]
    both = pd.concat([items.assign(entity="item"), users.assign(entity="user")], ignore_index=True)
    catalogue, ids = data.items(), data.users()["user_id"].convert_dtypes()
    both["item_id"] = catalogue["item_id"].iloc[both["item"]].array
    both["title"] = catalogue["title"].iloc[both["item"]].array
    both["user_id"] = ids.reindex(both["user"].fillna(-1).astype("int64")).array
    for end in ("window_start", "window_end"):
        both[end] = pd.to_datetime(both[end], unit="s", utc=True)
    types = {name: kind for name, kind in _COLUMNS.items() if kind}
    return both[list(_COLUMNS)].astype(types)


def extreme_labels(data: Dataset) -> dict[str, str]:
    """Return in words which ratings are extreme, for each direction."""
    margin = EXTREME * (data.rating_max - data.rating_min)
    if step := data.manifest.rating_step:
        margin = step * math.floor(margin / step + 1e-6)
    return {
        "push": f"{data.rating_max - margin:.3g}" + (" or more" if margin else ""),
        "nuke": f"{data.rating_min + margin:.3g}" + (" or less" if margin else ""),
    }


def attack_scores(suspicion: Suspicion, data: Dataset) -> dict[str, pd.DataFrame]:
    """Return the evidence of all items and users, suspected or not, with raw ids.

    `evidence` is ``-log10`` of the chance that an honest row has as much, and
    `expected_false_per_1000` the same in other words.
    """
    items = data.items()[["item_id", "title"]].assign(evidence=suspicion.items)
    users = data.users()[["user_id"]].assign(
        evidence=suspicion.users,
        burst_evidence=suspicion.burst,
        group_evidence=suspicion.group.users,
        joint_evidence=suspicion.joint,
    )
    return {
        "item_scores": items.assign(expected_false_per_1000=1000 * 10.0 ** -items["evidence"]),
        "account_scores": users.assign(expected_false_per_1000=1000 * 10.0 ** -users["evidence"]),
    }


def group_table(groups: pd.DataFrame, data: Dataset) -> pd.DataFrame:
    """Return `groups_of` with raw ids: `members` hold user ids, and `targets` item ids."""
    users, items = data.users()["user_id"], data.items()["item_id"]
    return groups.assign(
        members=[users.iloc[rows].tolist() for rows in groups["members"]],
        targets=[items.iloc[rows].tolist() for rows in groups["targets"]],
    )


def _item_reason(line: Any, labels: dict[str, str]) -> str:
    if line.n_extreme:
        return f"{line.n_extreme} {_burst(line, labels)}"
    side = "above" if line.direction == "push" else "below"
    return f"those who rate it {side} their own mean are alike as no audience of an item is"


def _user_reason(line: Any, labels: dict[str, str]) -> str:
    if not line.n_extreme:
        return _evidence(line)
    also = f", and of {line.n_items - 1} other such bursts" if line.n_items > 1 else ""
    text = f"one of {line.n_extreme} {_burst(line, labels)}{also}; "
    text += f"{line.share_in_window:.0%} of all the user's ratings lie in that time"
    if line.resemblance == line.resemblance:  # a number
        text += f"; {line.resemblance:.1f} times as many items in common with the others as chance"
    return text


def _evidence(line: Any) -> str:
    """Name the strongest evidence."""
    words = {
        "burst": "took part in a burst of ratings that are other than the item's usual ones",
        "group": "resembles the others who rate this item alike, as no audience of an item is",
        "joint": "rates the same items alike as another account, more than chance explains",
    }
    return words[max(words, key=lambda kind: getattr(line, f"{kind}_evidence"))]


def _burst(line: Any, labels: dict[str, str]) -> str:
    """Return what was seen and what was to be expected."""
    days = -(-int(line.window_end - line.window_start) // DAY)
    start = pd.Timestamp(line.window_start, unit="s")
    return (
        f"ratings of {labels[line.direction]} for this item within "
        f"{'a day' if days <= 1 else f'{days} days'} from {start:%Y-%m-%d}, "
        f"where {line.n_expected:.2g} were to be expected"
    )
