"""How far the manoeuvre of a command still is: it is announced once, and come nearer to from then on.

A commander speaks when the command changes, and its topic is latched: the distance in a command is of its stamp. A
stop 18 m ahead that stayed 18 m ahead would never be reached.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.stamps import seconds_between

_LOST = 1.0
"""s without a frame, or back in time, after which places say nothing about the way between, and speed must do."""


class CommandTrack:
    """Carries the distance of the newest command on by the way that the ego drove since its stamp."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the command and the way."""
        self._command: DrivingCommand | None = None
        self._last: EgoState | None = None
        self._way = 0.0

    def carried(self, command: DrivingCommand, ego: EgoState) -> DrivingCommand:
        """The command with its distance as of the ego's stamp, not below 0 m.

        Args:
            command: The newest, as it was announced.
            ego: At the frame's stamp, in odom.
        """
        last, self._last = self._last, ego
        since = seconds_between(command.stamp, ego.stamp)
        if self._command != command:
            # Between its stamp and this frame nobody looked; at its speed it came so far.
            self._command, self._way = command, max(since, 0.0) * max(ego.speed, 0.0)
        elif last is not None:
            between = seconds_between(last.stamp, ego.stamp)
            looked = 0.0 <= between <= _LOST
            moved = float(np.hypot(ego.pose.x - last.pose.x, ego.pose.y - last.pose.y))
            self._way += moved if looked else max(between, 0.0) * max(ego.speed, 0.0)
        return replace(command, distance=max(command.distance - self._way, 0.0)) if self._way > 0.0 else command
