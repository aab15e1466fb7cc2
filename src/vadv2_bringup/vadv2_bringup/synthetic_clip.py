"""A generated six-camera drive: a road that bends left, houses, oncoming traffic, a lead car that brakes for a light.

Every surface is a polygon in the world, projected by the same camera model that perception uses; nothing is recorded.
The same seed gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_bringup.clip import CLIP_NAME
from vadv2_core.camera import SURROUND_CAMERAS, CameraModel, CameraRig
from vadv2_core.files import write_bytes_atomic, write_json_atomic
from vadv2_core.geometry import Array, Pose2, box_corners, inverse_transform3

LANE = 3.5
_NEAR_PLANE = 0.3
_START_US = 1_700_000_000_000_000
_BEND_START, _BEND_FULL, _CURVATURE = 35.0, 65.0, 1.0 / 110.0
_STOP_AT = 62.0
_MOUNTS = {
    "front": (1.7, 0.0, 0.0, 70.0),
    "front_left": (1.5, 0.5, 55.0, 70.0),
    "front_right": (1.5, -0.5, -55.0, 70.0),
    "back": (0.0, 0.0, 180.0, 100.0),
    "back_left": (1.0, 0.5, 110.0, 70.0),
    "back_right": (1.0, -0.5, -110.0, 70.0),
}
_WALLS = ((196, 176, 148), (172, 120, 98), (206, 200, 188), (150, 152, 158), (186, 160, 112), (138, 110, 92))
_ASPHALT, _GRASS, _PAVEMENT, _PAINT = (92, 92, 98), (104, 132, 80), (158, 154, 148), (232, 232, 226)


def surround_rig(width: int = 640, height: int = 360) -> CameraRig:
    """Six pinhole cameras around a car, 1.55 m above the ground; position, yaw and field of view as in `_MOUNTS`."""
    cameras = []
    for name in SURROUND_CAMERAS:
        x, y, yaw, view = _MOUNTS[name]
        f = 0.5 * width / math.tan(math.radians(0.5 * view))
        k = np.array([[f, 0.0, 0.5 * width - 0.5], [0.0, f, 0.5 * height - 0.5], [0.0, 0.0, 1.0]])
        c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
        t = np.array([[s, 0.0, c, x], [-c, 0.0, s, y], [0.0, -1.0, 0.0, 1.55], [0.0, 0.0, 0.0, 1.0]])
        cameras.append(CameraModel(name, width, height, k, t))
    return CameraRig(tuple(cameras))


def _curvature(s: Array) -> Array:
    return _CURVATURE * np.clip((s - _BEND_START) / (_BEND_FULL - _BEND_START), 0.0, 1.0)


class _Road:
    """A centre line by its length; ``at`` gives poses beside it."""

    def __init__(self) -> None:
        self.s = np.arange(-150.0, 320.0, 0.25)
        self.yaw = np.cumsum(_curvature(self.s)) * 0.25
        self.x = np.cumsum(np.cos(self.yaw)) * 0.25
        self.y = np.cumsum(np.sin(self.yaw)) * 0.25
        self.x -= np.interp(0.0, self.s, self.x)
        self.y -= np.interp(0.0, self.s, self.y)

    def at(self, s: Any, offset: Any = 0.0) -> tuple[Array, Array, Array]:
        """x, y, yaw at a length and an offset to the left."""
        yaw = np.interp(s, self.s, self.yaw)
        x = np.interp(s, self.s, self.x) - np.sin(yaw) * offset
        y = np.interp(s, self.s, self.y) + np.cos(yaw) * offset
        return x, y, yaw

    def strip(self, start: Any, end: Any, right: Any, left: Any, step: float = 3.0) -> list[Array]:
        """Quads (4, 3) on the ground between two offsets."""
        s = np.linspace(start, end, max(2, math.ceil((end - start) / step) + 1))
        (xl, yl, _), (xr, yr, _) = self.at(s, left), self.at(s, right)
        zero = np.zeros(len(s))
        a, b = np.column_stack([xl, yl, zero]), np.column_stack([xr, yr, zero])
        return [np.array([a[i], a[i + 1], b[i + 1], b[i]]) for i in range(len(s) - 1)]


@dataclass(frozen=True, slots=True)
class _Face:
    """A polygon, its colour, and the point by which it is sorted (a window by its wall's)."""

    points: Array
    color: tuple[int, int, int]
    sort_at: Array | None = None


def _box(pose: Pose2, length: float, width: float, low: float, high: float, color: tuple[int, int, int]) -> list[_Face]:
    base = box_corners(pose.x, pose.y, pose.yaw, length, width)
    bottom = np.column_stack([base, np.full(4, low)])
    top = np.column_stack([base, np.full(4, high)])
    faces = [_Face(top, _shade(color, 1.12))]
    for i, light in zip(range(4), (0.85, 0.72, 0.95, 1.0), strict=True):
        j = (i + 1) % 4
        faces.append(_Face(np.array([bottom[i], bottom[j], top[j], top[i]]), _shade(color, light)))
    return faces


def _shade(color: tuple[int, int, int], light: float) -> tuple[int, int, int]:
    r, g, b = (min(255, round(c * light)) for c in color)
    return r, g, b


class SyntheticDrive:
    """The world and everyone's motion; `images` draws a moment, `ego_at` tells the ego's state.

    Args:
        seed: Colours and places of houses, trees and traffic.
        rig: The cameras.
    """

    def __init__(self, seed: int, rig: CameraRig) -> None:
        self.rig, self.road = rig, _Road()
        rng = np.random.default_rng(seed)
        self._ground = self._make_ground()
        self._houses = [face for side in (-1.0, 1.0) for face in self._make_houses(rng, side)]
        self._oncoming = [(float(rng.uniform(40, 70)), 9.5), (float(rng.uniform(95, 120)), 8.5)]
        self._follower = float(rng.uniform(-24.0, -18.0))
        self._grain = rng.normal(0.0, 2.0, (rig.cameras[0].height + 64, rig.cameras[0].width + 64, 3))
        self._shift = rng
        self._times, self._ego, self._lead = self._drive()

    def _drive(self) -> tuple[Array, Array, Array]:
        """(n,) times, (n, 3) ego and lead rows [s, speed, acceleration], by the intelligent driver model."""
        dt, n = 0.02, 800
        ego, lead = np.zeros((n, 3)), np.zeros((n, 3))
        ego[0], lead[0] = (0.0, 9.0, 0.0), (17.0, 9.0, 0.0)
        for i in range(1, n):
            t = i * dt
            to_stop = _STOP_AT - lead[i - 1, 0]
            braking = -(lead[i - 1, 1] ** 2) / (2 * max(to_stop, 0.5)) if t > 1.0 else 0.0
            self._advance(lead, i, dt, max(braking, -4.0) if to_stop < 45.0 else 0.0)
            gap = lead[i - 1, 0] - ego[i - 1, 0] - 4.8
            v, dv = ego[i - 1, 1], ego[i - 1, 1] - lead[i - 1, 1]
            wanted = 2.5 + max(0.0, v * 1.2 + v * dv / (2.0 * math.sqrt(1.5 * 2.0)))
            self._advance(
                ego, i, dt, float(np.clip(1.5 * (1 - (v / 10.0) ** 4 - (wanted / max(gap, 0.5)) ** 2), -5, 2))
            )
        return np.arange(n) * dt, ego, lead

    @staticmethod
    def _advance(rows: Array, i: int, dt: float, acceleration: float) -> None:
        speed = max(0.0, rows[i - 1, 1] + acceleration * dt)
        rows[i] = rows[i - 1, 0] + 0.5 * (rows[i - 1, 1] + speed) * dt, speed, (speed - rows[i - 1, 1]) / dt

    def ego_at(self, t: float) -> tuple[Pose2, float, float, float]:
        """Rear-axle pose, speed m/s, acceleration m/s^2 and yaw rate rad/s at a time."""
        s, speed, acceleration = (float(np.interp(t, self._times, c)) for c in self._ego.T)
        x, y, yaw = self.road.at(s, -0.5 * LANE)
        # Beside a bend the lane is longer than the centre line; the pose's own rate of turn follows the centre's.
        stretch = 1.0 + 0.5 * LANE * float(_curvature(np.array(s)))
        yaw_rate = speed * float(_curvature(np.array(s)))
        return Pose2(float(x), float(y), float(yaw)), speed * stretch, acceleration * stretch, yaw_rate

    def _make_ground(self) -> list[_Face]:
        road, a, b = self.road, -100.0, 220.0
        faces = [_Face(q, _GRASS) for q in road.strip(a, b, -60.0, 60.0, 8.0)]
        faces += [_Face(q, _PAVEMENT) for side in (-1, 1) for q in road.strip(a, b, *sorted((side * 3.7, side * 6.2)))]
        faces += [_Face(q, _ASPHALT) for q in road.strip(a, b, -LANE - 0.2, LANE + 0.2)]
        for side in (-1, 1):
            faces += [_Face(q, _PAINT) for q in road.strip(a, b, side * LANE - 0.07, side * LANE + 0.07)]
        for s in np.arange(a, b, 6.0):
            faces += [_Face(q, _PAINT) for q in road.strip(s, s + 3.0, -0.07, 0.07)]
        stop = _STOP_AT + 3.0
        faces += [_Face(q, _PAINT) for q in road.strip(stop, stop + 0.4, -LANE, -0.1)]
        for y in np.arange(-LANE + 0.3, LANE, 1.0):
            faces += [_Face(q, _PAINT) for q in road.strip(stop + 1.5, stop + 4.5, y, y + 0.5)]
        return faces

    def _make_houses(self, rng: np.random.Generator, side: float) -> list[_Face]:
        faces, s = [], -90.0
        while s < 200.0:
            length, height = float(rng.uniform(9, 20)), float(rng.uniform(5, 14))
            offset = side * float(rng.uniform(13.0, 17.0))
            x, y, yaw = (float(v) for v in self.road.at(s + 0.5 * length, offset))
            color = _shade(_WALLS[int(rng.integers(len(_WALLS)))], float(rng.uniform(0.85, 1.1)))
            faces += _box(Pose2(x, y, yaw), length, 8.0, 0.0, height, color)
            wall = offset - side * 4.02
            wall_centre = np.array([*(float(v) for v in self.road.at(s + 0.5 * length, wall)[:2]), 0.5 * height])
            for level in np.arange(1.0, height - 1.5, 2.8):
                for along in np.arange(1.2, length - 2.0, 3.0):
                    wx, wy, _ = self.road.at(np.array([s + along, s + along + 1.4]), wall)
                    quad = [[wx[0], wy[0], level], [wx[1], wy[1], level], [wx[1], wy[1], level + 1.5]]
                    corners = np.array([*quad, [wx[0], wy[0], level + 1.5]])
                    faces.append(_Face(corners, (62, 74, 92), wall_centre))
            if rng.random() < 0.7:
                faces += self._tree(s - 2.0, side * 8.0, float(rng.uniform(3.5, 5.5)))
            s += length + float(rng.uniform(3.0, 9.0))
        return faces

    def _tree(self, s: float, offset: float, height: float) -> list[_Face]:
        pose = Pose2(*(float(v) for v in self.road.at(s, offset)))
        crown = _box(pose, 2.4, 2.4, 0.4 * height, height, (70, 112, 58))
        return _box(pose, 0.3, 0.3, 0.0, 0.45 * height, (96, 76, 58)) + crown

    def _car(self, s: float, offset: float, color: tuple[int, int, int], away: bool, braking: bool) -> list[_Face]:
        x, y, yaw = (float(v) for v in self.road.at(s, offset))
        pose = Pose2(x, y, yaw if away else yaw + math.pi)
        faces = _box(pose, 4.4, 1.8, 0.25, 0.95, color)
        cabin = pose.compose(Pose2(-0.25, 0.0, 0.0))
        faces += _box(cabin, 2.3, 1.6, 0.95, 1.5, (58, 66, 76))
        for along in (-1.35, 1.35):
            faces += _box(pose.compose(Pose2(along, 0.0, 0.0)), 0.62, 1.84, 0.0, 0.55, (24, 24, 26))
        lamps = ((255, 40, 30) if braking else (130, 24, 22), -2.21), ((245, 240, 215), 2.21)
        for lamp, at in lamps:
            for side in (-0.65, 0.65):
                faces += _box(pose.compose(Pose2(at, side, 0.0)), 0.04, 0.36, 0.6, 0.82, lamp)
        return faces

    def _light(self, red: bool) -> list[_Face]:
        x, y, yaw = (float(v) for v in self.road.at(_STOP_AT + 3.5, -LANE - 0.7))
        pose = Pose2(x, y, yaw)
        faces = _box(pose, 0.14, 0.14, 0.0, 3.2, (70, 70, 74)) + _box(pose, 0.3, 0.4, 2.4, 3.5, (26, 26, 28))
        for height, color, on in ((3.25, (255, 36, 24), red), (2.6, (40, 235, 110), not red)):
            face = pose.compose(Pose2(-0.17, 0.0, 0.0))
            faces += _box(face, 0.02, 0.26, height - 0.13, height + 0.13, color if on else (58, 52, 46))
        return faces

    def images(self, t: float) -> list[NDArray[np.uint8]]:
        """The six images at a time, in the rig's order."""
        i = min(int(t / 0.02), len(self._times) - 1)
        solid = list(self._houses) + self._light(red=t > 0.8)
        solid += self._car(
            float(self._lead[i, 0]) + 3.1, -0.5 * LANE, (176, 54, 48), True, bool(self._lead[i, 2] < -0.4)
        )
        for start, speed in self._oncoming:
            solid += self._car(start - speed * t, 0.5 * LANE, (64, 92, 150), False, False)
        solid += self._car(self._follower + float(self._ego[i, 0]), -0.5 * LANE, (210, 208, 200), True, False)
        ego, *_ = self.ego_at(t)
        return [self._draw(camera, ego, solid) for camera in self.rig.cameras]

    def _draw(self, camera: CameraModel, ego: Pose2, solid: list[_Face]) -> NDArray[np.uint8]:
        horizon = camera.k[1, 2]
        rows = np.clip((np.arange(camera.height) / max(horizon, 1.0)), 0.0, 1.0)[:, None, None]
        sky = np.array([126.0, 166.0, 214.0]) * (1 - rows) + np.array([206.0, 220.0, 232.0]) * rows
        image = np.ascontiguousarray(np.broadcast_to(sky, (camera.height, camera.width, 3)).astype(np.uint8))
        to_camera = inverse_transform3(camera.t_base_camera) @ inverse_transform3(ego.to_matrix3())
        self._paint(image, camera, self._ground, to_camera, ordered=True)
        self._paint(image, camera, solid, to_camera, ordered=False)
        down, right = self._shift.integers(0, 64, 2)
        grain = self._grain[down : down + camera.height, right : right + camera.width]
        return np.clip(cv2.GaussianBlur(image, (3, 3), 0.5) + grain, 0, 255).astype(np.uint8)

    @staticmethod
    def _paint(
        image: NDArray[np.uint8], camera: CameraModel, faces: list[_Face], to_camera: Array, *, ordered: bool
    ) -> None:
        points = np.stack([f.points for f in faces]) @ to_camera[:3, :3].T + to_camera[:3, 3]
        seen = np.flatnonzero((points[..., 2].max(axis=1) > _NEAR_PLANE) & (points[..., 2].min(axis=1) < 140.0))
        if not ordered:
            centres = np.stack([f.points.mean(axis=0) if f.sort_at is None else f.sort_at for f in faces])[seen]
            key = np.linalg.norm(centres @ to_camera[:3, :3].T + to_camera[:3, 3], axis=1)
            key -= [0.0 if faces[i].sort_at is None else 0.1 for i in seen]
            seen = seen[np.argsort(-key, kind="stable")]
        for i in seen:
            polygon = _clipped(points[i])
            if len(polygon) < 3:
                continue
            pixels = (polygon @ camera.k.T)[:, :2] / polygon[:, 2:]
            far = float(np.clip((np.linalg.norm(polygon.mean(axis=0)) - 20.0) / 160.0, 0.0, 0.75))
            haze = np.array(faces[i].color) * (1 - far) + np.array([206.0, 220.0, 232.0]) * far
            fixed = np.round(np.clip(pixels, -30000, 30000) * 16).astype(np.int32)
            cv2.fillConvexPoly(image, fixed, haze.tolist(), cv2.LINE_AA, 4)


def _clipped(polygon: Array) -> Array:
    """A polygon in camera axes cut at the near plane (Sutherland-Hodgman)."""
    kept: list[Array] = []
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        inside = a[2] >= _NEAR_PLANE
        if inside:
            kept.append(a)
        if inside != (b[2] >= _NEAR_PLANE):
            kept.append(a + (b - a) * (_NEAR_PLANE - a[2]) / (b[2] - a[2]))
    return np.array(kept)


def write_synthetic_clip(
    directory: Path,
    *,
    seed: int = 7,
    frames: int = 40,
    rate: float = 10.0,
    width: int = 640,
    height: int = 360,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Generate a clip folder that `vadv2_bringup.clip.read_clip` reads; ``clip.json`` is written last.

    Args:
        directory: Where to; existing files of the same names are replaced.
        seed: Of everything that varies.
        frames: How many moments (at most 8 s of them are followed by 8 s of known future).
        rate: Frames a second, Hz.
        width: Of every image, px.
        height: Of every image, px.
        progress: Called after every frame.
    """
    rig = surround_rig(width, height)
    drive = SyntheticDrive(seed, rig)
    entries = []
    for i in range(frames):
        t = i / rate
        files = {}
        for name, image in zip(rig.names, drive.images(t), strict=True):
            files[name] = f"{name}_{i:03d}.jpg"
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            write_bytes_atomic(directory / files[name], jpeg.tobytes())
        pose, speed, acceleration, yaw_rate = drive.ego_at(t)
        ahead = [pose.relative(drive.ego_at(t + 0.5 * k)[0]) for k in range(1, 17) if t + 0.5 * k < 15.9]
        stamp = _START_US + round(t * 1e6)
        entries.append(
            {
                "stamp_us": stamp,
                "images": files,
                "image_stamps_us": {name: stamp for name in files},
                "ego": {
                    "speed_m_s": speed,
                    "yaw_rate_rad_s": yaw_rate,
                    "accel_m_s2": acceleration,
                    "pose_xy_yaw": [pose.x, pose.y, pose.yaw],
                },
                "future_xyyaw_2hz": [[p.x, p.y, p.yaw] for p in ahead],
                "command": "follow the lane",
            }
        )
        progress()
    cameras = {c.name: {"K": c.k.tolist(), "T_base_camera": c.t_base_camera.tolist()} for c in rig.cameras}
    clip = {"name": f"synthetic drive, seed {seed}", "image_size": [width, height], "cameras": cameras}
    write_json_atomic(directory / CLIP_NAME, {**clip, "frames": entries})
