"""Who has stood for long before nobody goes: futures that stand lose confidence the longer that lasts.

Few frames at rest are starts, so that to stand is always a likely future. A start that is missed is missed again with
the next frame, and one that was begun is broken off: without an end to it the ego stands before nobody for minutes.
What holds it all the same has its say: a red light, a command to stop, who drives across or walks ahead, and whom a
future would meet.
"""

from __future__ import annotations

import numpy as np

from vadv2_core.geometry import Array, Pose2
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import AgentClass
from vadv2_core.tokens import SceneObjects
from vadv2_core.trajectory import PLAN_RATE_HZ

CREPT = 6.0
"""m; who has come no farther than this still waits: a start that is broken off is none."""
_STANDS, _SOON = 2.0, 3.0
"""A future that goes no farther than so many m within so many s stands."""
_EASES, _LEAST = 4.0, 0.1
"""s in which a standing future's confidence falls to 1/e, and the share that it keeps."""
_LOST = 2.0
"""s without a frame, or back in time, after which waiting begins anew."""
_SURE = 0.5
"""Confidence from which on somebody is there."""
_MOVES = 1.0
"""m/s, from which on a vehicle moves."""
_DRIVERS, _WALKERS = (40.0, 15.0), (15.0, 6.0)
"""m ahead and beside within which who drives, and who walks or stands on foot, may still come across."""


def somebody_ahead(objects: SceneObjects) -> bool:
    """Whether somebody is seen for whom one would wait: who drives about ahead, or people close before the ego."""
    x, y = objects.boxes[:, 0], np.abs(objects.boxes[:, 1])
    there = (objects.confidence >= _SURE) & (x > 0.0)
    walks = np.isin(objects.classes, (int(AgentClass.PEDESTRIAN), int(AgentClass.BICYCLE)))
    drives = np.hypot(objects.velocities[:, 0], objects.velocities[:, 1]) > _MOVES
    near = np.where(walks, (x < _WALKERS[0]) & (y < _WALKERS[1]), drives & (x < _DRIVERS[0]) & (y < _DRIVERS[1]))
    return bool((there & near).any())


class Patience:
    """How long the ego has been waiting."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._place: Pose2 | None = None
        self._since: Stamp = 0
        self._last: Stamp = 0

    def waited(self, stamp: Stamp, pose: Pose2) -> float:
        """Seconds since the ego last came on by `CREPT`.

        Args:
            stamp: Of the frame.
            pose: Of the ego, in odom.
        """
        place = self._place
        fresh = place is not None and 0.0 <= seconds_between(self._last, stamp) <= _LOST
        if place is None or not fresh or np.hypot(pose.x - place.x, pose.y - place.y) > CREPT:
            self._place, self._since = pose, stamp
        self._last = stamp
        return seconds_between(self._since, stamp)


def urged(points: Array, beyond: float) -> Array:
    """(modes,) in (0, 1]: what each future's confidence is multiplied by.

    Args:
        points: (modes, n, 6) [t, x, y, yaw, v, a] in base_link.
        beyond: s by which the wait is longer than patience lasts; 0 or less urges nobody.
    """
    end = min(round(_SOON * PLAN_RATE_HZ), points.shape[1]) - 1
    stands = np.hypot(points[:, end, 1], points[:, end, 2]) < _STANDS
    return np.where(stands, max(np.exp(-max(beyond, 0.0) / _EASES), _LEAST), 1.0)
