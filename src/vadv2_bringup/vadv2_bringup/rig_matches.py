"""The same points seen twice: by two neighbouring cameras at once, or by one camera before and after the car moved.

A pair of viewing rays of one point, with the way between the two camera centres, lies in one plane (the epipolar
constraint; Hartley and Zisserman, Multiple View Geometry, ch. 9). A wrong mounting breaks that.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraModel, CameraRig
from vadv2_core.geometry import Array, Pose2

Image = NDArray[np.uint8]
_WIDTH = 960
_FEATURES = 1500
_RATIO = 0.8
_MAX_UP, _MAX_ACROSS = np.radians(9.0), np.radians(18.0)
_MIN_BASELINE = 0.15
_MIN_OVERLAP = np.radians(3.0)


@dataclass(frozen=True, slots=True)
class RayPairs:
    """Rays of the same points from two camera positions, as the rig has them.

    Attributes:
        first: Index of the camera of `rays_a`.
        second: Index of the camera of `rays_b`; the same for motion.
        rays_a: (n, 3) unit rays in base_link at the first exposure.
        rays_b: (n, 3) unit rays in base_link at the second exposure.
        turn: (3, 3) rotation of base_link at the second exposure to base_link at the first.
        baseline: (3,) way from the first camera centre to the second, base_link at the first exposure, m.
    """

    first: int
    second: int
    rays_a: Array
    rays_b: Array
    turn: Array
    baseline: Array


def _shrunk(image: Image, camera: CameraModel) -> tuple[Image, CameraModel]:
    width = min(_WIDTH, camera.width)
    height = round(camera.height * width / camera.width)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8), camera.scaled(
        width, height
    )


def _mutual_matches(a: Image, b: Image, near: Array) -> tuple[Array, Array]:
    """Pixels (n, 2) of mutual best SIFT matches that pass the ratio test and lie within ``near`` (x, y) px."""
    sift = cv2.SIFT.create(_FEATURES)
    (ka, da), (kb, db) = sift.detectAndCompute(a, None), sift.detectAndCompute(b, None)
    if da is None or db is None or len(ka) < 8 or len(kb) < 8:
        return np.zeros((0, 2)), np.zeros((0, 2))
    pa, pb = (np.array([k.pt for k in keys]) for keys in (ka, kb))
    distance = np.sqrt(np.maximum((da**2).sum(1)[:, None] + (db**2).sum(1)[None] - 2 * da @ db.T, 0.0))
    distance[(np.abs(pa[:, None] - pb[None]) > near).any(axis=2)] = np.inf
    best = distance.argmin(axis=1)
    rows = np.arange(len(pa))
    nearest = distance[rows, best]
    rest = distance.copy()
    rest[rows, best] = np.inf
    with np.errstate(invalid="ignore"):
        good = np.isfinite(nearest) & (nearest < _RATIO * rest.min(axis=1)) & (distance.argmin(axis=0)[best] == rows)
    good &= nearest < 250.0
    return pa[good], pb[best[good]]


def neighbours(rig: CameraRig) -> list[tuple[int, int]]:
    """Pairs of cameras whose pictures overlap at 20 m, in order round the car."""
    pairs = []
    for i, a in enumerate(rig.cameras):
        for j in range(i + 1, len(rig.cameras)):
            if overlap_columns(a, rig.cameras[j]) is not None:
                pairs.append((i, j))
    return pairs


def overlap_columns(a: CameraModel, b: CameraModel, distance: float = 20.0) -> tuple[float, float] | None:
    """Columns of a's picture in which b sees too (at a distance along a's rays); None for less than 3 degrees."""
    columns = np.linspace(0, a.width - 1, 200)
    rays = a.rays(np.column_stack([columns, np.full(200, a.k[1, 2])]))
    points = a.t_base_camera[:3, 3] + distance * rays
    pixels, depth = b.project(points)
    inside = (depth > 0.1) & (pixels[:, 0] >= 0) & (pixels[:, 0] <= b.width - 1)
    if not inside.any():
        return None
    first, last = columns[inside][[0, -1]]
    return (float(first), float(last)) if (last - first) / a.k[0, 0] > _MIN_OVERLAP else None


def between_view(a: CameraModel, b: CameraModel, margin: float = 1.35) -> CameraModel:
    """A virtual camera that looks along the overlap of two, wide enough for both and for a wrong mounting."""
    near = overlap_columns(a, b)
    first, last = near if near is not None else (0.0, a.width - 1.0)
    rays = a.rays(np.array([[first, a.k[1, 2]], [last, a.k[1, 2]]]))
    axis = rays.sum(axis=0)
    axis[2] = 0.0
    axis /= np.linalg.norm(axis)
    half = margin * 0.5 * float(np.arccos(np.clip(rays[0] @ rays[1], -1, 1))) + np.radians(4.0)
    focal = min(a.k[0, 0], b.k[0, 0])
    width, height = round(2 * focal * np.tan(half)), round(2 * focal * np.tan(np.radians(22.0)))
    right = np.array([axis[1], -axis[0], 0.0])
    t = np.eye(4)
    t[:3, :3] = np.column_stack([right, [0.0, 0.0, -1.0], axis])
    t[:3, 3] = 0.5 * (a.t_base_camera[:3, 3] + b.t_base_camera[:3, 3])
    k = np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])
    return CameraModel("between", width, height, k, t)


def seen_from(view: CameraModel, camera: CameraModel, image: Image) -> Image:
    """A camera's image as the virtual camera would see it, were everything far away."""
    turn = view.t_base_camera[:3, :3].T @ camera.t_base_camera[:3, :3]
    homography = view.k @ turn @ np.linalg.inv(camera.k)
    return np.asarray(cv2.warpPerspective(image, homography, (view.width, view.height)), dtype=np.uint8)


def _between(rig: CameraRig, images: list[tuple[Image, CameraModel]], i: int, j: int, moved: Array) -> RayPairs | None:
    (image_a, a), (image_b, b) = images[i], images[j]
    view = between_view(a, b)
    near = np.array([view.k[0, 0] * _MAX_ACROSS, view.k[1, 1] * _MAX_UP])
    pa, pb = _mutual_matches(seen_from(view, a, image_a), seen_from(view, b, image_b), near)
    if len(pa) < 8:
        return None
    baseline = moved + rig.cameras[j].t_base_camera[:3, 3] - rig.cameras[i].t_base_camera[:3, 3]
    return RayPairs(i, j, view.rays(pa), view.rays(pb), np.eye(3), baseline)


def neighbour_pairs(rig: CameraRig, images: list[Image], moved: list[Array]) -> list[RayPairs]:
    """Points that two neighbours see at the same moment.

    Args:
        rig: The cameras.
        images: One of each.
        moved: (3,) where each camera's exposure found the car, against the frame's stamp, base_link, m.
    """
    small = [_shrunk(image, camera) for image, camera in zip(images, rig.cameras, strict=True)]
    found = [_between(rig, small, i, j, moved[j] - moved[i]) for i, j in neighbours(rig)]
    return [f for f in found if f is not None]


def motion_pairs(rig: CameraRig, before: list[Image], after: list[Image], moved: Pose2) -> list[RayPairs]:
    """Points that a camera sees before and after the car moved.

    Args:
        rig: The cameras.
        before: One image of each.
        after: The same later.
        moved: Pose of base_link at the later moment in base_link at the earlier one.
    """
    step = moved.to_matrix3()
    pairs = []
    for i, camera in enumerate(rig.cameras):
        centre = camera.t_base_camera[:3, 3]
        baseline = step[:3, :3] @ centre + step[:3, 3] - centre
        if np.linalg.norm(baseline) < _MIN_BASELINE:
            continue
        (a, small), (b, _) = _shrunk(before[i], camera), _shrunk(after[i], camera)
        near = np.array([small.width * 0.25, small.height * 0.2])
        pa, pb = _mutual_matches(a, b, near)
        # What does not move in the picture is the car's own bonnet, or too far away to tell anything.
        moving = np.hypot(*(pa - pb).T) > 1.0
        if moving.sum() >= 12:
            pairs.append(RayPairs(i, i, small.rays(pa[moving]), small.rays(pb[moving]), step[:3, :3], baseline))
    return pairs
