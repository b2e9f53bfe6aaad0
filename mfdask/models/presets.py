"""Parameters of ALS that are good for data of a size without tuning; `docs/models.md` says how."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # Some 100,000 ratings: the best of 120 trials on a validation part of ml-latest-small's.
    "small": {
        "n_factors": 20,
        "n_sweeps": 20,
        "fidelity": 0.002,
        "factor_reg": 0.006,
        "bias_reg": 0.0026,
        "item_factor_reg": 0.021,
        "item_bias_reg": 0.0037,
        "reg_scaling": 0.18,
    },
    # Some tens of millions: the paper's, which it found by a grid search on 32 million real ones.
    "large": {
        "n_factors": 20,
        "n_sweeps": 20,
        "fidelity": 0.002,
        "factor_reg": 0.05,
        "bias_reg": 0.015,
    },
}
