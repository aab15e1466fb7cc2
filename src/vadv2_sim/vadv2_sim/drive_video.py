"""A drive as a video: six cameras above, the bird's-eye view and what is said of the drive below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame
from vadv2_core.drive import DriveStatus
from vadv2_core.geometry import Array, Pose2, box_corners
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import AgentClass, EdgeCaseFlag, LaneKind, SignalState
from vadv2_core.trajectory import Trajectory
from vadv2_core.vehicle import VehicleConfig

WIDTH, HEIGHT = 1200, 800
CAMERA_WIDTH, CAMERA_HEIGHT = 400, 187
_ORDER = ("front_left", "front", "front_right", "back_left", "back", "back_right")
_BEV = HEIGHT - 2 * CAMERA_HEIGHT
_SCALE = _BEV / 75.0
_BEHIND = 22.0

Picture = NDArray[np.uint8]
_AGENTS = {
    AgentClass.PEDESTRIAN: (240, 90, 90),
    AgentClass.BICYCLE: (240, 170, 60),
    AgentClass.MOTORCYCLE: (240, 170, 60),
    AgentClass.TRAFFIC_CONE: (250, 120, 20),
    AgentClass.BARRIER: (250, 120, 20),
    AgentClass.CONSTRUCTION_SIGN: (250, 120, 20),
    AgentClass.EMERGENCY_VEHICLE: (70, 130, 255),
}
_LAMPS = {
    SignalState.RED: (255, 50, 40),
    SignalState.YELLOW: (255, 200, 0),
    SignalState.GREEN: (40, 220, 90),
    SignalState.RED_YELLOW: (255, 120, 0),
}


class BirdView:
    """The town from above, the ego pointing up.

    Args:
        road: The town.
        vehicle: The ego's sizes.
    """

    def __init__(self, road: RoadMap, vehicle: VehicleConfig) -> None:
        self._vehicle = vehicle
        self._areas = [(p, p.mean(axis=0)) for p in road.drivable]
        kinds = (LaneKind.ROAD, LaneKind.DRIVEWAY)
        self._lanes = [(a.centerline, a.centerline.mean(axis=0)) for a in road.lanes.values() if a.kind in kinds]
        self._crossings = [(c.polygon, c.polygon.mean(axis=0)) for c in road.crossings]
        self._lines = [(s.segment, s.signal) for s in road.stop_lines]

    def draw(self, scene: Scene, plan: Trajectory | None) -> Picture:
        """(H, H, 3) uint8 RGB."""
        image = np.full((_BEV, _BEV, 3), 28, dtype=np.uint8)
        pose = scene.ego.pose
        here = np.array([pose.x, pose.y])
        for polygon, middle in self._areas:
            if _near(middle, here):
                cv2.fillPoly(image, [_pixels(pose, polygon)], (70, 72, 78), cv2.LINE_AA)
        for polygon, middle in self._crossings:
            if _near(middle, here):
                cv2.fillPoly(image, [_pixels(pose, polygon)], (112, 112, 116), cv2.LINE_AA)
        for line, middle in self._lanes:
            if _near(middle, here):
                cv2.polylines(image, [_pixels(pose, line)], False, (98, 100, 108), 1, cv2.LINE_AA)
        if scene.route is not None:
            cv2.polylines(image, [_pixels(pose, scene.route.points)], False, (60, 120, 190), 2, cv2.LINE_AA)
        for segment, signal in self._lines:
            if _near(segment[0], here):
                color = _LAMPS.get(scene.signals.get(signal or "", SignalState.UNKNOWN), (200, 200, 200))
                cv2.polylines(image, [_pixels(pose, segment)], False, color, 2, cv2.LINE_AA)
        for agent in scene.agents:
            box = box_corners(agent.x, agent.y, agent.yaw, agent.length, agent.width)
            cv2.fillPoly(image, [_pixels(pose, box)], _AGENTS.get(agent.cls, (170, 176, 190)), cv2.LINE_AA)
        c, s = np.cos(pose.yaw), np.sin(pose.yaw)
        v = self._vehicle
        ego = box_corners(pose.x + v.centre_offset * c, pose.y + v.centre_offset * s, pose.yaw, v.length, v.width)
        cv2.fillPoly(image, [_pixels(pose, ego)], (80, 220, 140), cv2.LINE_AA)
        if plan is not None:
            way = plan.origin_pose.transform(plan.points[:, 1:3])
            cv2.polylines(image, [_pixels(pose, way)], False, (80, 250, 160), 2, cv2.LINE_AA)
        return image


def _near(place: Array, here: Array) -> bool:
    return float(np.abs(place - here).max()) < 120.0


def _pixels(pose: Pose2, points: Array) -> NDArray[np.int32]:
    local = pose.inverse_transform(points)
    x = _BEV / 2.0 - local[:, 1] * _SCALE
    y = _BEV - (local[:, 0] + _BEHIND) * _SCALE
    return np.stack([x, y], axis=-1).round().astype(np.int32)


def _say(image: Picture, lines: Sequence[tuple[str, tuple[int, int, int]]], x: int, y: int) -> None:
    for text, color in lines:
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.46, color, 1, cv2.LINE_AA)
        y += 19


def compose(
    scene: Scene,
    images: CameraFrame | None,
    bird: Picture,
    reasoning: Reasoning | None,
    status: DriveStatus | None,
) -> Picture:
    """One picture of the video: (`HEIGHT`, `WIDTH`, 3) uint8 RGB."""
    canvas = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    if images is not None:
        names = [n for n in _ORDER if n in images.rig.names] or list(images.rig.names[:6])
        for k, name in enumerate(names):
            shown = images.images[images.rig.names.index(name)]
            small = cv2.resize(shown, (CAMERA_WIDTH, CAMERA_HEIGHT), interpolation=cv2.INTER_AREA)
            row, column = divmod(k, 3)
            top, left = row * CAMERA_HEIGHT, column * CAMERA_WIDTH
            canvas[top : top + CAMERA_HEIGHT, left : left + CAMERA_WIDTH] = small
            _say(canvas, [(name.replace("_", " "), (255, 255, 255))], left + 6, top + 16)
    canvas[HEIGHT - _BEV :, :_BEV] = bird
    _say(canvas, _words(scene, reasoning, status), _BEV + 16, HEIGHT - _BEV + 22)
    return canvas


def _words(
    scene: Scene, reasoning: Reasoning | None, status: DriveStatus | None
) -> list[tuple[str, tuple[int, int, int]]]:
    white, grey, green, amber = (240, 240, 240), (170, 174, 182), (120, 230, 160), (250, 190, 80)
    lines = [(f"{scene.scenario}   {3.6 * scene.ego.speed:.0f} km/h   command: {scene.command.text}", white)]
    if status is not None:
        lines.append((f"{status.state.name.lower()}: {status.cause}"[:88], grey))
    if reasoning is None:
        return lines
    flags = [f.name.lower().replace("_", " ") for f in EdgeCaseFlag if reasoning.flag_probabilities[f] > 0.5]
    if flags:
        lines.append(("edge cases: " + ", ".join(flags), amber))
    for text, color in ((reasoning.intent, green), (reasoning.scene_description, white), (reasoning.trace, grey)):
        lines += [(line, color) for line in textwrap.wrap(text, 88)[:7]]
        lines.append(("", grey))
    return lines[:21]


class DriveVideo:
    """Writes an H.264 video, frame by frame.

    Args:
        path: The .mp4 to make.
        road: The town, for the bird's-eye view.
        vehicle: The ego's sizes.
        rate: Frames a second.
    """

    def __init__(self, path: Path, road: RoadMap, vehicle: VehicleConfig, rate: int = 10) -> None:
        self._bird = BirdView(road, vehicle)
        self._container: Any = av.open(str(path), "w", options={"movflags": "faststart"})
        self._stream: Any = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = WIDTH, HEIGHT
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"preset": "veryfast", "crf": "27"}
        self._stream.time_base = Fraction(1, rate)
        self.frames = 0

    def add(
        self,
        scene: Scene,
        images: CameraFrame | None,
        plan: Trajectory | None,
        reasoning: Reasoning | None,
        status: DriveStatus | None,
    ) -> None:
        """Append one moment."""
        picture = compose(scene, images, self._bird.draw(scene, plan), reasoning, status)
        for packet in self._stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
            self._container.mux(packet)
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
