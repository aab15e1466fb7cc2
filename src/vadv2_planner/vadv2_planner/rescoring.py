"""What perception says against a future: whom it would meet, which red light it would drive over.

A score is learned from one recorded future a frame, and says little of the other nineteen. Where they lie, and where
others are, is known. As in DiffusionDrive's nuScenes head (Liao et al. 2025), whose futures that meet a predicted box
come last; here the boxes are carried on at their velocity, as it is told or was measured (`object_tracks.py`), and the
next signal on the way is asked too. What was not there in the frame before is not believed yet, as a tracker would not:
braking for it throws the ego about.

A red light is waited for some metres before its line: at the line the near lamp is above the pictures, and what is left
to read is a far one among those of the crossing road (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import AgentClass
from vadv2_core.tokens import SceneObjects, SceneTokens
from vadv2_core.trajectory import PLAN_RATE_HZ
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.config import RescoringConfig
from vadv2_planner.light_track import LightTrack, followed_light
from vadv2_planner.object_tracks import ObjectTracks
from vadv2_planner.stopping import eased

_CIRCLES = 5
"""The footprint is covered by so many circles of its width; the rear two are left out: who runs into them is behind."""
_BEHIND = 2
_STRIDE = 2
"""Points of a plan from one asked for to the next: 0.2 s."""
_STANDING = 0.3
"""m/s, below which the ego meets nobody."""
_ROOM = 1.0
"""m before the place where somebody is met in which to come to rest."""
_MEMORY = 0.6
"""s; a frame before that is older, or none, confirms everything."""
_BEGUN = 1.4
"""Share of the hardest stop up to which a stop that was begun is gone on with."""
_NAMES = {int(kind): kind.name.lower().replace("_", " ") for kind in AgentClass}


@dataclass(frozen=True, slots=True)
class _Before:
    """The frame before: where everything was (n, 2) in odom."""

    stamp: Stamp
    centres: Array


@dataclass(frozen=True, slots=True)
class Objection:
    """What speaks against a future.

    Attributes:
        meets: Whether it is somebody that is met; else a light.
        grade: How grave it is beside others of its kind: the nearer somebody is met, the farther beyond the line.
        words: For people.
        within: m within which it would have to come to rest.
    """

    meets: bool
    grade: float
    words: str
    within: float


def _in_words(kind: int) -> str:
    # A class that is none of ours is no reason to plan nothing.
    name = _NAMES.get(kind, "object")
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _way(points: Array) -> Array:
    """(modes, n) m along each future from where the ego is."""
    steps = np.diff(points[..., 1:3], axis=1, prepend=np.zeros((len(points), 1, 2)))
    return np.asarray(np.hypot(steps[..., 0], steps[..., 1]).cumsum(1))


class Rescorer:
    """Holds futures against what perception says of others and of the next signal, in two frames in a row."""

    def __init__(self, config: RescoringConfig, vehicle: VehicleConfig) -> None:
        self.config = config
        self.vehicle = vehicle
        self._before: _Before | None = None
        self._tracks = ObjectTracks()
        self._light: LightTrack | None = None
        self._stopping = False

    def reset(self) -> None:
        """Forget the frames before."""
        self._before = None
        self._tracks.reset()
        self._light = None
        self._stopping = False

    @property
    def held(self) -> float:
        """Probability that the next light holds, as of the last frame; 0 for none."""
        return 0.0 if self._light is None else self._light.held

    def objections(self, points: Array, tokens: SceneTokens | None, speed: float) -> tuple[Objection | None, ...]:
        """The gravest objection to each future.

        Args:
            points: (modes, n, 6) [t, x, y, yaw, v, a] in base_link at the frame's stamp.
            tokens: Of the frame; None says nothing.
            speed: m/s of the ego now.
        """
        none: tuple[Objection | None, ...] = (None,) * len(points)
        if tokens is None:
            return none
        # Patience asks for the light too, whoever else is not listened to.
        self._light = followed_light(self._light, tokens)
        if not self.config.enabled:
            return none
        count = min(int(self.config.horizon * PLAN_RATE_HZ), points.shape[1])
        near = points[:, _STRIDE - 1 : count : _STRIDE]
        before, self._before = self._before, self._remembered(tokens)
        if before is not None and not 0.0 < seconds_between(before.stamp, tokens.stamp) <= _MEMORY:
            before = None
        sure = self._believed(tokens, before)
        going = self._tracks.velocities(tokens, self._there(tokens.objects))
        # Where he has been tells late that somebody brakes, and what perception says may be early: the slower is taken.
        going[:, 0] = np.minimum(going[:, 0], tokens.objects.velocities[:, 0])
        met = self._met(near, tokens.objects, sure, going)
        self._stopping = self._stops_for(self._light, speed)
        over = self._over_line(near, self._light, speed) if self._stopping else none
        return tuple(m or o for m, o in zip(met, over, strict=True))

    def order(self, confidences: Array, objections: Sequence[Objection | None]) -> list[int]:
        """Futures from the first to be tried to the last: unopposed by confidence, then the least grave."""

        def rank(mode: int) -> tuple[int, float, float]:
            objection = objections[mode]
            if objection is None:
                return 0, 0.0, -float(confidences[mode])
            return 1 + objection.meets, objection.grade, -float(confidences[mode])

        return sorted(range(len(confidences)), key=rank)

    def _remembered(self, tokens: SceneTokens) -> _Before:
        centres = tokens.ego.pose.transform(tokens.objects.boxes[:, :2].astype(np.float64))
        return _Before(tokens.stamp, centres)

    def _believed(self, tokens: SceneTokens, before: _Before | None) -> NDArray[np.bool_]:
        """(n,) which objects are sure enough, and near where one was in the frame before."""
        objects = tokens.objects
        sure = self._there(objects)
        if before is None or not sure.any():
            return np.asarray(sure)
        if not len(before.centres):
            return np.zeros_like(sure)
        moved = objects.velocities.astype(np.float64) * seconds_between(before.stamp, tokens.stamp)
        were = tokens.ego.pose.transform(objects.boxes[:, :2].astype(np.float64) - moved)
        apart = np.hypot(*(were[:, None] - before.centres[None]).transpose(2, 0, 1)).min(1)
        return np.asarray(sure & (apart < self.config.same_within))

    def _there(self, objects: SceneObjects) -> NDArray[np.bool_]:
        # Who is behind now is carried on through the ego, where in truth he would brake.
        return np.asarray((objects.confidence >= self.config.min_confidence) & (objects.boxes[:, 0] > 0.0))

    def _met(
        self, points: Array, objects: SceneObjects, sure: NDArray[np.bool_], going: Array
    ) -> list[Objection | None]:
        boxes, velocities = objects.boxes[sure].astype(np.float64), going[sure]
        if not len(boxes) or not points.shape[1]:
            return [None] * len(points)
        t = points[0, :, 0]
        centres = boxes[None, :, :2] + t[:, None, None] * velocities[None]
        apart = self._distance(points, centres, boxes) - 0.5 * self.vehicle.width
        hit = (apart < -self.config.overlap) & (points[..., 4] > _STANDING)[..., None]
        kinds, way = objects.classes[sure], _way(points)
        found: list[Objection | None] = []
        for mode, along in zip(hit, way, strict=True):
            if not mode.any():
                found.append(None)
                continue
            step = int(mode.any(1).argmax())
            kind = _in_words(int(kinds[int(mode[step].argmax())]))
            # At the point before they do not yet meet.
            within = max(float(along[step - 1]) - _ROOM, 0.0) if step else 0.0
            found.append(Objection(True, -within, f"meets {kind} in {t[step]:.1f} s", within))
        return found

    def _distance(self, points: Array, centres: Array, boxes: Array) -> Array:
        """(modes, n, objects) m between the footprint's circles' centres and moving boxes, the nearest, signed.

        Args:
            points: (modes, n, 6).
            centres: (n, objects, 2) of the boxes at the points' times.
            boxes: (objects, 5).
        """
        radius = 0.5 * self.vehicle.width
        along = np.linspace(radius, max(self.vehicle.length - radius, radius), _CIRCLES)[_BEHIND:]
        along = along - self.vehicle.rear_overhang
        heading = np.stack([np.cos(points[..., 3]), np.sin(points[..., 3])], -1)
        circles = points[..., None, 1:3] + heading[..., None, :] * along[:, None]
        gap = circles[..., None, :] - centres[None, :, None]
        c, s = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
        ahead = np.abs(c * gap[..., 0] + s * gap[..., 1]) - 0.5 * boxes[:, 3]
        aside = np.abs(c * gap[..., 1] - s * gap[..., 0]) - 0.5 * boxes[:, 4]
        outside = np.hypot(np.maximum(ahead, 0.0), np.maximum(aside, 0.0))
        signed = outside + np.minimum(np.maximum(ahead, aside), 0.0)
        return np.asarray(signed.min(-2))

    def _stops_for(self, light: LightTrack, speed: float) -> bool:
        """Who is past the line, or cannot stop before it any more, drives on: to stop on the junction helps nobody."""
        line = light.distance + self.config.line_margin
        hardest = self.config.hardest_stop * (_BEGUN if self._stopping else 1.0)
        return light.held >= self.config.min_confidence and line > 0.0 and speed**2 <= 2.0 * hardest * line

    def _over_line(self, points: Array, light: LightTrack, speed: float) -> tuple[Objection | None, ...]:
        early = eased(light.distance - self.config.line_view, speed)
        return self._beyond(points, max(min(light.distance, early), 0.0), "over the stop line at a red light")

    def _beyond(self, points: Array, within: float, words: str) -> tuple[Objection | None, ...]:
        """Objections to futures that do not come to rest within so many m."""
        room = within + self.config.line_margin
        way = _way(points)
        over = way > room
        found: list[Objection | None] = [None] * len(points)
        for mode in np.flatnonzero(over.any(1)):
            time = float(points[mode, int(over[mode].argmax()), 0])
            found[mode] = Objection(False, float(way[mode, -1] - room), f"{words} in {time:.1f} s", within)
        return tuple(found)
