"""Frames for timing: six level cameras around a car, smooth seeded pictures, an ego that drives on."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import SURROUND_CAMERAS, CameraFrame, CameraModel, CameraRig
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction

_SPEED, _INTERVAL_NS = 8.0, 100_000_000
COMMAND = DrivingCommand(0, "turn left at the next intersection", DrivingAction.LEFT, 60.0)
ROUTE = Route(0, np.stack([np.linspace(-5.0, 400.0, 200), np.zeros(200)], axis=-1))


def surround_rig(width: int = 480, height: int = 224, count: int = 6) -> CameraRig:
    """Cameras of 70 degrees, evenly around, 1.6 m high; the first looks ahead."""
    f = 0.5 * width / math.tan(math.radians(35.0))
    k = np.array([[f, 0.0, 0.5 * width - 0.5], [0.0, f, 0.5 * height - 0.5], [0.0, 0.0, 1.0]])
    cameras = []
    for index in range(count):
        name = SURROUND_CAMERAS[index] if index < len(SURROUND_CAMERAS) else f"camera_{index}"
        degrees = 360.0 * index / count
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        t = np.array([[s, 0.0, c, 1.2 + 0.5 * c], [-c, 0.0, s, 0.5 * s], [0.0, -1.0, 0.0, 1.6], [0.0, 0.0, 0.0, 1.0]])
        cameras.append(CameraModel(name, width, height, k, t))
    return CameraRig(tuple(cameras))


def _smooth(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    coarse = rng.integers(0, 256, (9, 17, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


class BenchFrames:
    """An endless drive at 10 Hz; the same index is the same frame."""

    def __init__(self, width: int = 480, height: int = 224, pictures: int = 4, cameras: int = 6) -> None:
        self.rig = surround_rig(width, height, cameras)
        rng = np.random.default_rng(0)
        # Smooth as streets are; pure noise would be the one picture that a resize or a rounding never meets.
        self._images = [tuple(_smooth(rng, width, height) for _ in self.rig.cameras) for _ in range(pictures)]

    def __getitem__(self, index: int) -> tuple[CameraFrame, EgoState]:
        stamp = (index + 1) * _INTERVAL_NS
        count = len(self.rig.cameras)
        images = self._images[index % len(self._images)]
        frame = CameraFrame(stamp, self.rig, images, np.full(count, stamp, np.int64), np.ones(count, bool))
        pose = Pose2(_SPEED * (index + 1) * 1e-9 * _INTERVAL_NS, 0.0, 0.0)
        return frame, EgoState(stamp, pose, (_SPEED, 0.0), (0.0, 0.0), 0.0, 0.0)
