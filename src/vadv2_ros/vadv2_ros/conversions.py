"""Messages of vadv2_msgs and the dataclasses of vadv2_core, both ways, exactly.

Every ``x_from_message`` also reads the messages that `rosbags` makes of the same types. Arrays read from a
message are views of its memory: treat them as read-only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vadv2_msgs import msg as messages

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.drive import DriveState, DriveStatus, VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.obstacles import Obstacles
from vadv2_core.reasoning import Reasoning, ReasoningEmbedding
from vadv2_core.taxonomy import Cause, DrivingAction, LateralAction, LongitudinalAction
from vadv2_core.tokens import AHEAD_VECTORS, SceneAhead, SceneMap, SceneObjects, SceneTokens
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_ros.fields import ODOM_FRAME, enum_value, flat, header, shaped, stamp_from_time, time_from_stamp


def _named(values: Mapping[str, float]) -> list[Any]:
    return [messages.NamedValue(name=name, value=float(value)) for name, value in values.items()]


def _unnamed(values: Sequence[Any]) -> dict[str, float]:
    return {str(v.name): float(v.value) for v in values}


def pose_to_message(pose: Pose2) -> Any:
    """`Pose2` to its message."""
    return messages.Pose2(x=float(pose.x), y=float(pose.y), yaw=float(pose.yaw))


def pose_from_message(message: Any) -> Pose2:
    """`Pose2` from its message."""
    return Pose2(float(message.x), float(message.y), float(message.yaw))


def tensor_to_message(tensor: NDArray[np.float16]) -> Any:
    """A half-precision tensor to ``Float16Tensor``."""
    bits = np.ascontiguousarray(tensor, dtype=np.float16).view(np.uint16)
    return messages.Float16Tensor(shape=list(tensor.shape), data=flat(bits, np.uint16))


def tensor_from_message(message: Any, where: str) -> NDArray[np.float16]:
    """A half-precision tensor from ``Float16Tensor``.

    Raises:
        InputError: where data and shape disagree.
    """
    bits = np.frombuffer(message.data, dtype=np.uint16)
    return shaped(bits, np.uint16, tuple(int(n) for n in message.shape), where).view(np.float16)


def ego_state_to_message(ego: EgoState) -> Any:
    """`EgoState` to its message."""
    return messages.EgoState(
        header=header(ego.stamp, ODOM_FRAME),
        pose=pose_to_message(ego.pose),
        velocity=[float(v) for v in ego.velocity],
        acceleration=[float(a) for a in ego.acceleration],
        yaw_rate=float(ego.yaw_rate),
        has_steering_angle=ego.steering_angle is not None,
        steering_angle=float(ego.steering_angle or 0.0),
    )


def ego_state_from_message(message: Any) -> EgoState:
    """`EgoState` from its message."""
    return EgoState(
        stamp=stamp_from_time(message.header.stamp),
        pose=pose_from_message(message.pose),
        velocity=(float(message.velocity[0]), float(message.velocity[1])),
        acceleration=(float(message.acceleration[0]), float(message.acceleration[1])),
        yaw_rate=float(message.yaw_rate),
        steering_angle=float(message.steering_angle) if message.has_steering_angle else None,
    )


def driving_command_to_message(command: DrivingCommand) -> Any:
    """`DrivingCommand` to its message."""
    return messages.DrivingCommand(
        header=header(command.stamp), text=command.text, action=int(command.action), distance=float(command.distance)
    )


def driving_command_from_message(message: Any) -> DrivingCommand:
    """`DrivingCommand` from its message.

    Raises:
        InputError: for an action that is not one.
    """
    action = enum_value(DrivingAction, message.action, "DrivingCommand.action")
    return DrivingCommand(stamp_from_time(message.header.stamp), str(message.text), action, float(message.distance))


def route_to_message(route: Route) -> Any:
    """`Route` to its message."""
    points = np.asarray(route.points, dtype=np.float64)
    return messages.Route(
        header=header(route.stamp, ODOM_FRAME),
        x=flat(points[:, 0], np.float64),
        y=flat(points[:, 1], np.float64),
        lane_ids=list(route.lane_ids),
        speed_limit=float(route.speed_limit),
    )


def route_from_message(message: Any) -> Route:
    """`Route` from its message.

    Raises:
        InputError: for fewer than two points, coordinates that do not pair up or are not finite.
    """
    x = np.asarray(message.x, dtype=np.float64)
    points = np.stack([x, shaped(message.y, np.float64, x.shape, "Route.y")], axis=1)
    if len(points) < 2 or not np.isfinite(points).all():
        raise InputError(f"{len(points)} points", "Route", "at least 2, all finite")
    lanes = tuple(str(lane) for lane in message.lane_ids)
    return Route(stamp_from_time(message.header.stamp), points, lanes, float(message.speed_limit))


def _objects_to_message(objects: SceneObjects) -> Any:
    return messages.SceneObjects(
        classes=flat(objects.classes, np.int32),
        confidence=flat(objects.confidence, np.float32),
        boxes=flat(objects.boxes, np.float32),
        velocities=flat(objects.velocities, np.float32),
        intentions=flat(objects.intentions, np.int32),
        intention_confidence=flat(objects.intention_confidence, np.float32),
    )


def _objects_from_message(message: Any) -> SceneObjects:
    n, where = len(message.classes), "SceneTokens.objects"
    return SceneObjects(
        classes=shaped(message.classes, np.int32, (n,), where),
        confidence=shaped(message.confidence, np.float32, (n,), where),
        boxes=shaped(message.boxes, np.float32, (n, 5), where),
        velocities=shaped(message.velocities, np.float32, (n, 2), where),
        intentions=shaped(message.intentions, np.int32, (n,), where),
        intention_confidence=shaped(message.intention_confidence, np.float32, (n,), where),
    )


def _map_to_message(scene_map: SceneMap) -> Any:
    return messages.SceneMap(
        classes=flat(scene_map.classes, np.int32),
        confidence=flat(scene_map.confidence, np.float32),
        points_per_element=int(scene_map.points.shape[1]),
        points=flat(scene_map.points, np.float32),
        signal_states=flat(scene_map.signal_states, np.int32),
        signal_confidence=flat(scene_map.signal_confidence, np.float32),
        relevant=flat(scene_map.relevant, np.float32),
    )


def _map_from_message(message: Any) -> SceneMap:
    m, p, where = len(message.classes), int(message.points_per_element), "SceneTokens.map"
    return SceneMap(
        classes=shaped(message.classes, np.int32, (m,), where),
        confidence=shaped(message.confidence, np.float32, (m,), where),
        points=shaped(message.points, np.float32, (m, p, 2), where),
        signal_states=shaped(message.signal_states, np.int32, (m,), where),
        signal_confidence=shaped(message.signal_confidence, np.float32, (m,), where),
        relevant=shaped(message.relevant, np.float32, (m,), where),
    )


def _ahead_to_message(ahead: SceneAhead) -> Any:
    vectors = {name: flat(getattr(ahead, name), np.float32) for name in AHEAD_VECTORS}
    numbers = {name: float(getattr(ahead, name)) for name in SceneAhead.__slots__ if name not in AHEAD_VECTORS}
    return messages.SceneAhead(**vectors, **numbers)


def _ahead_from_message(message: Any) -> SceneAhead:
    parts: dict[str, Any] = {
        name: shaped(getattr(message, name), np.float32, (size,), f"SceneTokens.ahead.{name}")
        for name, size in AHEAD_VECTORS.items()
    }
    parts |= {name: float(getattr(message, name)) for name in SceneAhead.__slots__ if name not in AHEAD_VECTORS}
    return SceneAhead(**parts)


def scene_tokens_to_message(tokens: SceneTokens) -> Any:
    """`SceneTokens` to its message."""
    return messages.SceneTokens(
        header=header(tokens.stamp),
        tokens=tensor_to_message(tokens.tokens),
        queries=tensor_to_message(tokens.queries),
        objects=_objects_to_message(tokens.objects),
        map=_map_to_message(tokens.map),
        ahead=_ahead_to_message(tokens.ahead),
        aux=tensor_to_message(tokens.aux),
        ego=ego_state_to_message(tokens.ego),
        k=flat(tokens.k, np.float64),
        t_base_camera=flat(tokens.t_base_camera, np.float64),
        camera_stamps=[time_from_stamp(int(s)) for s in tokens.camera_stamps],
        t_anchor_camera_time=flat(tokens.t_anchor_camera_time, np.float64),
        camera_valid=[bool(v) for v in tokens.camera_valid],
        novelty=float(tokens.novelty),
        encoder_hash=tokens.encoder_hash,
        model_id=tokens.model_id,
    )


def scene_tokens_from_message(message: Any) -> SceneTokens:
    """`SceneTokens` from its message.

    Raises:
        InputError: where an array does not have the size its neighbours ask for.
    """
    n = len(message.camera_valid)
    return SceneTokens(
        stamp=stamp_from_time(message.header.stamp),
        tokens=tensor_from_message(message.tokens, "SceneTokens.tokens"),
        queries=tensor_from_message(message.queries, "SceneTokens.queries"),
        objects=_objects_from_message(message.objects),
        map=_map_from_message(message.map),
        ahead=_ahead_from_message(message.ahead),
        aux=tensor_from_message(message.aux, "SceneTokens.aux"),
        ego=ego_state_from_message(message.ego),
        k=shaped(message.k, np.float64, (n, 3, 3), "SceneTokens.k"),
        t_base_camera=shaped(message.t_base_camera, np.float64, (n, 4, 4), "SceneTokens.t_base_camera"),
        camera_stamps=np.array([stamp_from_time(t) for t in message.camera_stamps], dtype=np.int64),
        t_anchor_camera_time=shaped(
            message.t_anchor_camera_time, np.float64, (n, 3, 3), "SceneTokens.t_anchor_camera_time"
        ),
        camera_valid=np.asarray(message.camera_valid, dtype=np.bool_),
        novelty=float(message.novelty),
        encoder_hash=str(message.encoder_hash),
        model_id=str(message.model_id),
    )


def embedding_to_message(embedding: ReasoningEmbedding) -> Any:
    """`ReasoningEmbedding` to its message."""
    return messages.ReasoningEmbedding(
        header=header(embedding.stamp),
        embedding=flat(embedding.embedding, np.float32),
        model_id=embedding.model_id,
        decision=flat(embedding.decision, np.float32),
    )


def embedding_from_message(message: Any) -> ReasoningEmbedding:
    """`ReasoningEmbedding` from its message."""
    count = len(LongitudinalAction) if len(message.decision) else 0
    return ReasoningEmbedding(
        stamp_from_time(message.header.stamp),
        np.asarray(message.embedding, np.float32),
        str(message.model_id),
        shaped(message.decision, np.float32, (count,), "ReasoningEmbedding.decision"),
    )


def reasoning_to_message(reasoning: Reasoning) -> Any:
    """`Reasoning` to its message."""
    return messages.Reasoning(
        header=header(reasoning.stamp),
        scene_description=reasoning.scene_description,
        intent=reasoning.intent,
        cause=int(reasoning.cause),
        flag_probabilities=flat(reasoning.flag_probabilities, np.float32),
        trace=reasoning.trace,
        longitudinal=int(reasoning.longitudinal),
        longitudinal_confidence=float(reasoning.longitudinal_confidence),
        lateral=int(reasoning.lateral),
        lateral_confidence=float(reasoning.lateral_confidence),
        model_id=reasoning.model_id,
        inference_time=float(reasoning.inference_time),
        truncated=bool(reasoning.truncated),
    )


def reasoning_from_message(message: Any) -> Reasoning:
    """`Reasoning` from its message.

    Raises:
        InputError: for a cause or meta-action that is not one.
    """
    return Reasoning(
        stamp=stamp_from_time(message.header.stamp),
        scene_description=str(message.scene_description),
        intent=str(message.intent),
        cause=enum_value(Cause, message.cause, "Reasoning.cause"),
        flag_probabilities=np.asarray(message.flag_probabilities, dtype=np.float32),
        trace=str(message.trace),
        longitudinal=enum_value(LongitudinalAction, message.longitudinal, "Reasoning.longitudinal"),
        longitudinal_confidence=float(message.longitudinal_confidence),
        lateral=enum_value(LateralAction, message.lateral, "Reasoning.lateral"),
        lateral_confidence=float(message.lateral_confidence),
        model_id=str(message.model_id),
        inference_time=float(message.inference_time),
        truncated=bool(message.truncated),
    )


def trajectory_to_message(trajectory: Trajectory) -> Any:
    """`Trajectory` to its message."""
    rows = np.asarray(trajectory.points, dtype=np.float64).tolist()
    return messages.Trajectory(
        header=header(trajectory.stamp),
        origin_pose=pose_to_message(trajectory.origin_pose),
        points=[messages.TrajectoryPoint(t=t, x=x, y=y, yaw=yaw, v=v, a=a) for t, x, y, yaw, v, a in rows],
        confidence=float(trajectory.confidence),
        rationale=trajectory.rationale,
    )


def trajectory_from_message(message: Any) -> Trajectory:
    """`Trajectory` from its message."""
    rows = [(p.t, p.x, p.y, p.yaw, p.v, p.a) for p in message.points]
    return Trajectory(
        stamp_from_time(message.header.stamp),
        pose_from_message(message.origin_pose),
        shaped(rows, np.float64, (len(rows), 6), "Trajectory.points"),
        float(message.confidence),
        str(message.rationale),
    )


def candidates_to_message(candidates: TrajectoryCandidates) -> Any:
    """`TrajectoryCandidates` to its message."""
    return messages.TrajectoryCandidates(
        header=header(candidates.stamp),
        origin_pose=pose_to_message(candidates.origin_pose),
        modes=int(candidates.points.shape[0]),
        points_per_mode=int(candidates.points.shape[1]),
        points=flat(candidates.points, np.float64),
        confidences=flat(candidates.confidences, np.float64),
        chosen=messages.TrajectoryCandidates.NONE if candidates.chosen is None else int(candidates.chosen),
        reason=candidates.reason,
        objections=list(candidates.objections),
        rationale=candidates.rationale,
        sampler=candidates.sampler,
        steps=int(candidates.steps),
        ages=_named(candidates.ages),
        degraded=list(candidates.degraded),
        model_id=candidates.model_id,
    )


def candidates_from_message(message: Any) -> TrajectoryCandidates:
    """`TrajectoryCandidates` from its message.

    Raises:
        InputError: where the arrays do not have the announced sizes or the chosen mode is not there.
    """
    modes, count, chosen = int(message.modes), int(message.points_per_mode), int(message.chosen)
    if chosen >= modes:
        raise InputError(f"mode {chosen} is chosen", "TrajectoryCandidates", f"one of {modes}")
    if len(message.objections) not in (0, modes):
        raise InputError(
            f"{len(message.objections)} objections", "TrajectoryCandidates", f"one a mode, {modes}, or none"
        )
    return TrajectoryCandidates(
        stamp=stamp_from_time(message.header.stamp),
        origin_pose=pose_from_message(message.origin_pose),
        points=shaped(message.points, np.float64, (modes, count, 6), "TrajectoryCandidates.points"),
        confidences=shaped(message.confidences, np.float64, (modes,), "TrajectoryCandidates.confidences"),
        chosen=None if chosen < 0 else chosen,
        reason=str(message.reason),
        rationale=str(message.rationale),
        sampler=str(message.sampler),
        steps=int(message.steps),
        ages=_unnamed(message.ages),
        degraded=tuple(str(d) for d in message.degraded),
        model_id=str(message.model_id),
        objections=tuple(str(o) for o in message.objections),
    )


def vehicle_command_to_message(command: VehicleCommand) -> Any:
    """`VehicleCommand` to its message."""
    return messages.VehicleCommand(
        header=header(command.stamp),
        trajectory_stamp=time_from_stamp(command.trajectory_stamp),
        steering_angle=float(command.steering_angle),
        steering_rate=float(command.steering_rate),
        acceleration=float(command.acceleration),
        speed=float(command.speed),
    )


def vehicle_command_from_message(message: Any) -> VehicleCommand:
    """`VehicleCommand` from its message."""
    return VehicleCommand(
        stamp_from_time(message.header.stamp),
        stamp_from_time(message.trajectory_stamp),
        float(message.steering_angle),
        float(message.steering_rate),
        float(message.acceleration),
        float(message.speed),
    )


def drive_status_to_message(status: DriveStatus) -> Any:
    """`DriveStatus` to its message."""
    return messages.DriveStatus(
        header=header(status.stamp),
        state=int(status.state),
        cause=status.cause,
        engaged=bool(status.engaged),
        ages=_named(status.ages),
        timings=_named(status.timings),
        terms=_named(status.terms),
    )


def drive_status_from_message(message: Any) -> DriveStatus:
    """`DriveStatus` from its message.

    Raises:
        InputError: for a state that is not one.
    """
    return DriveStatus(
        stamp_from_time(message.header.stamp),
        enum_value(DriveState, message.state, "DriveStatus.state"),
        str(message.cause),
        bool(message.engaged),
        _unnamed(message.ages),
        _unnamed(message.timings),
        _unnamed(message.terms),
    )


_OBSTACLE_FIELDS = ("x", "y", "yaw", "length", "width", "vx", "vy")


def obstacles_to_message(obstacles: Obstacles) -> Any:
    """`Obstacles` to its message."""
    rows = np.concatenate([obstacles.boxes, obstacles.velocities], axis=1)
    items = [
        messages.Obstacle(**dict(zip(_OBSTACLE_FIELDS, map(float, row), strict=True))) for row in rows.reshape(-1, 7)
    ]
    return messages.Obstacles(header=header(obstacles.stamp, ODOM_FRAME), obstacles=items)


def obstacles_from_message(message: Any) -> Obstacles:
    """`Obstacles` from its message.

    Raises:
        InputError: for a number that is not finite.
    """
    rows = np.array([[getattr(o, name) for name in _OBSTACLE_FIELDS] for o in message.obstacles], dtype=np.float64)
    rows = rows.reshape(-1, 7)
    if not np.isfinite(rows).all():
        raise InputError("a number is not finite", "Obstacles", "finite boxes and velocities")
    return Obstacles(stamp_from_time(message.header.stamp), rows[:, :5].copy(), rows[:, 5:].copy())
