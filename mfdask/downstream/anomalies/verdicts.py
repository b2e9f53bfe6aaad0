"""Suspects for other evidence than a burst, in the table of those with one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfdask.downstream.anomalies.suspicion import Suspicion
from mfdask.kernels.types import Bools, Int32s

_DIRECTIONS = {1: "push", -1: "nuke"}


def with_other_items(items: pd.DataFrame, chosen: Bools, suspicion: Suspicion) -> pd.DataFrame:
    """Append the items that were chosen and are not in the table.

    Their columns that tell of a burst are missing; `direction` is the side on which their unusual
    raters are.
    """
    more = np.setdiff1d(np.flatnonzero(chosen), items["item"]).astype(np.int32)
    more = more[np.argsort(-suspicion.items[more], kind="stable")]
    signs = suspicion.group.signs[more]
    return _appended(items, more, signs, suspicion.items[more])


def with_other_users(users: pd.DataFrame, chosen: Bools, suspicion: Suspicion) -> pd.DataFrame:
    """Append the users that were chosen and are not in the table, with all evidence of users.

    `item` is the one whose raters a user resembles most, see `Collusion`. Of all users come the
    columns `burst_evidence`, `group_evidence` and `joint_evidence`, see `Suspicion`.
    """
    more = np.setdiff1d(np.flatnonzero(chosen), users["user"]).astype(np.int32)
    more = more[np.argsort(-suspicion.users[more], kind="stable")]
    items = suspicion.group.with_item[more]
    known = users.assign(evidence=suspicion.users[users["user"].to_numpy(np.int64)])
    known["expected_false_per_1000"] = 1000 * 10.0 ** -known["evidence"]
    signs = suspicion.group.signs[items]
    found = _appended(known, items, signs, suspicion.users[more], user=more, n_items=0)
    rows = found["user"].to_numpy(np.int64)
    return found.assign(
        burst_evidence=suspicion.burst[rows],
        group_evidence=suspicion.group.users[rows],
        joint_evidence=suspicion.joint[rows],
    )


def _appended(
    known: pd.DataFrame, items: Int32s, signs: Int32s, evidence: np.ndarray, **others: object
) -> pd.DataFrame:
    """Append lines, whose `score` is the evidence; what they do not have is missing, or 0."""
    more = pd.DataFrame(
        {
            "item": items,
            "direction": pd.Series(signs).map(_DIRECTIONS).astype(known["direction"].dtype),
            "score": evidence,
            "evidence": evidence,
            "expected_false_per_1000": 1000 * 10.0**-evidence,
            "n_extreme": np.zeros(len(items), np.int32),
            "n_extreme_ever": np.zeros(len(items), np.int32),
            **others,
        }
    ).reindex(columns=known.columns)
    if not len(more):
        return known
    return pd.concat([known, more], ignore_index=True) if len(known) else more
