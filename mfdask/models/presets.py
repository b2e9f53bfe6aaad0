"""Parameters of ALS that are good for data of a size without tuning; `docs/models.md` says how."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # Some 100,000 ratings. Found by `mfdask tune` on ml-latest-small's validation part.
    "small": {
        "n_factors": 10,
    },
    # Some tens of millions: the paper's, measured there on 32 million real ratings.
    "large": {
        "n_factors": 20,
        "fidelity": 0.002,
        "factor_reg": 0.05,
        "bias_reg": 0.015,
        "n_sweeps": 20,
    },
}
