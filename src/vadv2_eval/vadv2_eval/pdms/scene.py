"""What PDMS is computed from: the ego's start, the tracks at 2 Hz, the map, and the body that is scored."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array

SIMULATION_DT = 0.1
"""Seconds a simulated step."""
OBSERVATION_STEPS = 5
"""Simulated steps between two observations of a track (2 Hz)."""
SCORED_STEPS = 40
"""Steps of the NAVSIM horizon, 4 s."""

STATIC_TYPES = frozenset({"traffic_cone", "barrier", "czone_sign", "generic_object"})
AGENT_TYPES = frozenset({"vehicle", "pedestrian", "bicycle"})
DRIVABLE_LAYERS = frozenset({"ROADBLOCK", "INTERSECTION", "CARPARK_AREA", "DRIVABLE_AREA"})
LANE_LAYERS = frozenset({"LANE", "LANE_CONNECTOR"})
INTERSECTION_LAYER = "INTERSECTION"
LAYERS = DRIVABLE_LAYERS | LANE_LAYERS


@dataclass(frozen=True, slots=True)
class ScoredVehicle:
    """The body and wheel base the metric simulates; the default is NAVSIM's Chrysler Pacifica. Metres."""

    width: float = 2.297
    front: float = 4.049
    rear: float = 1.127
    wheel_base: float = 3.089

    @property
    def length(self) -> float:
        """Bumper to bumper."""
        return self.front + self.rear

    @property
    def centre_ahead(self) -> float:
        """Box centre ahead of the rear axle."""
        return 0.5 * (self.front - self.rear)


PACIFICA = ScoredVehicle()


@dataclass(frozen=True, slots=True)
class EgoStart:
    """The ego at time zero.

    Attributes:
        rear_axle: (3,) x, y, heading in the world.
        velocity: (2,) body frame, m/s.
        acceleration: (2,) body frame, m/s^2.
    """

    rear_axle: Array
    velocity: Array
    acceleration: Array


@dataclass(frozen=True, slots=True)
class MapPolygon:
    """One outline of a map layer: (n, 2) world points, not closed."""

    id: str
    layer: str
    exterior: Array


@dataclass(frozen=True, slots=True)
class ScoringMap:
    """The map around the ego: outlines, the centreline along the route (n, 2), ids of the lanes on the route."""

    polygons: tuple[MapPolygon, ...]
    centerline: Array
    route_lane_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Track:
    """Another object at 2 Hz.

    Attributes:
        token: Its name.
        type: One of `AGENT_TYPES` or `STATIC_TYPES`.
        length, width: Of its box, m.
        states: (frames, 5) x, y, heading, vx, vy of the box centre in the world; a row of NaN where not observed.
    """

    token: str
    type: str
    length: float
    width: float
    states: Array

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(frames,) whether it was seen."""
        return np.asarray(~np.isnan(self.states[:, 0]))


@dataclass(frozen=True, slots=True)
class PdmsScene:
    """Everything a proposal is scored against.

    Attributes:
        ego: Where it starts.
        map: Outlines, centreline, route.
        tracks: The other objects from t = 0 on.
        red_connectors: Per 2 Hz frame, ids of the lane connectors that are red (v2); may be empty.
    """

    ego: EgoStart
    map: ScoringMap
    tracks: tuple[Track, ...]
    red_connectors: tuple[frozenset[str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class PoseSequence:
    """A planned path: poses (n, 3) relative to the ego's rear axle at t = 0, the first at t = dt seconds."""

    dt: float
    poses: Array


@dataclass(frozen=True, slots=True)
class History:
    """The human's past for v2 history comfort: times (n,) s ending at 0; poses (n, 3) world; body-frame vectors."""

    times: Array
    poses: Array
    velocities: Array
    accelerations: Array


@dataclass(frozen=True, slots=True)
class PreviousFrame:
    """The frame before (v2 extended comfort): its ego, its candidate in that ego's frame, and the gap in seconds."""

    ego: EgoStart
    candidate: PoseSequence
    gap: float = 0.5


@dataclass(frozen=True, slots=True)
class SceneCase:
    """One case of the file format: a scene, one candidate, and what v2 needs beside them."""

    id: str
    tags: tuple[str, ...]
    scene: PdmsScene
    candidate: PoseSequence
    reference: PoseSequence
    human: PoseSequence
    history: History
    previous: PreviousFrame
