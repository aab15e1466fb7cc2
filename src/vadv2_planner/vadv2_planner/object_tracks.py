"""How fast others go, by where they were: positions of the last second and a half, a straight line through them.

A network that sees four frames says where somebody is to half a metre and how fast he goes to some metres a second; of
a bus that stands it may say for seconds that it drives off. Where it has been does not agree with that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.tokens import SceneTokens

_WINDOW = 1.5
"""s of positions that count."""
_SPAN, _POSITIONS = 0.7, 4
"""s and positions from which on a velocity is measured."""
_LOST = 0.6
"""s; who was not seen for so long is another."""
_GATE = 2.5
"""m from where he would be, within which it is he."""


@dataclass(slots=True)
class _Track:
    """Somebody: stamps and places (n, 2) in odom, oldest first, and his velocity in odom as far as it is known."""

    velocity: Array
    stamps: list[Stamp] = field(default_factory=list)
    places: list[Array] = field(default_factory=list)

    def expected(self, stamp: Stamp) -> Array:
        """Where he would be."""
        place: Array = self.places[-1] + self.velocity * seconds_between(self.stamps[-1], stamp)
        return place

    def saw(self, stamp: Stamp, place: Array, said: Array) -> bool:
        """Take in a position and the velocity that perception says; whether the velocity is now a measured one."""
        self.stamps.append(stamp)
        self.places.append(place)
        while seconds_between(self.stamps[0], stamp) > _WINDOW:
            del self.stamps[0], self.places[0]
        t = np.array([seconds_between(s, stamp) for s in self.stamps])
        measured = len(t) >= _POSITIONS and float(t[0]) >= _SPAN
        if measured:
            past, places = -(t - t.mean()), np.array(self.places)
            self.velocity = (past[:, None] * (places - places.mean(0))).sum(0) / float((past**2).sum())
        else:
            self.velocity = said
        return measured


class ObjectTracks:
    """Follows objects from frame to frame."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks = []

    def velocities(self, tokens: SceneTokens, sure: NDArray[np.bool_]) -> Array:
        """(n, 2) m/s over ground in base_link axes: measured where somebody was followed long enough, else as said.

        Args:
            tokens: Of the frame.
            sure: (n,) which objects are there.
        """
        objects, pose, stamp = tokens.objects, tokens.ego.pose, tokens.stamp
        found: Array = objects.velocities.astype(np.float64)
        c, s = np.cos(pose.yaw), np.sin(pose.yaw)
        to_odom = np.array([[c, -s], [s, c]])
        places = pose.transform(objects.boxes[:, :2].astype(np.float64))
        self._tracks = [t for t in self._tracks if 0.0 < seconds_between(t.stamps[-1], stamp) <= _LOST]
        free, kept = list(self._tracks), []
        # The surest first: objects come in that order, and a second sight of the same one finds his track taken.
        for i in np.flatnonzero(sure):
            said = to_odom @ found[i]
            apart = [float(np.hypot(*(t.expected(stamp) - places[i]))) for t in free]
            nearest = int(np.argmin(apart)) if apart else -1
            track = free.pop(nearest) if apart and apart[nearest] < _GATE else _Track(said)
            if track.saw(stamp, places[i], said):
                found[i] = to_odom.T @ track.velocity
            kept.append(track)
        self._tracks = kept + free
        return found
