"""A plain pandas ingest to compare with: `python -m mfdask.bench.baseline FILE`.

It reads a CSV with pandas, numbers the ids, and builds both sparse matrices: the shortest way to
what a solver needs, without cleaning, duplicates, splits, checksums or anything on disk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd


def build_matrices(file: Path) -> tuple[int, int, int]:
    """Read a CSV of `user_id, item_id, rating, …` and return users, items and ratings."""
    import scipy.sparse

    table = pd.read_csv(file, engine="pyarrow")
    users, user_ids = pd.factorize(table["user_id"])
    items, item_ids = pd.factorize(table["item_id"])
    ratings = table["rating"].to_numpy(np.float32)
    shape = (len(user_ids), len(item_ids))
    pairs = scipy.sparse.coo_array((ratings, (users, items)), shape)
    by_user, by_item = pairs.tocsr(), pairs.tocsc()
    assert by_user.nnz == by_item.nnz
    return (*shape, by_user.nnz)


if __name__ == "__main__":
    n_users, n_items, n_ratings = build_matrices(Path(sys.argv[1]))
    print(json.dumps({"users": n_users, "items": n_items, "ratings": n_ratings}))
