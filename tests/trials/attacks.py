"""Detection rates of the attack detector on injected attacks.

The detector of this project stands beside three of the literature: RDMA, DegSim and VarSelect.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata

from mfdask.downstream.anomalies.attacks import Attacks, suspected_attacks
from mfdask.downstream.events import Events
from mfdask.downstream.inject import KINDS, AttackPlan, Injected, inject_attack
from mfdask.kernels.types import Bools, Float64s
from mfdask.models import ALS, FactorModel
from mfdask.progress import Progress, silent
from mfdask.shards import Dataset
from tests.trials.profiles import (
    SUSPICIOUS,
    nearest_similarities,
    profile_features,
)

BASELINES = ("rdma", "deg_sim", "varselect")
#: The model that the prediction shift is measured with.
_MODEL = ALS(n_factors=10, n_sweeps=10)


def attack_trials(
    events: Events,
    n_items: int,
    kinds: Sequence[str] = KINDS,
    sizes: Sequence[float] = (0.01, 0.03, 0.05, 0.1),
    windows: Sequence[float] = (7.0, 30.0),
    directions: Sequence[str] = ("push", "nuke"),
    seeds: Sequence[int] = range(10),
    progress: Progress = silent,
) -> pd.DataFrame:
    """Inject every kind of attack in every form, and return how it was found.

    Parameters
    ----------
    events : Events
        Of all users.
    n_items : int
    kinds, sizes, windows, directions : sequences
        Of the attacks, see `AttackPlan`; windows in days.
    seeds : sequence of int
    progress : Progress, optional

    Returns
    -------
    DataFrame
        One line an attack: its `kind, direction, size, window_days, seed`, `n_attackers`; then for
        each detector (`bursts`, `rdma`, `deg_sim`, `varselect`) the columns of `ranking_of` with
        its name before them; `target_found`, `n_items` and `n_users` suspected, `precision` and
        `recall` of these users; and `shift_attacked` and `shift_cleaned`: stars by which the
        target's mean prediction for genuine users moved from that of the clean ratings, with the
        attack and without the suspected users.
    """
    plans = list(itertools.product(seeds, kinds, directions, sizes, windows))
    clean = _Clean.of(events, n_items)
    lines = []
    for done, (seed, kind, direction, size, window) in enumerate(plans, 1):
        plan = AttackPlan(kind, direction, size, window)  # type: ignore[arg-type]
        injected = inject_attack(events, n_items, plan, seed)
        named = {"kind": kind, "direction": direction, "size": size, "window_days": window}
        lines.append(named | {"seed": seed} | _trial(injected, clean))
        progress("trials", done, len(plans), f"{kind} {direction} {size:g}")
    return pd.DataFrame(lines)


class _Clean(NamedTuple):
    """What all attacks on the same ratings share: worked out once.

    Attributes
    ----------
    model : FactorModel
    nearest : float64 (users, neighbours)
        See `nearest_similarities`.
    """

    model: FactorModel
    nearest: Float64s

    @classmethod
    def of(cls, events: Events, n_items: int) -> _Clean:
        injected = Injected(events, n_items, {})
        return cls(_learn(injected), nearest_similarities(_matrix(injected).astype(np.float64)))


def _trial(injected: Injected, clean: _Clean) -> dict[str, Any]:
    """Look for one attack, with every detector."""
    attackers = injected.truth["attack_users"]
    attacker = np.zeros(injected.n_users, bool)
    attacker[attackers["user"]] = True
    found = suspected_attacks(injected.events, injected.n_items)
    events = injected.users, injected.items, injected.ratings
    direction = attackers["direction"].iloc[0]
    features = profile_features(
        *events, injected.n_users, injected.n_items, direction, clean.nearest
    )
    line: dict[str, Any] = {"n_attackers": len(attackers)}
    for name, scores in {
        "bursts": found.scores.users,
        **{name: SUSPICIOUS[name] * features[name].to_numpy() for name in BASELINES},
    }.items():
        line |= {f"{name}_{key}": value for key, value in ranking_of(scores, attacker).items()}
    suspect = np.zeros(injected.n_users, bool)
    suspect[found.users["user"]] = True
    line |= _suspects(found, injected, attacker)
    return line | _shifts(injected, attacker, suspect, clean.model)


def ranking_of(scores: Float64s, attacker: Bools) -> dict[str, float]:
    """Return how well scores tell attackers from genuine users.

    `auc`; `precision_at_m`: the share of attackers among as many users of the highest scores as
    there are; `recall_at_1`: the share of attackers that score above the 99th percentile of genuine
    users. Of equal scores the genuine users' come first, and no score counts as the lowest.
    """
    scores = np.nan_to_num(scores, nan=-np.inf, posinf=np.finfo(np.float64).max)
    m, n = int(attacker.sum()), len(scores)
    ranks = rankdata(scores)[attacker].sum()
    first = np.lexsort((attacker, -scores))[:m]
    bar = np.quantile(scores[~attacker], 0.99, method="higher")
    return {
        "auc": float((ranks - m * (m + 1) / 2) / (m * (n - m))),
        "precision_at_m": float(attacker[first].mean()),
        "recall_at_1": float((scores[attacker] > bar).mean()),
    }


def _suspects(found: Attacks, injected: Injected, attacker: Bools) -> dict[str, Any]:
    users = found.users["user"].unique()
    right = int(attacker[users].sum())
    targets = injected.truth["attacked_items"]["item"]
    return {
        "target_found": bool(targets.isin(found.items["item"]).all()),
        "n_items": found.items["item"].nunique(),
        "n_users": len(users),
        "precision": right / len(users) if len(users) else np.nan,
        "recall": right / attacker.sum(),
    }


def _shifts(
    injected: Injected, attacker: Bools, suspect: Bools, clean: FactorModel
) -> dict[str, float]:
    """Return how far the targets' predictions moved, in stars."""
    targets = injected.truth["attacked_items"]["item"].to_numpy()
    attacked = _learn(injected)
    cleaned = _learn_without(injected, attacker, suspect, attacked, clean)
    before, with_all, without = (
        _mean_prediction(model, targets, len(clean.users)) for model in (clean, attacked, cleaned)
    )
    return {"shift_attacked": with_all - before, "shift_cleaned": without - before}


def _learn_without(
    injected: Injected, attacker: Bools, suspect: Bools, attacked: FactorModel, clean: FactorModel
) -> FactorModel:
    """Learn from the ratings of those who are not suspected, unless a model of these is there.

    Users without ratings change nothing: a row rests on its own ratings and its own first values.
    """
    if not suspect.any():
        return attacked
    if np.array_equal(suspect, attacker):
        return clean
    return _learn(injected, ~suspect[injected.users])


def _learn(injected: Injected, kept: Bools | None = None) -> FactorModel:
    return _MODEL.fit(Dataset.from_csr(_matrix(injected, kept)))


def _matrix(injected: Injected, kept: Bools | None = None) -> sparse.csr_array:
    """Return the ratings that are kept as a matrix, float32 (users, items)."""
    which = slice(None) if kept is None else kept
    pairs = (injected.users[which], injected.items[which])
    shape = (injected.n_users, injected.n_items)
    return sparse.csr_array((injected.ratings[which], pairs), shape=shape)


def _mean_prediction(model: FactorModel, items: npt.NDArray[Any], n_users: int) -> float:
    """Return the mean prediction of some items for the first `n_users` users."""
    users, rows = np.meshgrid(np.arange(n_users, dtype=np.int32), items.astype(np.int32))
    return float(model.predict_rows(users.ravel(), rows.ravel()).mean())


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds and directions, a line for each kind, size and window.

    Parameters
    ----------
    trials : DataFrame
        From `attack_trials`.

    Returns
    -------
    DataFrame
        `kind, size, window_days, trials`, the AUC of each detector, of the project's also
        `lowest_auc`, `precision_at_m`, `recall_at_1`; `target_found`, `precision` and `recall` of
        suspected users; and the mean length of both shifts.
    """
    each = trials.assign(
        shift_attacked=trials["shift_attacked"].abs(), shift_cleaned=trials["shift_cleaned"].abs()
    )
    columns = {
        "trials": ("seed", "size"),
        "auc": ("bursts_auc", "mean"),
        "lowest_auc": ("bursts_auc", "min"),
        **{name: (f"{name}_auc", "mean") for name in BASELINES},
        "precision_at_m": ("bursts_precision_at_m", "mean"),
        "recall_at_1": ("bursts_recall_at_1", "mean"),
        **{
            name: (name, "mean")
            for name in ("target_found", "precision", "recall", "shift_attacked", "shift_cleaned")
        },
    }
    return each.groupby(["kind", "size", "window_days"]).agg(**columns).reset_index()
