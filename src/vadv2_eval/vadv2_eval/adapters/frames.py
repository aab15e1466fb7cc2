"""Between others' frames and units and ours; nothing here needs a benchmark to be installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.stamps import Stamp, stamp_from_seconds
from vadv2_core.taxonomy import DrivingAction

EARTH_RADIUS = 6378137.0
"""m, CARLA's Mercator projection."""
OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation of an optical frame that looks along +x of the body."""
NAVSIM_CAMERAS = {
    "front": "cam_f0",
    "front_left": "cam_l0",
    "front_right": "cam_r0",
    "back": "cam_b0",
    "back_left": "cam_l2",
    "back_right": "cam_r2",
}
"""Our surround cameras among NAVSIM's eight."""
NAVSIM_COMMANDS = (
    DrivingAction.LEFT,
    DrivingAction.LANE_FOLLOW,
    DrivingAction.RIGHT,
    DrivingAction.UNKNOWN,
)
"""NAVSIM's one-hot command: left, straight on, right, unknown."""
CARLA_OPTIONS = {
    1: DrivingAction.LEFT,
    2: DrivingAction.RIGHT,
    3: DrivingAction.STRAIGHT,
    4: DrivingAction.LANE_FOLLOW,
    5: DrivingAction.CHANGE_LEFT,
    6: DrivingAction.CHANGE_RIGHT,
}
"""CARLA's RoadOption by value."""


def command_of(action: DrivingAction, stamp: Stamp, distance: float = 0.0) -> DrivingCommand:
    """A command in our words."""
    from vadv2_planner.commander import text_of_action

    return DrivingCommand(stamp, text_of_action(action, distance), action, distance)


def navsim_ego(statuses: Sequence[Any], dt: float) -> list[EgoState]:
    """NAVSIM's history of ego statuses (poses relative to the last one) as ego states ``dt`` s apart, last at 100 s."""
    last = 100.0
    states = []
    for i, status in enumerate(statuses):
        pose = [float(v) for v in status.ego_pose]
        before = [float(v) for v in statuses[max(i - 1, 0)].ego_pose]
        rate = ((pose[2] - before[2] + np.pi) % (2 * np.pi) - np.pi) / dt if i else 0.0
        vx, vy = (float(v) for v in status.ego_velocity)
        ax, ay = (float(v) for v in status.ego_acceleration)
        stamp = stamp_from_seconds(last - dt * (len(statuses) - 1 - i))
        states.append(EgoState(stamp, Pose2(*pose), (vx, vy), (ax, ay), float(rate)))
    return states


def navsim_command(one_hot: ArrayLike, stamp: Stamp) -> DrivingCommand:
    """NAVSIM's one-hot command.

    Raises:
        InputError: for a vector that is not one of four.
    """
    values = np.asarray(one_hot).ravel()
    if len(values) != len(NAVSIM_COMMANDS) or values.sum() != 1:
        raise InputError(f"driving command is {values.tolist()}", "navsim", "one-hot of left, straight, right, unknown")
    return command_of(NAVSIM_COMMANDS[int(values.argmax())], stamp)


def navsim_frame(cameras: Any, stamp: Stamp) -> CameraFrame:
    """NAVSIM's cameras of one moment, undistorted; their LiDAR frame is taken as base_link."""
    models, images = [], []
    for name, theirs in NAVSIM_CAMERAS.items():
        camera = getattr(cameras, theirs)
        if camera.image is None:
            raise InputError(f"{theirs} has no image", "navsim", "a sensor config with the six cameras")
        image = np.ascontiguousarray(camera.image, dtype=np.uint8)
        k = np.asarray(camera.intrinsics, dtype=np.float64)
        if camera.distortion is not None and np.any(camera.distortion):
            image = np.asarray(cv2.undistort(image, k, np.asarray(camera.distortion, dtype=np.float64)), dtype=np.uint8)
        mounting = np.eye(4)
        mounting[:3, :3] = camera.sensor2lidar_rotation
        mounting[:3, 3] = camera.sensor2lidar_translation
        models.append(CameraModel(name, image.shape[1], image.shape[0], k, mounting))
        images.append(image)
    return _frame(CameraRig(tuple(models)), images, stamp)


def _frame(rig: CameraRig, images: Sequence[NDArray[np.uint8]], stamp: Stamp) -> CameraFrame:
    count = len(images)
    return CameraFrame(
        stamp,
        rig,
        tuple(images),
        np.full(count, stamp, dtype=np.int64),
        np.array([i.any() for i in images], dtype=bool),
    )


def plan_poses(points: Array, times: ArrayLike) -> Array:
    """(k, 3) x, y, yaw of plan points (n, 6) at times, linear between them; t = 0 is the ego itself."""
    t = np.concatenate([[0.0], points[:, 0]])
    at = np.asarray(times, dtype=np.float64)
    columns = [np.concatenate([[0.0], points[:, 1]]), np.concatenate([[0.0], points[:, 2]])]
    columns.append(np.unwrap(np.concatenate([[0.0], points[:, 3]])))
    return np.column_stack([np.interp(at, t, c) for c in columns])


def carla_sensors(rig: CameraRig, rear_axle_behind: float) -> list[dict[str, Any]]:
    """CARLA sensor specifications of a rig (left-handed, degrees, from the vehicle's centre), IMU, GNSS and speed.

    Raises:
        InputError: for a camera that CARLA cannot mount: off-centre or unequal focal lengths.
    """
    sensors: list[dict[str, Any]] = []
    for camera in rig.cameras:
        centre = np.array([0.5 * (camera.width - 1), 0.5 * (camera.height - 1)])
        if np.abs(camera.k[:2, 2] - centre).max() > 1.0 or abs(camera.k[0, 0] - camera.k[1, 1]) > 1e-3 * camera.k[0, 0]:
            raise InputError(
                f"camera {camera.name!r} is off-centre", "carla", "the principal point in the middle, fx = fy"
            )
        body = camera.t_base_camera[:3, :3] @ OPTICAL.T
        yaw = np.rad2deg(np.arctan2(body[1, 0], body[0, 0]))
        pitch = np.rad2deg(np.arcsin(np.clip(body[2, 0], -1.0, 1.0)))
        roll = np.rad2deg(np.arctan2(body[2, 1], body[2, 2]))
        x, y, z = camera.t_base_camera[:3, 3]
        sensors.append(
            {
                "type": "sensor.camera.rgb",
                "id": camera.name,
                "x": float(x - rear_axle_behind),
                "y": float(-y),
                "z": float(z),
                "roll": float(-roll),
                "pitch": float(pitch),
                "yaw": float(-yaw),
                "width": camera.width,
                "height": camera.height,
                "fov": float(np.rad2deg(2.0 * np.arctan(0.5 * camera.width / camera.k[0, 0]))),
            }
        )
    at = {"x": -rear_axle_behind, "y": 0.0, "z": 0.0, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
    sensors.append({"type": "sensor.other.imu", "id": "imu", **at, "sensor_tick": 0.05})
    sensors.append({"type": "sensor.other.gnss", "id": "gps", **at, "sensor_tick": 0.01})
    sensors.append({"type": "sensor.speedometer", "id": "speed", "reading_frequency": 20})
    return sensors


def carla_position(latitude: float, longitude: float) -> tuple[float, float]:
    """Our world (x, y left) of CARLA's GNSS with its map origin at 0, 0."""
    x = np.deg2rad(longitude) * EARTH_RADIUS
    y = EARTH_RADIUS * np.log(np.tan(np.deg2rad(90.0 + latitude) / 2.0))
    # CARLA's y points south and ours north.
    return float(x), float(y)


def carla_ego(sensors: Mapping[str, Any], timestamp: float) -> EgoState:
    """The ego state of one step's sensors: GNSS, IMU (acceleration, gyro, compass) and speedometer."""
    latitude, longitude = (float(v) for v in np.asarray(sensors["gps"][1])[:2])
    imu = np.asarray(sensors["imu"][1], dtype=np.float64)
    speed = float(sensors["speed"][1]["speed"])
    compass = float(imu[6]) if np.isfinite(imu[6]) else 0.5 * np.pi
    x, y = carla_position(latitude, longitude)
    yaw = float((0.5 * np.pi - compass + np.pi) % (2 * np.pi) - np.pi)
    ax, ay, rate = (float(v) if np.isfinite(v) else 0.0 for v in (imu[0], -imu[1], -imu[5]))
    return EgoState(stamp_from_seconds(timestamp), Pose2(x, y, yaw), (speed, 0.0), (ax, ay), rate)


def carla_frame(sensors: Mapping[str, Any], rig: CameraRig, stamp: Stamp) -> CameraFrame:
    """The cameras of one step: BGRA to RGB, in the rig's order."""
    images = [np.ascontiguousarray(np.asarray(sensors[n][1])[:, :, 2::-1], dtype=np.uint8) for n in rig.names]
    return _frame(rig, images, stamp)


def carla_route(points: ArrayLike, ego: EgoState, ahead: float = 80.0) -> Route | None:
    """The part of the global plan (n, 2), our world, from the ego on; None at its end."""
    line = np.asarray(points, dtype=np.float64)
    nearest = int(np.hypot(line[:, 0] - ego.pose.x, line[:, 1] - ego.pose.y).argmin())
    rest = line[nearest:]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(rest, axis=0).T))])
    rest = rest[along <= ahead]
    return Route(ego.stamp, rest) if len(rest) >= 2 else None


def carla_control(command: VehicleCommand, speed: float, max_wheel_angle: float) -> dict[str, float]:
    """Steer, throttle and brake of a command: CARLA steers right positive and has no acceleration input.

    Throttle and brake follow the wanted acceleration with a share of the speed error; full brake holds a standstill.
    """
    steer = float(np.clip(-command.steering_angle / max_wheel_angle, -1.0, 1.0))
    wish = command.acceleration + 0.5 * (command.speed - speed)
    if command.speed < 0.1 and speed < 0.5:
        return {"steer": steer, "throttle": 0.0, "brake": 1.0}
    return {
        "steer": steer,
        "throttle": float(np.clip(wish / 4.0 + 0.02 * speed, 0.0, 0.85)) if wish > 0.0 else 0.0,
        "brake": float(np.clip(-wish / 6.0, 0.0, 1.0)) if wish < -0.3 else 0.0,
    }
