"""Every scenario by name."""

from __future__ import annotations

from vadv2_core.errors import InputError
from vadv2_sim.scenario import FreeDrive, Scenario
from vadv2_sim.scenarios_junctions import (
    EmergencyCrossing,
    Merge,
    RedLight,
    Roundabout,
    StopSign,
    UnprotectedLeft,
)
from vadv2_sim.scenarios_lanes import Construction, LaneChange, StoppedBus
from vadv2_sim.scenarios_people import Cyclist, Jaywalker, PedestrianCrossing
from vadv2_sim.scenarios_senses import Accident, CameraFault, TextCommand, WeatherDrive
from vadv2_sim.scenarios_vehicles import CutIn, EmergencyBehind, HardBrake, WrongWay

SCENARIOS: dict[str, type[Scenario]] = {
    cls.info.name: cls
    for cls in (
        FreeDrive,
        RedLight,
        StopSign,
        UnprotectedLeft,
        PedestrianCrossing,
        Jaywalker,
        CutIn,
        HardBrake,
        StoppedBus,
        Construction,
        EmergencyBehind,
        EmergencyCrossing,
        Accident,
        WrongWay,
        Cyclist,
        Roundabout,
        Merge,
        LaneChange,
        TextCommand,
        WeatherDrive,
        CameraFault,
    )
}
"""Scenario classes by name; ``free`` is plain traffic, the other twenty are the named scenarios."""


def scenario_type(name: str) -> type[Scenario]:
    """A scenario's class by name.

    Raises:
        InputError: for an unknown name.
    """
    if name not in SCENARIOS:
        raise InputError(f"unknown scenario {name!r}", "scenario", f"one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def make_scenario(name: str, seed: int, values: dict[str, float] | None = None) -> Scenario:
    """A scenario by name, its parameters drawn from a seed or set by hand.

    Raises:
        InputError: for an unknown name or parameter.
    """
    return scenario_type(name)(seed, values)
