"""Injection of known attacks, shared accounts and drifts into ratings, to test detectors."""

from mfdask.downstream.inject.attacks import KINDS, AttackPlan, inject_attack
from mfdask.downstream.inject.drift import DriftPlan, inject_drift
from mfdask.downstream.inject.injected import Injected
from mfdask.downstream.inject.mix import MixPlan, inject_mix
from mfdask.downstream.inject.plan import InjectionPlan, inject
from mfdask.downstream.inject.sharing import SharingPlan, inject_sharing
from mfdask.downstream.inject.write import write_injected

__all__ = [
    "KINDS",
    "AttackPlan",
    "DriftPlan",
    "Injected",
    "InjectionPlan",
    "MixPlan",
    "SharingPlan",
    "inject",
    "inject_attack",
    "inject_drift",
    "inject_mix",
    "inject_sharing",
    "write_injected",
]
