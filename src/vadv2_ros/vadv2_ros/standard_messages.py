"""Messages of others: odometry, paths, markers and transforms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry, Path
from numpy.typing import ArrayLike, NDArray

from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2, quaternion_from_yaw, yaw_from_quaternion
from vadv2_core.trajectory import Trajectory
from vadv2_ros.fields import BASE_FRAME, ODOM_FRAME, header, stamp_from_time


def odometry_from_ego_state(ego: EgoState) -> Odometry:
    """The part of an ego state that ``nav_msgs/Odometry`` holds: pose, velocity and yaw rate."""
    message = Odometry(header=header(ego.stamp, ODOM_FRAME), child_frame_id=BASE_FRAME)
    message.pose.pose.position.x, message.pose.pose.position.y = float(ego.pose.x), float(ego.pose.y)
    turn = message.pose.pose.orientation
    turn.x, turn.y, turn.z, turn.w = (float(v) for v in quaternion_from_yaw(ego.pose.yaw))
    message.twist.twist.linear.x, message.twist.twist.linear.y = (float(v) for v in ego.velocity)
    message.twist.twist.angular.z = float(ego.yaw_rate)
    return message


def ego_state_from_odometry(
    message: Any, acceleration: tuple[float, float] = (0.0, 0.0), steering_angle: float | None = None
) -> EgoState:
    """An ego state from odometry; acceleration and steering come from elsewhere.

    Raises:
        InputError: for numbers that are not finite or a quaternion that is no rotation.
    """
    position, turn = message.pose.pose.position, message.pose.pose.orientation
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    numbers = (position.x, position.y, turn.x, turn.y, turn.z, turn.w, linear.x, linear.y, angular.z)
    if not all(math.isfinite(v) for v in numbers):
        raise InputError("not finite", "odometry", "finite pose and twist")
    if abs(math.hypot(turn.x, turn.y, turn.z, turn.w) - 1.0) > 0.1:
        raise InputError("orientation is no unit quaternion", "odometry", "a rotation")
    return EgoState(
        stamp=stamp_from_time(message.header.stamp),
        pose=Pose2(float(position.x), float(position.y), yaw_from_quaternion(turn.x, turn.y, turn.z, turn.w)),
        velocity=(float(linear.x), float(linear.y)),
        acceleration=acceleration,
        yaw_rate=float(angular.z),
        steering_angle=steering_angle,
    )


def path_from_trajectory(trajectory: Trajectory) -> Path:
    """A trajectory as ``nav_msgs/Path`` in the odom frame, each pose with the time it is to be reached."""
    path = Path(header=header(trajectory.stamp, ODOM_FRAME))
    at = trajectory.origin_pose.transform(trajectory.points[:, 1:3])
    for (t, _, _, yaw, _, _), (x, y) in zip(trajectory.points, at, strict=True):
        pose = PoseStamped(header=header(trajectory.stamp + round(t * 1e9), ODOM_FRAME))
        pose.pose.position.x, pose.pose.position.y = float(x), float(y)
        turn = quaternion_from_yaw(float(yaw) + trajectory.origin_pose.yaw)
        orientation = pose.pose.orientation
        orientation.x, orientation.y, orientation.z, orientation.w = (float(v) for v in turn)
        path.poses.append(pose)
    return path


def quaternion_from_rotation(rotation: ArrayLike) -> tuple[float, float, float, float]:
    """(x, y, z, w) of a (3, 3) rotation matrix; the largest component is found first, so that none is divided by 0."""
    r = np.asarray(rotation, dtype=np.float64)
    diagonal = np.array([r[0, 0], r[1, 1], r[2, 2], r.trace()])
    i = int(np.argmax(diagonal))
    q = np.empty(4)
    if i == 3:
        q[:] = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], 1.0 + r.trace()
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        q[i] = 1.0 - r.trace() + 2.0 * r[i, i]
        q[j], q[k], q[3] = r[j, i] + r[i, j], r[k, i] + r[i, k], r[k, j] - r[j, k]
    q /= np.linalg.norm(q)
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def rotation_from_quaternion(x: float, y: float, z: float, w: float) -> NDArray[np.float64]:
    """(3, 3) rotation matrix of a quaternion of any length but 0.

    Raises:
        InputError: for a quaternion of length 0 or not finite.
    """
    q = np.array([x, y, z, w], dtype=np.float64)
    norm = float(np.linalg.norm(q))
    if not math.isfinite(norm) or norm < 1e-9:
        raise InputError(f"quaternion {q.tolist()}", "transform", "a rotation")
    x, y, z, w = (q / norm).tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def transform_from_matrix(matrix: ArrayLike, stamp: int, parent: str, child: str) -> TransformStamped:
    """A (4, 4) rigid transform that takes points of ``child`` to ``parent``."""
    m = np.asarray(matrix, dtype=np.float64)
    message = TransformStamped(header=header(stamp, parent), child_frame_id=child)
    shift, turn = message.transform.translation, message.transform.rotation
    shift.x, shift.y, shift.z = (float(v) for v in m[:3, 3])
    turn.x, turn.y, turn.z, turn.w = quaternion_from_rotation(m[:3, :3])
    return message


def matrix_from_transform(message: Any) -> NDArray[np.float64]:
    """The (4, 4) matrix of a ``TransformStamped``.

    Raises:
        InputError: for a quaternion that is no rotation.
    """
    shift, turn = message.transform.translation, message.transform.rotation
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(turn.x, turn.y, turn.z, turn.w)
    matrix[:3, 3] = shift.x, shift.y, shift.z
    return matrix
