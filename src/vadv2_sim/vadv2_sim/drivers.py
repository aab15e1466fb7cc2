"""Who may sit at the wheel without a camera: the expert, and the plain lane follower."""

from __future__ import annotations

from typing import Protocol

from vadv2_core.errors import InputError
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.trajectory import Trajectory
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.lane_follower import LaneFollower

SCENE_DRIVERS = ("expert", "lane_follower")
"""Drivers that read the Scene."""


class SceneDriver(Protocol):
    """What every driver on the Scene can do."""

    def plan(self, scene: Scene) -> Trajectory:
        """Eight seconds from a scene on."""
        ...


def make_scene_driver(name: str, road: RoadMap, vehicle: VehicleConfig) -> SceneDriver:
    """A driver by name.

    Raises:
        InputError: for an unknown name.
    """
    if name == "expert":
        from vadv2_sim.expert import Expert

        return Expert(road, vehicle)
    if name == "lane_follower":
        return LaneFollower(road, vehicle)
    raise InputError(f"unknown driver {name!r}", "--driver", f"one of {', '.join(SCENE_DRIVERS)}")
