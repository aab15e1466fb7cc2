"""Every scenario by name."""

from __future__ import annotations

from vadv2_core.errors import InputError
from vadv2_sim.scenario import FreeDrive, Scenario

SCENARIOS: dict[str, type[Scenario]] = {cls.info.name: cls for cls in (FreeDrive,)}
"""Scenario classes by name."""


def make_scenario(name: str, seed: int, values: dict[str, float] | None = None) -> Scenario:
    """A scenario by name.

    Raises:
        InputError: for an unknown name or parameter.
    """
    if name not in SCENARIOS:
        raise InputError(f"unknown scenario {name!r}", "--scenario", f"one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name](seed, values)
