"""Ratings with known attacks, shared accounts and drifts in them, to test what finds these."""

from mfdask.downstream.inject.attacks import KINDS, AttackPlan, inject_attack
from mfdask.downstream.inject.injected import Injected

__all__ = ["KINDS", "AttackPlan", "Injected", "inject_attack"]
