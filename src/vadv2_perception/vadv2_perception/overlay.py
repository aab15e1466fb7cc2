"""What the vehicle sees and means to do, drawn on its own images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraModel
from vadv2_core.geometry import Array, Pose2, box_corners
from vadv2_core.taxonomy import AgentClass
from vadv2_core.tokens import SceneObjects, SceneTokens
from vadv2_core.trajectory import Trajectory

Picture = NDArray[np.uint8]

_ROWS = (("front_left", "front", "front_right"), ("back_left", "back", "back_right"))
_PLAN, _OBJECT, _TEXT, _FAULT = (40, 220, 110), (255, 190, 60), (255, 255, 255), (235, 80, 70)
_HALF_WIDTH = 0.9
"""Half the width of the band that the plan is drawn as, m: about a car's."""
_NEAREST = 0.5
"""Points nearer to the camera than this are not drawn, m."""


def _drawn(camera: CameraModel, ground: Array) -> Array | None:
    """Ground points (n, 2) as pixels, those before the camera; None where fewer than two are."""
    points = np.column_stack([ground, np.zeros(len(ground))])
    pixels, depth = camera.project(points)
    seen = depth > _NEAREST
    return pixels[seen] if int(seen.sum()) >= 2 else None


def _draw_band(picture: Picture, camera: CameraModel, path: Array) -> None:
    along = np.gradient(path, axis=0)
    lengths = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = np.column_stack([-along[:, 1], along[:, 0]]) / lengths * _HALF_WIDTH
    points = np.column_stack([np.vstack([path + across, (path - across)[::-1]]), np.zeros(2 * len(path))])
    pixels, depth = camera.project(points)
    n = len(path)
    covered = picture.copy()
    for i in range(n - 1):
        corners = [i, i + 1, 2 * n - 2 - i, 2 * n - 1 - i]
        if (depth[corners] > _NEAREST).all() and np.abs(pixels[corners]).max() < 1e5:
            cv2.fillConvexPoly(covered, np.rint(pixels[corners]).astype(np.int32), _PLAN, cv2.LINE_AA)
    cv2.addWeighted(covered, 0.45, picture, 0.55, 0.0, dst=picture)
    middle = _drawn(camera, path)
    if middle is not None and np.abs(middle).max() < 1e5:
        cv2.polylines(picture, [np.rint(middle).astype(np.int32)], False, _PLAN, 2, cv2.LINE_AA)


def _draw_objects(picture: Picture, camera: CameraModel, objects: SceneObjects) -> None:
    for kind, box in zip(objects.classes, objects.boxes.astype(np.float64), strict=True):
        corners = np.asarray(box_corners(*(box[i] for i in range(5)))).reshape(-1, 2)
        pixels, depth = camera.project(np.column_stack([corners, np.zeros(len(corners))]))
        inside = (pixels[:, 0] > -camera.width) & (pixels[:, 0] < 2 * camera.width)
        if not ((depth > _NEAREST) & inside).all():
            continue
        outline = np.rint(pixels).astype(np.int32)
        cv2.polylines(picture, [outline], True, _OBJECT, 1, cv2.LINE_AA)
        name = AgentClass(int(kind)).name.lower().replace("_", " ")
        place = (int(outline[:, 0].min()), int(outline[:, 1].min()) - 4)
        cv2.putText(picture, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _OBJECT, 1, cv2.LINE_AA)


def _rows_of(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    surround = {name for row in _ROWS for name in row}
    if set(names) == surround:
        return _ROWS
    return tuple(names[i : i + 3] for i in range(0, len(names), 3))


def draw_overlay(frame: CameraFrame, tokens: SceneTokens, plan: Trajectory | None, width: int = 480) -> Picture:
    """The frame's images side by side with objects and the newest plan on them.

    Args:
        frame: The images.
        tokens: What was seen on them; its ego state places an older plan.
        plan: The newest plan; it may be of an earlier frame. None draws none.
        width: Of one image, px; its height follows from the widest aspect of the rig.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height = round(width * max(c.height / c.width for c in frame.rig.cameras))
    path = None if plan is None else _path_now(plan, tokens.ego.pose)
    pictures = {}
    for camera, image, valid in zip(frame.rig.cameras, frame.images, frame.valid, strict=True):
        scale = width / camera.width
        small = cv2.resize(image, (width, round(camera.height * scale)), interpolation=cv2.INTER_AREA)
        picture = np.zeros((height, width, 3), np.uint8)
        picture[height - len(small) :] = small
        seen = camera.scaled(width, height)
        if path is not None:
            _draw_band(picture, seen, path)
        _draw_objects(picture, seen, tokens.objects)
        words, color = (camera.name, _TEXT) if valid else (f"{camera.name}: no image", _FAULT)
        cv2.putText(picture, words, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
        pictures[camera.name] = picture
    empty = np.zeros((height, width, 3), np.uint8)
    rows = _rows_of(frame.rig.names)
    columns = max(len(row) for row in rows)
    return np.vstack([np.hstack([*(pictures[n] for n in row), *[empty] * (columns - len(row))]) for row in rows])


def _path_now(plan: Trajectory, pose: Pose2) -> Array:
    """The plan in the present base_link, the vehicle's own place first."""
    ahead = pose.inverse_transform(plan.origin_pose.transform(plan.points[:, 1:3]))
    beyond = ahead[ahead[:, 0] > 1.0]
    return np.vstack([[[1.0, 0.0]], beyond]) if len(beyond) else np.array([[1.0, 0.0], [1.1, 0.0]])
