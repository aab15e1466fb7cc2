"""The rule planner that progress is measured against, after PDM-Closed as the metric configures it (section 9).

Three paths (the centreline and one metre to each side) by five IDM policies, simulated and scored against a
constant-velocity forecast; the best is the reference. No human data is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vadv2_core.geometry import Array, Pose2, arc_length, heading_at, point_at, project_to_polyline
from vadv2_eval.pdms.metrics import ego_progress
from vadv2_eval.pdms.scene import (
    OBSERVATION_STEPS,
    PACIFICA,
    SCORED_STEPS,
    SIMULATION_DT,
    STATIC_TYPES,
    PdmsScene,
    PoseSequence,
    ScoredVehicle,
    Track,
)
from vadv2_eval.pdms.score import WEIGHTS_V1, drive, frames_needed, score_batch

OFFSETS = (0.0, -1.0, 1.0)
TARGET_FRACTIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
UNKNOWN_LIMIT = 15.0
NEAREST = {"vehicle": 50, "pedestrian": 25, "bicycle": 10}
NEAREST_STATIC = 50
RADIUS = 100.0
LEAD_STEPS = 2
"""Steps between two looks for the leading object."""


@dataclass(frozen=True, slots=True)
class IdmPolicy:
    """Intelligent driver model: target speed m/s, gap m, headway s, accelerations m/s^2."""

    target: float
    gap: float = 1.0
    headway: float = 1.5
    acceleration: float = 1.5
    deceleration: float = 3.0
    exponent: float = 10.0

    def accelerate(self, speed: float, gap: float, lead_speed: float) -> float:
        """Acceleration behind a leader ``gap`` m ahead; an infinite gap is a free road."""
        free = (speed / max(self.target, 0.1)) ** self.exponent
        wish = (
            self.gap
            + speed * self.headway
            + speed * (speed - lead_speed) / (2.0 * np.sqrt(self.acceleration * self.deceleration))
        )
        closing = (max(wish, 0.0) / max(gap, 0.1)) ** 2 if np.isfinite(gap) else 0.0
        return float(np.clip(self.acceleration * (1.0 - free - closing), -self.deceleration, self.acceleration))


def forecast(scene: PdmsScene, frames: int) -> tuple[Track, ...]:
    """The nearest objects seen at t = 0, driven on at constant velocity."""
    ego = scene.ego.rear_axle[:2]
    seen = [t for t in scene.tracks if t.observed[0]]
    distance = {t.token: float(np.linalg.norm(t.states[0, :2] - ego)) for t in seen}
    kept: list[Track] = []
    for kind, limit in (*NEAREST.items(), ("static", NEAREST_STATIC)):
        of_kind = [t for t in seen if (t.type in STATIC_TYPES if kind == "static" else t.type == kind)]
        near = sorted((t for t in of_kind if distance[t.token] <= RADIUS), key=lambda t: distance[t.token])
        kept += near[:limit]
    times = np.arange(frames) * OBSERVATION_STEPS * SIMULATION_DT
    tracks = []
    for track in kept:
        states = np.repeat(track.states[:1], frames, axis=0)
        if track.type not in STATIC_TYPES:
            states[:, :2] += times[:, None] * states[:, 3:5]
        tracks.append(replace(track, states=states))
    return tuple(tracks)


@dataclass(frozen=True, slots=True)
class _Obstacles:
    """Objects along one path: rear end and lateral reach by step, speed along the path."""

    rear: Array
    lateral: Array
    reach: Array
    speed: Array


def _obstacles(path: Array, tracks: tuple[Track, ...], scene: PdmsScene, steps: int, half_width: float) -> _Obstacles:
    times = np.arange(0, steps, LEAD_STEPS) * SIMULATION_DT
    rears, laterals, reaches, speeds = [], [], [], []
    for track in tracks:
        moving = track.type not in STATIC_TYPES
        velocity = track.states[0, 3:5] if moving else np.zeros(2)
        centre = track.states[0, :2] + times[:, None] * velocity
        s, lateral = project_to_polyline(path, centre)
        angle = track.states[0, 2] - heading_at(path, s)
        along = 0.5 * (np.abs(np.cos(angle)) * track.length + np.abs(np.sin(angle)) * track.width)
        across = 0.5 * (np.abs(np.sin(angle)) * track.length + np.abs(np.cos(angle)) * track.width)
        heading = heading_at(path, s)
        rears.append(s - along)
        laterals.append(np.abs(lateral))
        reaches.append(across + half_width)
        speeds.append(np.maximum(velocity[0] * np.cos(heading) + velocity[1] * np.sin(heading), 0.0))
    for polygon in scene.map.polygons:
        if scene.red_connectors and polygon.id in scene.red_connectors[0] and polygon.id in scene.map.route_lane_ids:
            s, _ = project_to_polyline(path, polygon.exterior)
            rears.append(np.full(len(times), s.min()))
            laterals.append(np.zeros(len(times)))
            reaches.append(np.full(len(times), half_width))
            speeds.append(np.zeros(len(times)))
    if not rears:
        empty = np.zeros((0, len(times)))
        return _Obstacles(empty, empty, empty, empty)
    return _Obstacles(np.stack(rears), np.stack(laterals), np.stack(reaches), np.stack(speeds))


def _follow(
    path: Array, start: float, speed: float, policy: IdmPolicy, things: _Obstacles, front: float, n: int
) -> Array:
    """(n,) arc lengths of the rear axle after each step of 0.1 s."""
    s, v = start, max(speed, 0.0)
    travelled = np.empty(n)
    gap, lead = np.inf, 0.0
    for k in range(n):
        if k % LEAD_STEPS == 0 and len(things.rear):
            i = k // LEAD_STEPS
            ahead = (things.lateral[:, i] <= things.reach[:, i]) & (things.rear[:, i] >= s)
            gaps = np.where(ahead, things.rear[:, i] - (s + front), np.inf)
            nearest = int(gaps.argmin())
            gap, lead = float(gaps[nearest]), float(things.speed[nearest, i])
        a = policy.accelerate(v, gap, lead)
        s += v * SIMULATION_DT
        gap -= (v - lead) * SIMULATION_DT
        v = max(v + a * SIMULATION_DT, 0.0)
        travelled[k] = s
    return travelled


def reference_proposals(
    scene: PdmsScene, *, limit: float = 0.0, vehicle: ScoredVehicle = PACIFICA, steps: int = SCORED_STEPS
) -> Array:
    """(15, steps, 3) proposals in the ego frame, 0.1 s apart; ``limit`` m/s, 0 for unknown."""
    pose = Pose2(*(float(v) for v in scene.ego.rear_axle))
    tracks = forecast(scene, frames_needed(steps))
    line = _spaced(scene.map.centerline)
    tangent = heading_at(line, arc_length(line))
    normal = np.column_stack([-np.sin(tangent), np.cos(tangent)])
    proposals = []
    for offset in OFFSETS:
        path = line + offset * normal
        start = float(project_to_polyline(path, (pose.x, pose.y))[0])
        things = _obstacles(path, tracks, scene, steps, 0.5 * vehicle.width)
        for fraction in TARGET_FRACTIONS:
            policy = IdmPolicy(target=fraction * (limit if limit > 0.0 else UNKNOWN_LIMIT))
            s = _follow(path, start, float(scene.ego.velocity[0]), policy, things, vehicle.front, steps)
            xy = pose.inverse_transform(point_at(path, s))
            proposals.append(np.column_stack([xy, heading_at(path, s) - pose.yaw]))
    return np.stack(proposals)


def _spaced(line: Array, every: float = 1.0) -> Array:
    """The polyline with points about one metre apart."""
    length = float(arc_length(line)[-1])
    return point_at(line, np.linspace(0.0, length, max(int(length / every) + 1, 2)))


def reference_plan(
    scene: PdmsScene, *, limit: float = 0.0, vehicle: ScoredVehicle = PACIFICA, steps: int = SCORED_STEPS
) -> PoseSequence:
    """The best of `reference_proposals`, scored against the constant-velocity forecast."""
    poses = reference_proposals(scene, limit=limit, vehicle=vehicle, steps=steps)
    imagined = replace(scene, tracks=forecast(scene, frames_needed(steps)))
    batch = drive(imagined, [(poses, SIMULATION_DT)], vehicle=vehicle, steps=steps)
    scores = score_batch(imagined, batch)
    product, raw = scores.contacts.value * scores.drivable_area, batch.progress
    best = int((product * raw).argmax())
    progress = ego_progress(raw, product, raw[best : best + 1], product[best : best + 1], multiplied=True)
    w = WEIGHTS_V1
    total = product * (
        w["ego_progress"] * progress
        + w["time_to_collision_within_bound"] * scores.ttc.value
        + w["comfort"] * scores.comfort
    )
    return PoseSequence(SIMULATION_DT, poses[int(total.argmax())])
