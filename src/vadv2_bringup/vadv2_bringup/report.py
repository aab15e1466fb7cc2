"""``report.html``: one self-contained page of a drive, frame by frame.

Pictures are shrunk and encoded as frames come, so that a long drive does not fill the memory; lines over the pictures
and the bird's-eye view are drawn by the page itself from numbers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraModel
from vadv2_core.command import DrivingCommand
from vadv2_core.drive import DriveState
from vadv2_core.ego import EgoState
from vadv2_core.files import write_bytes_atomic
from vadv2_core.geometry import Array, box_corners
from vadv2_core.reasoning import Reasoning
from vadv2_core.stamps import seconds_between
from vadv2_core.taxonomy import AgentClass, Cause, EdgeCaseFlag, LateralAction, LongitudinalAction, MapElementClass
from vadv2_core.tokens import SceneTokens
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig
from vadv2_driver.output import DriverOutput

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
_WIDTHS = {"front": 760}
_WIDTH = 480
_NEAR = 0.4
_SHOWN = 0.3
"""Objects and map elements below this confidence are left out of the pictures."""


def words(member: Any) -> str:
    """An enum's member in plain words."""
    return str(member.name).lower().replace("_", " ")


def _rounded(values: Array, digits: int = 1) -> list[Any]:
    listed: list[Any] = np.round(np.asarray(values, dtype=np.float64), digits).tolist()
    return listed


class ReportWriter:
    """Collects frames and writes the page.

    Args:
        title: What was driven.
        vehicle: Whose width the planned path has.
        max_frames: With more frames than this announced, evenly chosen ones are shown.
        frames: How many frames are to come, where that is known.
    """

    def __init__(
        self, title: str, vehicle: VehicleConfig | None = None, *, max_frames: int = 80, frames: int | None = None
    ) -> None:
        self.title = title
        self.vehicle = vehicle or VehicleConfig()
        self._frames: list[dict[str, Any]] = []
        self._series: list[dict[str, Any]] = []
        self._every = max(1, -(-frames // max_frames)) if frames else 1
        self._count = 0
        self._start: int | None = None
        self._model_ids: dict[str, str] = {}

    def add(
        self,
        output: DriverOutput,
        frame: CameraFrame | None,
        ego: EgoState,
        command: DrivingCommand,
        recorded: Array | None = None,
        route: Array | None = None,
    ) -> None:
        """Take one frame.

        Args:
            output: What the stages said.
            frame: The images; None where nothing was seen.
            ego: At the frame's stamp.
            command: What was asked.
            recorded: (n, 2) where the ego really went next, base_link at the stamp.
            route: (n, 2) the route, base_link at the stamp.
        """
        self._start = output.stamp if self._start is None else self._start
        t = seconds_between(self._start, output.stamp)
        for stage, source in (("perception", output.tokens), ("vlm", output.embedding), ("planner", output.candidates)):
            if source is not None:
                self._model_ids[stage] = source.model_id
        self._series.append(_series_point(t, output, ego))
        if self._count % self._every == 0:
            self._frames.append(
                {
                    "t": round(t, 3),
                    "i": self._count,
                    "cameras": [] if frame is None else self._cameras(frame, output),
                    "bev": self._bird_view(output, recorded, route),
                    "reasoning": _reasoning(output.reasoning),
                    "status": _status(output),
                    "command": {"text": command.text, "action": words(command.action), "speed": round(ego.speed, 2)},
                    "plan": _plan(output.candidates),
                }
            )
        self._count += 1

    def _cameras(self, frame: CameraFrame, output: DriverOutput) -> list[dict[str, Any]]:
        chosen = output.candidates.trajectory()
        shown = []
        for camera, image, valid in zip(frame.rig.cameras, frame.images, frame.valid, strict=True):
            width = min(_WIDTHS.get(camera.name, _WIDTH), camera.width)
            height = round(camera.height * width / camera.width)
            scale = width / camera.width
            lines: dict[str, Any] = {"path": [], "modes": [], "boxes": []}
            if chosen is not None:
                lines["path"] = _ribbon(camera, chosen.points[:, 1:4], self.vehicle.width, scale)
            for i in np.argsort(-output.candidates.confidences)[:20]:
                confidence = float(output.candidates.confidences[i])
                for piece in _polyline(camera, output.candidates.points[i, :, 1:3], scale):
                    lines["modes"].append([round(confidence, 3), piece])
            if output.tokens is not None:
                lines["boxes"] = _projected_boxes(camera, output.tokens, scale)
            shown.append(
                {
                    "name": camera.name,
                    "size": [width, height],
                    "valid": bool(valid),
                    "image": _encoded(image, width, height),
                    **lines,
                }
            )
        return shown

    def _bird_view(self, output: DriverOutput, recorded: Array | None, route: Array | None) -> dict[str, Any]:
        candidates = output.candidates
        view: dict[str, Any] = {
            "modes": [
                [round(float(c), 3), _rounded(p[::2, 1:3], 2)]
                for p, c in zip(candidates.points[:64], candidates.confidences[:64], strict=True)
            ],
            "chosen": None if candidates.chosen is None else _rounded(candidates.points[candidates.chosen][:, 1:3], 2),
            "recorded": [] if recorded is None else _rounded(recorded, 2),
            "route": [] if route is None else _rounded(route, 2),
            "ego": [self.vehicle.length, self.vehicle.width, self.vehicle.rear_overhang],
            "objects": [],
            "map": [],
        }
        if output.tokens is not None:
            objects, elements = output.tokens.objects, output.tokens.map
            for i in np.flatnonzero(objects.confidence >= _SHOWN):
                corners = box_corners(*(float(v) for v in objects.boxes[i]))
                name = words(AgentClass(int(objects.classes[i])))
                view["objects"].append([name, round(float(objects.confidence[i]), 2), _rounded(corners, 2)])
            for i in np.flatnonzero(elements.confidence >= _SHOWN):
                name = words(MapElementClass(int(elements.classes[i])))
                view["map"].append([name, round(float(elements.confidence[i]), 2), _rounded(elements.points[i], 2)])
        return view

    def write(self, path: Path, summary: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
        """Write the page, whole or not at all.

        Args:
            path: The file.
            summary: ``summary.json``'s content.
            notes: Remarks shown on top.
        """
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        data = {"frames": self._frames, "series": self._series, "stages": summary.get("stages", {})}
        # A closing script tag inside a reasoning must not end the data.
        encoded = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
        page = environment.from_string(_TEMPLATE.read_text()).render(
            title=self.title,
            summary=summary,
            model_ids=self._model_ids,
            notes=list(notes),
            shown=len(self._frames),
            data=Markup(encoded),
        )
        write_bytes_atomic(path, page.encode())


def _series_point(t: float, output: DriverOutput, ego: EgoState) -> dict[str, Any]:
    plan = output.candidates.trajectory()
    return {
        "t": round(t, 3),
        "speed": round(ego.speed, 3),
        "planned": None if plan is None else round(float(plan.points[min(4, len(plan.points) - 1), 4]), 3),
        "target": round(output.command.speed, 3),
        "steering": round(float(np.degrees(output.command.steering_angle)), 3),
        "acceleration": round(output.command.acceleration, 3),
        "measured": round(ego.acceleration[0], 3),
        "yaw_rate": round(float(np.degrees(ego.yaw_rate)), 3),
        "state": words(output.status.state),
        "timings": {k: round(v, 2) for k, v in output.timings.items()},
    }


def _reasoning(reasoning: Reasoning | None) -> dict[str, Any] | None:
    if reasoning is None:
        return None
    flags = reasoning.flag_probabilities
    return {
        "scene": reasoning.scene_description,
        "intent": reasoning.intent,
        "trace": reasoning.trace,
        "cause": words(Cause(reasoning.cause)),
        "longitudinal": [
            words(LongitudinalAction(reasoning.longitudinal)),
            round(reasoning.longitudinal_confidence, 2),
        ],
        "lateral": [words(LateralAction(reasoning.lateral)), round(reasoning.lateral_confidence, 2)],
        "flags": [[words(f), round(float(flags[f]), 3)] for f in EdgeCaseFlag if f < len(flags)],
        "model": reasoning.model_id,
        "seconds": round(reasoning.inference_time, 2),
        "truncated": reasoning.truncated,
    }


def _status(output: DriverOutput) -> dict[str, Any]:
    command, status = output.command, output.status
    return {
        "state": words(DriveState(status.state)),
        "cause": status.cause,
        "engaged": status.engaged,
        "steering": round(float(np.degrees(command.steering_angle)), 2),
        "acceleration": round(command.acceleration, 2),
        "speed": round(command.speed, 2),
    }


def _plan(candidates: TrajectoryCandidates) -> dict[str, Any]:
    chosen = candidates.chosen
    return {
        "chosen": chosen,
        "confidence": None if chosen is None else round(float(candidates.confidences[chosen]), 3),
        "modes": len(candidates.confidences),
        "reason": candidates.reason,
        "sampler": candidates.sampler,
        "steps": candidates.steps,
        "degraded": list(candidates.degraded),
        "end_speed": None if chosen is None else round(float(candidates.points[chosen, -1, 4]), 2),
        "length": None if chosen is None else round(_length(candidates.points[chosen, :, 1:3]), 1),
    }


def _length(points: Array) -> float:
    return float(np.hypot(*np.diff(points, axis=0, prepend=np.zeros((1, 2))).T).sum())


def _encoded(image: NDArray[np.uint8], width: int, height: int) -> str:
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 78])[1]
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def _on_ground(points: Array) -> Array:
    return np.concatenate([points, np.zeros((*points.shape[:-1], 1))], axis=-1)


def _seen(camera: CameraModel, pixels: Array, depth: Array) -> NDArray[np.bool_]:
    margin = 1.0
    inside = (np.abs(pixels / [camera.width, camera.height] - 0.5) < 0.5 + margin).all(axis=-1)
    return np.asarray((depth > _NEAR) & inside)


def _ribbon(camera: CameraModel, path: Array, width: float, scale: float) -> list[Any]:
    """The path as wide as the vehicle: quads [x0, y0, ... x3, y3] on the picture, nearest first."""
    path = np.vstack([np.zeros((1, 3)), path])
    # A vehicle that stands draws no path.
    keep = np.concatenate([[True], np.hypot(*np.diff(path[:, :2], axis=0).T) > 0.02])
    path = path[keep]
    side = 0.5 * width * np.column_stack([-np.sin(path[:, 2]), np.cos(path[:, 2])])
    left, right = path[:, :2] + side, path[:, :2] - side
    fine = np.linspace(0, len(path) - 1, max(len(path) * 2 - 1, 1))
    edges = [
        np.column_stack([np.interp(fine, np.arange(len(path)), edge[:, i]) for i in range(2)]) for edge in (left, right)
    ]
    (lp, ld), (rp, rd) = (camera.project(_on_ground(edge)) for edge in edges)
    good = _seen(camera, lp, ld) & _seen(camera, rp, rd)
    quads = [
        np.concatenate([lp[i], lp[i + 1], rp[i + 1], rp[i]]) * scale
        for i in range(len(fine) - 1)
        if good[i] and good[i + 1]
    ]
    return [_rounded(q) for q in quads]


def _polyline(camera: CameraModel, points: Array, scale: float) -> list[list[Any]]:
    """The visible pieces of a line on the ground, as pixels."""
    pixels, depth = camera.project(_on_ground(points))
    good = _seen(camera, pixels, depth)
    pieces: list[list[Any]] = []
    for i in np.flatnonzero(good):
        if pieces and i > 0 and good[i - 1]:
            pieces[-1].append(_rounded(pixels[i] * scale))
        else:
            pieces.append([_rounded(pixels[i] * scale)])
    return [p for p in pieces if len(p) > 1]


def _projected_boxes(camera: CameraModel, tokens: SceneTokens, scale: float) -> list[Any]:
    """[class, confidence, eight corners] of the objects in front of a camera."""
    boxes = []
    for i in np.flatnonzero(tokens.objects.confidence >= _SHOWN):
        corners = box_corners(*(float(v) for v in tokens.objects.boxes[i]))
        low, high = _on_ground(corners), np.column_stack([corners, np.full(4, 1.6)])
        pixels, depth = camera.project(np.vstack([low, high]))
        if (depth > _NEAR).all() and _seen(camera, pixels, depth).any():
            name = words(AgentClass(int(tokens.objects.classes[i])))
            boxes.append([name, round(float(tokens.objects.confidence[i]), 2), _rounded(pixels * scale)])
    return boxes
