"""Clips: a folder of six-camera images with calibration and ego motion, described by ``clip.json``.

    {"name": …, "image_size": [w, h],
     "cameras": {"front": {"K": 3x3, "T_base_camera": 4x4}, …},
     "frames": [{"stamp_us": …, "images": {"front": "a.jpg", …}, "image_stamps_us": {"front": …, …},
                 "ego": {"speed_m_s", "yaw_rate_rad_s", "accel_m_s2", "pose_xy_yaw"}  or  "T_first_base": 4x4,
                 "future_xyyaw_2hz": [[x, y, yaw], …]  (optional: where the ego went, base_link at the stamp),
                 "command": "turn left …"  (optional)}, …]}

Without an ego block, speed and yaw rate are differentiated from the poses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vadv2_core.camera import SURROUND_CAMERAS, CameraRig, rig_from_mapping
from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.files import read_json
from vadv2_core.geometry import Array, Pose2, wrap_angle
from vadv2_core.odometry import carried, interpolated
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_planner.commander import action_of_text

CLIP_NAME = "clip.json"
ODOMETRY_PERIOD = 50_000_000
"""Time between the odometry states made from a clip, ns."""
_NEAR = 0.35
_JOINED = 0.6
_DEFAULT_COMMAND = "follow the lane"


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """One moment of a clip.

    Attributes:
        stamp: The anchor camera's exposure.
        images: File by camera.
        stamps: Exposure by camera.
        ego: At the anchor's stamp.
        future: (n, 4) rows [t s, x, y, yaw], where the ego went, base_link at the stamp; may be empty.
        command: What was asked of the ego.
    """

    stamp: Stamp
    images: dict[str, Path]
    stamps: dict[str, Stamp]
    ego: EgoState
    future: Array
    command: DrivingCommand


@dataclass(frozen=True, slots=True)
class Clip:
    """A recorded or generated drive of a few seconds."""

    name: str
    rig: CameraRig
    frames: tuple[ClipFrame, ...]

    def odometry(self) -> list[EgoState]:
        """Odometry at 20 Hz, at every frame's stamp, and on to the end of the last frame's known future.

        Near a frame it is the frame's own state carried along; further away it follows the recorded poses.
        """
        stamps = {f.stamp for f in self.frames}
        end = self.frames[-1].stamp + round((self.frames[-1].future[-1, 0] if len(self.frames[-1].future) else 0) * 1e9)
        start = self.frames[0].stamp - round(_NEAR * 1e9)
        stamps.update(range(self.frames[0].stamp, start, -ODOMETRY_PERIOD))
        for a, b in zip(self.frames, [*self.frames[1:], None], strict=True):
            stamps.update(range(a.stamp, b.stamp if b else end + 1, ODOMETRY_PERIOD))
        track = self._track()
        return [self._state_at(s, track) for s in sorted(stamps)]

    def _track(self) -> Array:
        """(n, 4) rows [t after the first frame, x, y, yaw unwrapped] of all known poses, odom frame."""
        rows: list[tuple[float, float, float, float]] = []
        first = self.frames[0].stamp
        for frame, after in zip(self.frames, [*self.frames[1:], None], strict=True):
            start = seconds_between(first, frame.stamp)
            until = seconds_between(first, after.stamp) - 0.2 if after else math.inf
            pose = frame.ego.pose
            rows.append((start, pose.x, pose.y, pose.yaw))
            for t, x, y, yaw in frame.future:
                if start + t < until:
                    there = pose.compose(Pose2(x, y, yaw))
                    rows.append((start + t, there.x, there.y, there.yaw))
        track = np.array(rows)
        track[:, 3] = np.unwrap(track[:, 3])
        return track

    def _state_at(self, stamp: Stamp, track: Array) -> EgoState:
        after = next((f for f in self.frames if f.stamp >= stamp), None)
        before = next((f for f in reversed(self.frames) if f.stamp <= stamp), None)
        if before and after and seconds_between(before.stamp, after.stamp) <= _JOINED:
            return before.ego if before is after else interpolated(before.ego, after.ego, stamp)
        if after and seconds_between(stamp, after.stamp) <= _NEAR:
            return carried(after.ego, stamp)
        nearest = after or before
        assert nearest is not None, "a clip has frames"
        t = seconds_between(self.frames[0].stamp, stamp)
        h = 0.05
        at, early, late = (np.array([np.interp(s, track[:, 0], c) for c in track[:, 1:].T]) for s in (t, t - h, t + h))
        span = min(t + h, track[-1, 0]) - max(t - h, track[0, 0])
        vx, vy = (late - early)[:2] / span
        yaw = float(wrap_angle(at[2]))
        along = math.cos(yaw) * vx + math.sin(yaw) * vy
        yaw_rate = float((late - early)[2] / span)
        return EgoState(
            stamp, Pose2(float(at[0]), float(at[1]), yaw), (float(along), 0.0), (0.0, float(along) * yaw_rate), yaw_rate
        )


def _number(entry: Mapping[str, Any], key: str, where: str) -> float:
    value = entry.get(key)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{key} is {value!r}", where, "a finite number")
    return float(value)


def _ego_from_block(block: Mapping[str, Any], stamp: Stamp, where: str) -> EgoState:
    pose = block.get("pose_xy_yaw")
    if not isinstance(pose, Sequence) or len(pose) != 3 or not np.isfinite(np.asarray(pose, dtype=float)).all():
        raise InputError(f"pose_xy_yaw is {pose!r}", where, "[x m, y m, yaw rad]")
    speed, turn = _number(block, "speed_m_s", where), _number(block, "yaw_rate_rad_s", where)
    acceleration = _number(block, "accel_m_s2", where) if "accel_m_s2" in block else 0.0
    steering = _number(block, "steering_angle_rad", where) if "steering_angle_rad" in block else None
    x, y, yaw = (float(v) for v in pose)
    return EgoState(stamp, Pose2(x, y, yaw), (speed, 0.0), (acceleration, speed * turn), turn, steering)


def _ego_from_poses(frames: Sequence[Mapping[str, Any]], stamps: Sequence[Stamp], where: str) -> list[EgoState]:
    """Speed, acceleration and yaw rate by differences of planar poses (T_first_base)."""
    if len(frames) < 2:
        raise InputError("one frame and no ego block", where, "an ego block, or poses of two frames or more")
    try:
        poses = np.array([f["T_first_base"] for f in frames], dtype=np.float64).reshape(len(frames), 4, 4)
    except (KeyError, ValueError):
        raise InputError("a frame has neither ego nor T_first_base (4x4)", where, "one of them") from None
    t = np.array([seconds_between(stamps[0], s) for s in stamps])
    yaw = np.unwrap(np.arctan2(poses[:, 1, 0], poses[:, 0, 0]))
    velocity = np.gradient(poses[:, :2, 3], t, axis=0)
    speed = np.cos(yaw) * velocity[:, 0] + np.sin(yaw) * velocity[:, 1]
    side = -np.sin(yaw) * velocity[:, 0] + np.cos(yaw) * velocity[:, 1]
    rate, acceleration = np.gradient(yaw, t), np.gradient(speed, t)
    return [
        EgoState(
            stamps[i],
            Pose2(float(poses[i, 0, 3]), float(poses[i, 1, 3]), float(wrap_angle(yaw[i]))),
            (float(speed[i]), float(side[i])),
            (float(acceleration[i]), float(speed[i] * rate[i])),
            float(rate[i]),
        )
        for i in range(len(frames))
    ]


def _images_of(entry: Mapping[str, Any], rig: CameraRig, directory: Path, where: str) -> dict[str, Path]:
    images = entry.get("images")
    if not isinstance(images, Mapping):
        raise InputError("no images", where, "a mapping 'images' of camera to file")
    files = {}
    for name in rig.names:
        if name not in images:
            raise InputError(f"no image of camera {name!r}", where, f"one of each of {', '.join(rig.names)}")
        files[name] = directory / str(images[name])
        if not files[name].is_file():
            raise InputError("is missing", str(files[name]), f"the image of camera {name!r} of {where}")
    return files


def read_rig(values: Mapping[str, Any], where: str) -> CameraRig:
    """The rig of a ``clip.json``: cameras in the order of `SURROUND_CAMERAS`, others after them."""
    cameras = values.get("cameras")
    if not isinstance(cameras, Mapping) or not cameras:
        raise InputError("no cameras", where, "a mapping 'cameras' of name to K and T_base_camera")
    order = [n for n in SURROUND_CAMERAS if n in cameras] + [n for n in cameras if n not in SURROUND_CAMERAS]
    size = {"size": values["image_size"]} if "image_size" in values else {}
    return rig_from_mapping({"cameras": {n: {**size, **cameras[n]} for n in order}}, where)


def read_clip(directory: Path) -> Clip:
    """Read a clip folder; images are only looked for, not decoded.

    Raises:
        InputError: naming the file, frame and field that is missing or wrong.
    """
    try:
        return _read_clip(directory)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, OSError) as error:
        raise InputError(f"of another form: {error}".splitlines()[0], str(directory / CLIP_NAME), "a clip") from None


def _read_clip(directory: Path) -> Clip:
    path = directory / CLIP_NAME
    values = read_json(path)
    if not isinstance(values, Mapping) or not values.get("frames"):
        raise InputError("no frames", str(path), "a list 'frames' of at least one frame")
    rig = read_rig(values, str(path))
    anchor = rig.names[0]
    entries: list[Mapping[str, Any]] = list(values["frames"])
    pose_stamps = []
    for i, entry in enumerate(entries):
        pose_stamps.append(round(_number(entry, "stamp_us", f"{path}: frame {i}")) * 1000)
    if any(b <= a for a, b in itertools.pairwise(pose_stamps)):
        raise InputError("stamps do not increase", str(path), "frames in order of time")
    if all("ego" in e for e in entries):
        egos = [
            _ego_from_block(e["ego"], s, f"{path}: frame {i}")
            for i, (e, s) in enumerate(zip(entries, pose_stamps, strict=True))
        ]
    else:
        egos = _ego_from_poses(entries, pose_stamps, str(path))
    frames = []
    for i, (entry, ego) in enumerate(zip(entries, egos, strict=True)):
        where = f"{path}: frame {i}"
        exposures = entry.get("image_stamps_us", {})
        stamps = {n: round(float(exposures.get(n, ego.stamp / 1000))) * 1000 for n in rig.names}
        stamp = stamps[anchor]
        ahead = np.asarray(entry.get("future_xyyaw_2hz", []), dtype=np.float64).reshape(-1, 3)
        future = np.column_stack([0.5 * np.arange(1, len(ahead) + 1), ahead])
        text = str(entry.get("command", values.get("command", _DEFAULT_COMMAND)))
        command = DrivingCommand(stamp, text, action_of_text(text))
        images = _images_of(entry, rig, directory, where)
        frames.append(ClipFrame(stamp, images, stamps, carried(ego, stamp), future, command))
    return Clip(str(values.get("name", directory.name)), rig, tuple(frames))


def read_image(path: Path, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode an image file to (H, W, 3) RGB.

    Args:
        path: A JPEG or PNG file.
        size: (width, height) it must have.

    Raises:
        InputError: for a file that is no image or has another size.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError("is no image", str(path), "a JPEG or PNG file")
    if (image.shape[1], image.shape[0]) != size:
        raise InputError(f"is {image.shape[1]}x{image.shape[0]}", str(path), f"{size[0]}x{size[1]}")
    return np.asarray(image, dtype=np.uint8)
