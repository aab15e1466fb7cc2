"""Models and towns that a process keeps from one drive to the next: loading them costs more than a short drive.

What is kept holds nothing of a drive once it is reset, so that a drive is the same in a fresh process (a test drives
twice and compares).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from vadv2_core.scene import RoadMap
from vadv2_core.vehicle import VehicleConfig

_RENDERERS: dict[tuple[str, str, VehicleConfig], Any] = {}
KEPT_TOWNS = 2
"""Renderers kept at a time; each holds a city in memory."""


@lru_cache(maxsize=2)
def _loaded(config: Any) -> Any:
    from vadv2_driver import Driver

    return Driver(config)


def fresh_driver(config: Any) -> Any:
    """A `vadv2_driver.Driver` of this configuration as at the start of a drive, its weights loaded once a process."""
    from vadv2_control import Controller

    driver = _loaded(config)
    driver.reset()
    # Engagement and a latched emergency outlive a reset; a drive begins without either.
    driver.controller = Controller(config.control, config.vehicle)
    return driver


def kept_renderer(road: RoadMap, rig: Path, vehicle: VehicleConfig) -> Any:
    """The renderer of a town for a rig file, its city built once a process."""
    from vadv2_core.camera import load_rig
    from vadv2_sim.renderer import Renderer

    key = (road.hash, str(rig), vehicle)
    if key not in _RENDERERS:
        while len(_RENDERERS) >= KEPT_TOWNS:
            _RENDERERS.pop(next(iter(_RENDERERS))).close()
        _RENDERERS[key] = Renderer(road, load_rig(rig), vehicle=vehicle)
    return _RENDERERS[key]
