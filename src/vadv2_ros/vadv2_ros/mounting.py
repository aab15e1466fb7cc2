"""The rig as a running vehicle tells it: CameraInfo of every camera and static transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraRig
from vadv2_core.errors import InputError
from vadv2_ros.camera_messages import camera_from_info
from vadv2_ros.fields import BASE_FRAME
from vadv2_ros.standard_messages import matrix_from_transform

Edges = Mapping[str, tuple[str, NDArray[np.float64]]]


def to_base(frame: str, edges: Edges, base: str = BASE_FRAME) -> NDArray[np.float64] | None:
    """The (4, 4) transform from a frame to base_link along its parents; None where the chain does not lead there."""
    matrix = np.eye(4)
    for _ in range(len(edges) + 1):
        if frame == base:
            return matrix
        if frame not in edges:
            return None
        frame, step = edges[frame]
        matrix = step @ matrix
    return None


def transforms_type() -> type:
    """``tf2_msgs/TFMessage``.

    Raises:
        InputError: where tf2_msgs is not installed; a rig file then says the mounting.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise InputError("is empty, and tf2_msgs is not installed", "rig_file", "a file of config/rig") from None
    return cast(type, TFMessage)


class RigListener:
    """Waits until every camera has said its CameraInfo and its mounting is known, then hands the rig over, once.

    Args:
        cameras: Names, the anchor first.
        complete: Takes the rig.
    """

    def __init__(self, cameras: Sequence[str], complete: Callable[[CameraRig], None]) -> None:
        self._cameras, self._complete = tuple(cameras), complete
        self._infos: dict[str, Any] = {}
        self._edges: dict[str, tuple[str, NDArray[np.float64]]] = {}
        self._done = False

    def on_info(self, camera: str, message: Any) -> None:
        """Take a camera's CameraInfo."""
        self._infos.setdefault(camera, message)
        self._try()

    def on_transforms(self, message: Any) -> None:
        """Take static transforms."""
        for transform in message.transforms:
            child = str(transform.child_frame_id).lstrip("/")
            self._edges[child] = (str(transform.header.frame_id).lstrip("/"), matrix_from_transform(transform))
        self._try()

    def _try(self) -> None:
        if self._done or len(self._infos) < len(self._cameras):
            return
        models = []
        for name in self._cameras:
            mounting = to_base(str(self._infos[name].header.frame_id).lstrip("/"), self._edges)
            if mounting is None:
                return
            models.append(camera_from_info(name, self._infos[name], mounting))
        self._done = True
        self._complete(CameraRig(tuple(models)))
