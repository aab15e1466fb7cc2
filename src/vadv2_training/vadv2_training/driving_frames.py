"""A drive's scenes as the arrays that training asks for: motion to learn, route, command, others' futures, answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.decision import Decision
from vadv2_core.geometry import Array, Pose2, wrap_angle
from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES, route_ahead
from vadv2_core.scene import Scene
from vadv2_core.stamps import NANOSECONDS
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_core.trajectory import PLAN_POINTS, PLAN_RATE_HZ
from vadv2_planner.batch import ego_features
from vadv2_planner.motion import present_motion
from vadv2_planner.text import command_ids
from vadv2_training.scene_targets import SceneTargets

MAX_OBJECTS, MAX_ELEMENTS, MAX_OTHERS = 24, 16, 16
"""Rows that targets and others' futures are padded to."""
OTHERS_STEP = 5
"""Others' futures are kept at every fifth point of a plan: 2 Hz."""
RECOVERY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Offset:
    """Where the ego stands instead of where it drove, in its base_link: m left and rad left of it."""

    lateral: float = 0.0
    yaw: float = 0.0

    @property
    def pose(self) -> Pose2:
        """As a pose in the driven base_link."""
        return Pose2(0.0, self.lateral, self.yaw)


def recovery(times: Array, lateral: float, yaw: float, speed: float) -> Array:
    """How an offset fades along the driven path: metres left of it at each time.

    A quintic from (lateral, lateral rate) to rest: the gentlest way back in `RECOVERY_SECONDS`, longer when slow, since
    a car that stands cannot move sideways.
    """
    seconds = RECOVERY_SECONDS * max(1.0, 5.0 / max(speed, 1.0))
    u = np.clip(times / seconds, 0.0, 1.0)
    rate = speed * np.sin(yaw) * seconds
    c = 10 * u**3 - 15 * u**4 + 6 * u**5
    d = u - 6 * u**3 + 8 * u**4 - 3 * u**5
    return np.asarray(lateral * (1.0 - c) + rate * d)


def future_of(poses: Array, times: Array, index: int, offset: Offset, speed: float) -> tuple[Array, Array]:
    """The motion to learn at a frame: (80, 3) x, y, yaw in the (offset) base_link, and (80,) 1 where it was driven.

    Args:
        poses: (n, 3) of the whole drive at its own rate, world.
        times: (n,) s.
        index: The frame.
        offset: Where the ego stands instead.
        speed: m/s at the frame.
    """
    ahead = np.arange(1, PLAN_POINTS + 1) / PLAN_RATE_HZ
    at = times[index] + ahead
    known = at <= times[-1] + 1e-6
    yaw = np.unwrap(poses[:, 2])
    xy = np.stack([np.interp(at, times, poses[:, 0]), np.interp(at, times, poses[:, 1])], -1)
    heading = np.interp(at, times, yaw)
    if offset.lateral or offset.yaw:
        moved = np.concatenate([[0.0], np.hypot(*np.diff(xy, axis=0, prepend=poses[index : index + 1, :2]).T).cumsum()])
        shift = recovery(np.concatenate([[0.0], ahead]), offset.lateral, offset.yaw, speed)
        xy = xy + shift[1:, None] * np.stack([-np.sin(heading), np.cos(heading)], -1)
        # The path turns by as much as its offset changes with the way: standing still it does not turn.
        slope = np.diff(shift) / np.maximum(np.diff(moved), 0.05)
        heading = heading + np.arctan(np.where(np.diff(moved) > 0.05, slope, 0.0))
    pose = Pose2(*poses[index]).compose(offset.pose)
    local = pose.inverse_transform(xy)
    return np.column_stack([local, wrap_angle(heading - pose.yaw)]), known.astype(np.float64)


def others_of(scenes: Sequence[Scene], times: Array, index: int, pose: Pose2) -> tuple[Array, Array]:
    """Where the nearest others will be: boxes (16, 16, 5) in base_link at 0.5 s, 1 s, ... 8 s; (16, 16) 1 where known.

    The first axis is time, the second the others; the truth of the drive, not a prediction.
    """
    steps = PLAN_POINTS // OTHERS_STEP
    boxes, known = np.zeros((steps, MAX_OTHERS, 5)), np.zeros((steps, MAX_OTHERS))
    here = scenes[index]
    near = sorted(here.agents, key=lambda a: (a.x - pose.x) ** 2 + (a.y - pose.y) ** 2)[:MAX_OTHERS]
    places = {agent.id: slot for slot, agent in enumerate(near)}
    wanted = times[index] + (np.arange(1, steps + 1) * OTHERS_STEP) / PLAN_RATE_HZ
    for step, time in enumerate(wanted):
        nearest = int(np.abs(times - time).argmin())
        if abs(times[nearest] - time) > 0.06:
            break
        for agent in scenes[nearest].agents:
            slot = places.get(agent.id)
            if slot is not None:
                x, y = pose.inverse_transform((agent.x, agent.y))
                boxes[step, slot] = x, y, float(wrap_angle(agent.yaw - pose.yaw)), agent.length, agent.width
                known[step, slot] = 1.0
    return boxes, known


def _padded(values: NDArray[Any], rows: int, fill: float = 0.0) -> NDArray[Any]:
    out = np.full((rows, *values.shape[1:]), fill, dtype=values.dtype)
    kept = values[:rows]
    out[: len(kept)] = kept
    return out


def target_arrays(targets: SceneTargets) -> dict[str, NDArray[Any]]:
    """Targets as fixed shapes; a row that holds nothing has ``object_known`` or ``map_known`` 0."""
    objects, elements = len(targets.object_class), len(targets.map_class)
    return {
        "object_known": _padded(np.ones(objects), MAX_OBJECTS),
        "object_class": _padded(targets.object_class, MAX_OBJECTS),
        "object_box": _padded(targets.object_box, MAX_OBJECTS),
        "object_velocity": _padded(targets.object_velocity, MAX_OBJECTS),
        "object_intention": _padded(targets.object_intention, MAX_OBJECTS),
        "map_known": _padded(np.ones(elements), MAX_ELEMENTS),
        "map_class": _padded(targets.map_class, MAX_ELEMENTS),
        "map_points": _padded(targets.map_points, MAX_ELEMENTS),
        "map_signal": _padded(targets.map_signal, MAX_ELEMENTS),
        "map_relevant": _padded(targets.map_relevant, MAX_ELEMENTS),
        "scene_signal": np.array(targets.signal),
        "scene_stop": targets.stop,
        "scene_lead": targets.lead,
        "scene_lane": targets.lane,
        "scene_lane_known": np.array(float(targets.lane_known)),
        "scene_flags": targets.flags,
        "scene_weather": np.array(targets.weather),
        "lamps": targets.lamps.astype(np.int8),
    }


def frame_arrays(
    scenes: Sequence[Scene],
    times: Array,
    index: int,
    offset: Offset,
    targets: SceneTargets,
    decision: Decision | None,
    lesson: tuple[Array, Array] | None = None,
) -> dict[str, NDArray[Any]]:
    """Everything but pictures of one frame of a drive.

    Args:
        scenes: The whole drive.
        times: (n,) s of its scenes.
        index: The frame.
        offset: Where the ego stands instead of where it drove.
        targets: Of the scene as seen from there.
        decision: The expert's; None where it is not known.
        lesson: What the expert would have driven from here (`expert_plans.expert_future`), where another drove; None
            learns what was driven.
    """
    scene = scenes[index]
    poses = np.array([[s.ego.pose.x, s.ego.pose.y, s.ego.pose.yaw] for s in scenes])
    pose = scene.ego.pose.compose(offset.pose)
    path, path_times = (poses, times) if lesson is None else lesson
    future, driven = future_of(path, path_times, index if lesson is None else 0, offset, scene.ego.speed)
    others, others_known = others_of(scenes, times, index, pose)
    way = route_ahead(scene.route, pose)
    velocity, acceleration = present_motion(scene.ego)
    action = decision or Decision(LongitudinalAction.UNKNOWN, LateralAction.UNKNOWN, Cause.UNKNOWN)
    arrays = {
        "stamps": np.array(scene.stamp),
        "pose": np.array([pose.x, pose.y, pose.yaw]),
        "future": future,
        "future_known": driven,
        "others": others,
        "others_known": others_known,
        "ego": ego_features(scene.ego),
        "velocity": np.asarray(velocity),
        "acceleration": np.asarray(acceleration),
        "aux": np.array(
            [scene.ego.speed, scene.ego.acceleration[0], scene.ego.yaw_rate, scene.ego.steering_angle or 0.0]
        ),
        "action": np.array(int(scene.command.action)),
        "distance": np.array([np.clip(scene.command.distance, 0.0, 200.0) / 50.0]),
        "text": command_ids(scene.command.text),
        "route": np.zeros((len(ROUTE_DISTANCES), ROUTE_FEATURES)) if way is None else way,
        "route_valid": np.array([float(way is not None)]),
        "decision": np.array([int(action.longitudinal), int(action.lateral), int(action.cause)]),
        **target_arrays(targets),
    }
    return {key: _stored(value) for key, value in arrays.items()}


def _stored(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values, dtype=np.float32) if values.dtype == np.float64 else values


def times_of(scenes: Sequence[Scene]) -> Array:
    """(n,) seconds since the first scene."""
    return np.array([(s.stamp - scenes[0].stamp) / NANOSECONDS for s in scenes])
