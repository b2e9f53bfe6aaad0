"""How many shared accounts could be listed by somebody who is told which sessions are whose."""

from __future__ import annotations

import numpy as np

from mfdask.downstream.anomalies.people import compare_people
from mfdask.downstream.anomalies.sessions import Sessions, find_sessions
from mfdask.downstream.anomalies.sharing import suspected_sharing
from mfdask.downstream.events import Events
from mfdask.downstream.inject import SharingPlan, inject_sharing
from mfdask.kernels.types import Bools, Float64s


def told_splits(
    events: Events, n_items: int, plan: SharingPlan, seed: int
) -> tuple[Float64s, Bools]:
    """Return the log evidence of the split of each judged account, and which are shared.

    Shared accounts are split as they were made. Half of the sessions of the others, drawn at
    random (the later half in a hand-over), is taken for the second person's.
    """
    made = inject_sharing(events, n_items, plan, seed)
    partners = made.truth["shared_accounts"].set_index("user")["partner"]
    sessions, random = find_sessions(made.events, n_items), np.random.default_rng(seed)
    people = compare_people(sessions)
    evidence, shared = [], []
    for user in suspected_sharing(made.events, n_items)["user"]:
        own = slice(*sessions.indptr[user : user + 2])
        if user in partners.index:
            theirs = _items_of(events, partners[user]) - _items_of(events, user)
            second = _mostly(theirs, made.events, sessions, own)
        else:
            place = np.arange(own.stop - own.start)
            place = place if plan.style == "handover" else random.permutation(place)
            second = place >= len(place) / 2
        if second.any() and not second.all():
            given = people.precision[own], people.means[own], people.variance
            evidence.append(split_evidence(second, *given))
            shared.append(user in partners.index)
    return np.array(evidence), np.array(shared)


def _mostly(theirs: set[int], events: Events, sessions: Sessions, own: slice) -> Bools:
    """Return which of some sessions are mostly of some items, bool (sessions,)."""
    inside = np.isin(events.items, list(theirs))
    ends = zip(sessions.first[own], sessions.n[own], strict=True)
    return np.array([inside[first : first + n].mean() > 0.5 for first, n in ends])


def _items_of(events: Events, user: int) -> set[int]:
    return set(events.items[slice(*events.indptr[[user, user + 1]])].tolist())


def split_evidence(
    second: Bools, precision: Float64s, means: Float64s, variance: Float64s
) -> float:
    """Return the log evidence for some sessions being another person's than the rest."""

    def log_evidence(which: Bools) -> Float64s:
        p = 1 + variance * precision[which].sum(axis=0)
        total = (precision * means)[which].sum(axis=0)
        return 0.5 * (variance * total**2 / p - np.log(p))

    both = np.ones(len(second), bool)
    return float((log_evidence(second) + log_evidence(~second) - log_evidence(both)).sum())


def most_found(evidence: Float64s, shared: Bools, precision: float = 0.8) -> float:
    """Return the largest share of shared ones in a list of this precision, cut anywhere."""
    right = np.cumsum(shared[np.argsort(-evidence, kind="stable")])
    good = right >= precision * np.arange(1, len(right) + 1)
    return float(right[good].max(initial=0) / max(shared.sum(), 1))
