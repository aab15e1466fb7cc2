"""Red lights that a drive met: what violations are a share of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vadv2_core.scene import Scene
from vadv2_core.taxonomy import SignalState, StopControl

APPROACH = 40.0
"""m before a stop line, within which its red light is met."""


def red_light_encounters(world: Any, scenes: Sequence[Scene], progress: Sequence[float]) -> int:
    """Signalled stop lines on the route whose light was red while the ego's front was within 40 m before them.

    Green lights that were driven past are not counted: passing one is no merit.
    """
    along = np.asarray(progress) + world.config.vehicle.length - world.config.vehicle.rear_overhang
    lanes = set(world.route.lane_ids)
    met = 0
    for line in world.road.stop_lines:
        if line.control is not StopControl.SIGNAL or line.lane not in lanes:
            continue
        place, offset = world.route.project(*line.segment.mean(axis=0))
        if abs(offset) > 4.0:
            continue
        close = np.flatnonzero((along >= place - APPROACH) & (along <= place + 1.0))
        met += any(scenes[i].signals.get(line.signal or "") is SignalState.RED for i in close)
    return met
