"""Cameras: the rig, projection, and a frame of images with one stamp.

Camera frames are optical (REP-103 suffix ``_optical``): x right, y down, z forward. Pixel (0, 0) is the centre of the
top-left pixel. ``T_base_camera`` takes points of the optical frame to base_link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.errors import InputError
from vadv2_core.files import read_yaml
from vadv2_core.geometry import Array, inverse_transform3
from vadv2_core.stamps import Stamp

SURROUND_CAMERAS = ("front", "front_left", "front_right", "back", "back_left", "back_right")
"""Names and order of the six surround cameras everywhere; the first is the anchor."""


@dataclass(frozen=True, slots=True)
class CameraModel:
    """A pinhole camera without distortion (images are rectified before they come here).

    Attributes:
        name: One of the rig's camera names.
        width: Image width, px.
        height: Image height, px.
        k: (3, 3) intrinsics, px.
        t_base_camera: (4, 4) optical frame to base_link.
    """

    name: str
    width: int
    height: int
    k: Array
    t_base_camera: Array

    def __post_init__(self) -> None:
        where = f"camera {self.name!r}"
        k, t = np.asarray(self.k, dtype=np.float64), np.asarray(self.t_base_camera, dtype=np.float64)
        object.__setattr__(self, "k", k)
        object.__setattr__(self, "t_base_camera", t)
        if self.width < 1 or self.height < 1:
            raise InputError(f"image size is {self.width}x{self.height}", where, "at least 1x1")
        if (
            k.shape != (3, 3)
            or not np.isfinite(k).all()
            or k[0, 0] <= 0
            or k[1, 1] <= 0
            or abs(np.linalg.det(k)) < 1e-9
        ):
            raise InputError("K is singular, not finite or not 3x3", where, "fx > 0 and fy > 0")
        if t.shape != (4, 4) or not np.isfinite(t).all():
            raise InputError("T_base_camera is not a finite 4x4 matrix", where, "a rigid transform")
        if np.abs(t[:3, :3] @ t[:3, :3].T - np.eye(3)).max() > 1e-3 or np.linalg.det(t[:3, :3]) < 0:
            raise InputError("T_base_camera does not hold a rotation", where, "an orthonormal right-handed matrix")

    def project(self, points: ArrayLike) -> tuple[Array, Array]:
        """Points (..., 3) in base_link to pixels.

        Returns:
            Pixels (..., 2) and depth along the optical axis (...); pixels mean something only where depth > 0.
        """
        t = inverse_transform3(self.t_base_camera)
        p = np.asarray(points, dtype=np.float64) @ t[:3, :3].T + t[:3, 3]
        depth = p[..., 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        pixels = (p @ self.k.T)[..., :2] / safe[..., None]
        return pixels, depth

    def rays(self, pixels: ArrayLike) -> Array:
        """Unit directions (..., 3) in base_link of pixels (..., 2)."""
        q = np.asarray(pixels, dtype=np.float64)
        homogeneous = np.concatenate([q, np.ones((*q.shape[:-1], 1))], axis=-1)
        d = homogeneous @ np.linalg.inv(self.k).T @ self.t_base_camera[:3, :3].T
        return np.asarray(d / np.linalg.norm(d, axis=-1, keepdims=True))

    def scaled(self, width: int, height: int) -> CameraModel:
        """The camera after its image was scaled to ``width`` and cropped at the top to ``height``.

        The scale is one for both axes. A scaled image lower than ``height`` is padded at the top, which is the same
        shift with the other sign.
        """
        scale = width / self.width
        k = self.k.copy()
        k[:2] *= scale
        # Pixel centres: u' + 0.5 = scale * (u + 0.5).
        k[:2, 2] += 0.5 * scale - 0.5
        k[1, 2] -= round(self.height * scale) - height
        return replace(self, width=width, height=height, k=k)


@dataclass(frozen=True, slots=True)
class CameraRig:
    """Cameras in a fixed order; the first is the anchor whose stamp a frame carries."""

    cameras: tuple[CameraModel, ...]

    def __post_init__(self) -> None:
        if not self.cameras:
            raise InputError("a rig without a camera", "rig", "at least one")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"camera names repeat: {', '.join(self.names)}", "rig", "unique names")

    @property
    def names(self) -> tuple[str, ...]:
        """Camera names in order."""
        return tuple(c.name for c in self.cameras)

    def __getitem__(self, name: str) -> CameraModel:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise KeyError(name)

    def scaled(self, width: int, height: int) -> CameraRig:
        """Every camera `CameraModel.scaled` to one network size."""
        return CameraRig(tuple(c.scaled(width, height) for c in self.cameras))


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """Images of one moment.

    Attributes:
        stamp: The anchor camera's stamp.
        rig: The rig as mounted, at the images' own sizes.
        images: One (H, W, 3) uint8 RGB array a camera, in the rig's order; black where not valid.
        stamps: (cameras,) int64 exposure stamps, ns.
        valid: (cameras,) bool; False for a missing, late, frozen or black camera.
    """

    stamp: Stamp
    rig: CameraRig
    images: tuple[NDArray[np.uint8], ...]
    stamps: NDArray[np.int64]
    valid: NDArray[np.bool_]


def rig_from_mapping(values: Mapping[str, Any], where: str) -> CameraRig:
    """A rig from ``{"cameras": {name: {K, T_base_camera, size: [w, h]}}}``, in the file's order of cameras.

    Raises:
        InputError: naming the camera and the missing or wrong field.
    """
    cameras = values.get("cameras")
    if not isinstance(cameras, Mapping) or not cameras:
        raise InputError("no cameras", where, "a mapping 'cameras' of name to K, T_base_camera, size")
    models = []
    for name, entry in cameras.items():
        for key in ("K", "T_base_camera", "size"):
            if not isinstance(entry, Mapping) or key not in entry:
                raise InputError(f"camera {name!r} has no {key}", where, "K, T_base_camera and size [width, height]")
        try:
            width, height = (int(v) for v in entry["size"])
            k = np.asarray(entry["K"], dtype=np.float64)
            t = np.asarray(entry["T_base_camera"], dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"camera {name!r}: {error}", where, "numbers") from None
        try:
            models.append(CameraModel(str(name), width, height, k, t))
        except InputError as error:
            raise InputError(error.what, f"{where}: {error.where}", error.expected) from None
    return CameraRig(tuple(models))


def load_rig(path: Path) -> CameraRig:
    """Read a rig file (YAML or JSON, the form of `rig_from_mapping`).

    Raises:
        InputError: for an unreadable file or a wrong field, with the file's name.
    """
    values = read_yaml(path, "a rig file")
    return rig_from_mapping(values if isinstance(values, Mapping) else {}, str(path))
