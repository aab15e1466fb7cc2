"""What the slots of a frame say in plain values: the objects, lights and lines that the reasoner was shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.language.statements import (
    IntentionStatement,
    ObjectStatement,
    Zone,
    motion_of,
    spoken_distance,
    zone_of,
)
from vadv2_core.taxonomy import AgentClass, AgentIntention, MapElementClass, SignalState, Weather
from vadv2_core.vehicle import VehicleConfig
from vadv2_vlm.slots import MAP_POINTS, RANGE, SceneSlots

SURE = 0.5
"""Confidence from which on something counts as seen."""
SURE_OBJECT = 0.9
"""The same of an object: a query that finds nothing counts a tenth in training (`QueryLossConfig.nothing`), so that 0.9
is even odds."""
_STANDING = 0.8
"""m/s, below which a perceived velocity is none: up to there standing may be said of who moves (`motions_near`).
Somebody on foot then goes where he faces: most walk, and of most slow walkers perception says that they stand."""
_FRONT = VehicleConfig().length - VehicleConfig().rear_overhang
"""m from the rear axle to the front bumper, from which the narrator measures distances on the way."""
_WORKS = (AgentClass.TRAFFIC_CONE, AgentClass.BARRIER)
_BESIDE = 6.0
"""m beside the ego's axis within which a crossing, or a closed lane, is on its way."""


@dataclass(frozen=True, slots=True)
class PerceivedObject:
    """An object slot.

    Attributes:
        cls: What it is.
        x, y: Its centre in base_link, m.
        vx, vy: Its velocity in base_link axes, m/s over ground.
        yaw: Where it faces, rad.
        intention: What it is likelier than not to do; UNKNOWN where nothing is.
        confidence: In [0, 1].
    """

    cls: AgentClass
    x: float
    y: float
    vx: float
    vy: float
    yaw: float
    intention: AgentIntention
    confidence: float

    @property
    def distance(self) -> float:
        """From the rear axle, m."""
        return float(np.hypot(self.x, self.y))

    def statement(self) -> ObjectStatement:
        """It in words."""
        vx, vy = self.vx, self.vy
        if self.cls is AgentClass.PEDESTRIAN and np.hypot(vx, vy) < _STANDING:
            vx, vy = float(np.cos(self.yaw)), float(np.sin(self.yaw))
        motion = motion_of(vx, vy, _STANDING)
        return ObjectStatement(self.cls, zone_of(self.x, self.y), spoken_distance(self.distance), motion)

    def intends(self) -> IntentionStatement:
        """What it is about to do, in words; of an UNKNOWN intention there are none."""
        return IntentionStatement(self.cls, zone_of(self.x, self.y), self.intention)


@dataclass(frozen=True, slots=True)
class Perceived:
    """A frame's slots; distances from the front bumper, m.

    Attributes:
        speed: Of the ego, m/s.
        objects: Of confidence `SURE_OBJECT`, as the slots order them.
        signal: State of the next light on the way; None for none.
        stop_line: Distance to the next stop line; None for none.
        crossings: Distances to the crossings on the way.
        works: Distance to the first cone or barrier ahead, not far aside; None for none.
        clear: Distance to the vehicle ahead or to whoever is straight ahead; infinite for nobody.
        weather: The likeliest.
    """

    speed: float
    objects: tuple[PerceivedObject, ...]
    signal: SignalState | None
    stop_line: float | None
    crossings: tuple[float, ...]
    works: float | None
    clear: float
    weather: Weather


def _objects(rows: NDArray[np.float32]) -> tuple[PerceivedObject, ...]:
    classes, intentions = len(AgentClass), len(AgentIntention)
    found = []
    for row in rows:
        there, confidence, x, y = row[classes + intentions : classes + intentions + 4]
        if there < 0.5 or confidence < SURE_OBJECT:
            continue
        vx, vy = 10.0 * row[-4:-2]
        cosine, sine = row[-8:-6]
        intends = row[classes : classes + intentions]
        found.append(
            PerceivedObject(
                AgentClass(int(row[:classes].argmax())),
                float(RANGE * x),
                float(RANGE * y),
                float(vx),
                float(vy),
                float(np.arctan2(sine, cosine)),
                # Of eight intentions the likeliest may be unlikely; who then says nothing says nothing wrong.
                AgentIntention(int(intends.argmax())) if intends.max() >= SURE else AgentIntention.UNKNOWN,
                float(confidence),
            )
        )
    return tuple(found)


def _crossings(rows: NDArray[np.float32]) -> tuple[float, ...]:
    classes = len(MapElementClass)
    first = classes + len(SignalState)
    found = []
    for row in rows:
        there, confidence = row[first + 2 * MAP_POINTS : first + 2 * MAP_POINTS + 2]
        if there < 0.5 or confidence < SURE or int(row[:classes].argmax()) != MapElementClass.CROSSING:
            continue
        points = RANGE * row[first : first + 2 * MAP_POINTS].reshape(MAP_POINTS, 2)
        distance = float(points[:, 0].mean()) - _FRONT
        if distance >= 0.0 and float(np.abs(points[:, 1]).min()) < _BESIDE:
            found.append(distance)
    return tuple(sorted(found))


def perceived(slots: SceneSlots) -> Perceived:
    """The slots of a frame, read back (`vadv2_vlm.slots.scene_slots` wrote them)."""
    ahead = slots.ahead.astype(np.float32)
    states = len(SignalState)
    signal = ahead[:states]
    stop_confidence, stop = ahead[states], ahead[states + 1]
    lead_confidence, gap = ahead[states + 4], ahead[states + 5]
    weather = ahead[states + 10 : states + 10 + len(Weather)]
    objects = _objects(slots.objects.astype(np.float32))
    works = [max(o.x - _FRONT, 0.0) for o in objects if o.cls in _WORKS and o.x > 0.0 and abs(o.y) < _BESIDE]
    clear = [o.x - _FRONT for o in objects if zone_of(o.x, o.y) is Zone.AHEAD]
    clear += [RANGE * float(gap / lead_confidence)] if lead_confidence >= SURE else []
    seen = 1.0 - signal[int(SignalState.UNKNOWN)] >= SURE
    return Perceived(
        speed=float(10.0 * slots.ego[0]),
        objects=objects,
        signal=SignalState(1 + int(signal[1:].argmax())) if seen else None,
        stop_line=max(RANGE * float(stop / stop_confidence), 0.0) if stop_confidence >= SURE else None,
        crossings=_crossings(slots.map.astype(np.float32)),
        works=min(works, default=None),
        clear=max(min(clear, default=float("inf")), 0.0),
        weather=Weather(int(weather.argmax())),
    )
