"""Inject shared accounts: the ratings of two users in one account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from mfdask.downstream.events import Events, active_days
from mfdask.downstream.inject.injected import Injected
from mfdask.downstream.inject.sessions import cut_at_pauses
from mfdask.errors import InputError
from mfdask.kernels.types import Int64s
from mfdask.parameters import Parametrised, parameter


@dataclass(frozen=True)
class SharingPlan(Parametrised):
    """Pairs of users whose accounts become one."""

    n_accounts: int = parameter(
        10, "Merge pairs of users into N accounts.", "sharing", at_least=1, metavar="N"
    )
    style: Literal["mixed", "handover"] = parameter(
        "mixed",
        "mixed: two people share the account all along; handover: the second takes over one day.",
        "sharing-style",
    )
    partners: Literal["random", "alike"] = parameter(
        "random", "Who is merged: any two users, or two who were active at about the same time."
    )
    min_days: int = parameter(3, "Fewest active days of both users.", at_least=1)
    min_share: float = parameter(
        0.2, "Smallest share of either in the account's ratings.", above=0, at_most=0.5
    )


def inject_sharing(events: Events, n_items: int, plan: SharingPlan, seed: int) -> Injected:
    """Give about half of a user's rating moments to another user, who leaves the data otherwise.

    The moments are those of whole sessions; into them goes a run of the partner's ratings, in
    their order. So the account's calendar is exactly what it was, and the number of its ratings
    too. What the account's owner has rated, the partner does not rate again.

    Parameters
    ----------
    events : Events
        Of all users, from `all_events`.
    n_items : int
    plan : SharingPlan
    seed : int

    Returns
    -------
    Injected
        With the table `shared_accounts`: `user`, `partner` (whose row is empty now), `style`,
        `cut` (the partner's first rating, in seconds), `n_ratings` of the account, `share` of
        these that are the partner's.

    Raises
    ------
    InputError
        If the plan makes no sense, or too few users were active long enough.
    """
    random = np.random.default_rng([seed, 2])
    accounts: list[_Account] = []
    for user, partner in _pairs(events, plan, random).tolist():
        account = _merged(events, user, partner, plan.style, random)
        if plan.min_share <= account.share <= 1 - plan.min_share:
            accounts.append(account)
        if len(accounts) == plan.n_accounts:
            return Injected(_assembled(events, accounts), n_items, _truth(events, accounts, plan))
    raise InputError(
        f"{plan.n_accounts} shared accounts: in these data only {len(accounts)} can be made of "
        f"users with {plan.min_days} active days and two sessions; ask for fewer"
    )


class _Account(NamedTuple):
    """Places of the events that go, and of those that come at their moments."""

    user: int
    partner: int
    n_ratings: int
    gone: Int64s
    come: Int64s

    @property
    def share(self) -> float:
        """The partner's, of all ratings of the account."""
        return len(self.come) / self.n_ratings


def _pairs(events: Events, plan: SharingPlan, random: np.random.Generator) -> Int64s:
    """Pair all users that were active long enough, int64 (pairs, 2), no user twice."""
    able = random.permutation(
        np.flatnonzero(active_days(events.indptr, events.timestamps) >= plan.min_days)
    )
    if plan.partners == "alike":
        middle = (events.indptr[able] + events.indptr[able + 1]) // 2
        able = able[np.argsort(events.timestamps[middle], kind="stable")]
    pairs = able[: len(able) // 2 * 2].reshape(-1, 2)
    return random.permuted(random.permutation(pairs), axis=1)


def _merged(
    events: Events, user: int, partner: int, style: str, random: np.random.Generator
) -> _Account:
    """Choose which of the account's ratings go, and a run of the partner's for their moments."""
    own = np.arange(*events.indptr[user : user + 2])
    other = np.arange(*events.indptr[partner : partner + 2])
    other = other[~np.isin(events.items[other], events.items[own])]
    gone = _half_of(cut_at_pauses(own, events.timestamps[own]), style, random)
    n = min(len(gone), len(other))
    first = random.integers(0, len(other) - n + 1)
    return _Account(user, partner, len(own), gone[len(gone) - n :], other[first : first + n])


def _half_of(sessions: list[Int64s], style: str, random: np.random.Generator) -> Int64s:
    """Take whole sessions with about half of the ratings: any of them, or the last ones."""
    order = np.arange(len(sessions))[::-1]
    if style == "mixed":
        order = random.permutation(order)
    sizes = np.cumsum([len(sessions[k]) for k in order])
    if len(sizes) < 2:
        return sessions[0][:0]
    n = 1 + int(np.argmin(np.abs(sizes[:-1] - sizes[-1] / 2)))
    return np.concatenate([sessions[k] for k in np.sort(order[:n])])


def _assembled(events: Events, accounts: list[_Account]) -> Events:
    """Put what comes in the place of what goes, and empty the partners' rows."""
    source = np.arange(len(events.items))
    for account in accounts:
        source[account.gone] = account.come
        own = slice(*events.indptr[account.user : account.user + 2])
        order = np.lexsort((events.items[source[own]], events.timestamps[own]))
        source[own] = source[own][order]  # ratings of the same second go by item
    changed = events._replace(
        items=events.items[source], ratings=events.ratings[source], held_out=events.held_out[source]
    )
    return changed.only(~np.isin(events.users, [account.partner for account in accounts]))


def _truth(events: Events, accounts: list[_Account], plan: SharingPlan) -> dict[str, pd.DataFrame]:
    """Return whose ratings are in which account."""
    lines = [
        {
            "user": account.user,
            "partner": account.partner,
            "style": plan.style,
            "cut": int(events.timestamps[account.gone[0]]),
            "n_ratings": account.n_ratings,
            "share": account.share,
        }
        for account in accounts
    ]
    return {"shared_accounts": pd.DataFrame(lines)}
