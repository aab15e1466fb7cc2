"""Obstacles of one moment, from whatever source a vehicle has, for the last check before the actuators."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp


@dataclass(frozen=True, slots=True)
class Obstacles:
    """Boxes of one moment in odom.

    Attributes:
        stamp: Their time.
        boxes: (n, 5) centre x, y, yaw, length, width.
        velocities: (n, 2) m/s, odom axes.
    """

    stamp: Stamp
    boxes: Array
    velocities: Array
