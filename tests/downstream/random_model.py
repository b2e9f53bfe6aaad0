"""Models that nobody has trained, of any size and rating scale."""

import numpy as np
import pandas as pd

from mfdask.models import ALS, FactorModel
from mfdask.models.base import DataFacts, Sweep
from mfdask.models.design import pack


def random_model(seed, n_users=300, n_items=200, n_factors=5, scale=(0.5, 5.0)):
    """Return a model whose predictions fill the rating scale, and run over it a little."""
    random = np.random.default_rng(seed)
    span = scale[1] - scale[0]

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    def side(n):
        factors = normal(n, n_factors) * np.sqrt(0.3 * span / np.sqrt(max(n_factors, 1)))
        return pack(0.2 * span * normal(n), factors.astype(np.float32))

    return FactorModel(
        estimator=ALS(n_factors=n_factors, **ALS.presets["large"]),
        mean=float(np.mean(scale)),
        user_rows=side(n_users),
        item_rows=side(n_items),
        users=pd.DataFrame(
            {
                "user_id": random.permutation(10 * n_users)[:n_users],
                "n_train": np.ones(n_users, int),
            }
        ),
        items=pd.DataFrame(
            {
                "item_id": random.permutation(10 * n_items)[:n_items],
                "title": "t",
                "year": 2000,
                "genres": "",
                "n_train": np.ones(n_items, int),
            }
        ),
        data=DataFacts("random", f"{seed:064x}", 9, 0, *scale),
        history=[Sweep(1, seed, 0.0, None, 0.0, 0.0)],
    )
