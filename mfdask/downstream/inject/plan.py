"""Inject several things into the same ratings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mfdask.downstream.events import Events
from mfdask.downstream.inject.attacks import AttackPlan, inject_attack
from mfdask.downstream.inject.drift import DriftPlan, inject_drift
from mfdask.downstream.inject.injected import Injected
from mfdask.downstream.inject.mix import MixPlan, inject_mix
from mfdask.downstream.inject.sharing import SharingPlan, inject_sharing
from mfdask.errors import InputError, require


@dataclass(frozen=True)
class InjectionPlan:
    """What is to be injected; None leaves it out."""

    sharing: SharingPlan | None = None
    mix: MixPlan | None = None
    drift: DriftPlan | None = None
    attack: AttackPlan | None = None

    @property
    def needs_times(self) -> bool:
        """Whether it cannot be put into ratings without times: anything but an attack."""
        return self.attack is None or self != InjectionPlan(attack=self.attack)


def inject(events: Events, n_items: int, plan: InjectionPlan, seed: int) -> Injected:
    """Inject all that is planned, in the order of the plan; no item is chosen for two things.

    What is drawn for one thing hangs on the seed and on what was injected before it.

    Parameters
    ----------
    events : Events
        Of all users, from `all_events`.
    n_items : int
    plan : InjectionPlan
    seed : int
        Not negative.

    Returns
    -------
    Injected
        With the tables of all injections.

    Raises
    ------
    InputError
        If nothing is planned, or something that the data cannot carry.
    """
    if plan == InjectionPlan():
        raise InputError("nothing to inject; give at least one of an attack, sharing, drift or mix")
    require(seed >= 0, "seed", seed, "0 or more")
    made = Injected(events, n_items, {})
    if plan.sharing is not None:
        made = inject_sharing(events, n_items, plan.sharing, seed)
    steps: tuple[Callable[..., Injected], ...] = inject_mix, inject_drift, inject_attack
    for own, step in zip((plan.mix, plan.drift, plan.attack), steps, strict=True):
        if own is not None:
            tables = made.truth.values()
            taken = {int(item) for table in tables if "item" in table for item in table["item"]}
            last = step(made.events, n_items, own, seed, exclude=taken)
            made = Injected(last.events, n_items, {**made.truth, **last.truth})
    return made
