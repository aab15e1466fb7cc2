"""Cameras of messages: rigs and frames of vadv2_msgs, and ``sensor_msgs/CameraInfo``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sensor_msgs.msg import CameraInfo
from vadv2_msgs import msg as messages

from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp
from vadv2_ros.fields import header, shaped, stamp_from_time, time_from_stamp
from vadv2_ros.images import image_from_rgb, rgb_from_image


def optical_frame(camera: str) -> str:
    """The TF frame of a camera's optical axes."""
    return f"{camera}_camera_optical_link"


def camera_to_message(camera: CameraModel) -> Any:
    """`CameraModel` to its message."""
    return messages.CameraModel(
        name=camera.name,
        width=camera.width,
        height=camera.height,
        k=np.asarray(camera.k, dtype=np.float64).ravel(),
        t_base_camera=np.asarray(camera.t_base_camera, dtype=np.float64).ravel(),
    )


def camera_from_message(message: Any) -> CameraModel:
    """`CameraModel` from its message.

    Raises:
        InputError: for a singular K or a matrix that is no rigid transform.
    """
    where = f"camera {message.name!r}"
    k = shaped(message.k, np.float64, (3, 3), where)
    t = shaped(message.t_base_camera, np.float64, (4, 4), where)
    return CameraModel(str(message.name), int(message.width), int(message.height), k, t)


def rig_to_message(rig: CameraRig) -> Any:
    """`CameraRig` to its message."""
    return messages.CameraRig(cameras=[camera_to_message(c) for c in rig.cameras])


def rig_from_message(message: Any) -> CameraRig:
    """`CameraRig` from its message.

    Raises:
        InputError: for no camera, repeated names or a wrong matrix.
    """
    return CameraRig(tuple(camera_from_message(c) for c in message.cameras))


def frame_to_message(frame: CameraFrame) -> Any:
    """`CameraFrame` to its message."""
    stamps = [int(s) for s in frame.stamps]
    named = zip(frame.images, stamps, frame.rig.names, strict=True)
    return messages.CameraFrame(
        header=header(frame.stamp),
        rig=rig_to_message(frame.rig),
        images=[image_from_rgb(image, stamp, optical_frame(name)) for image, stamp, name in named],
        camera_stamps=[time_from_stamp(stamp) for stamp in stamps],
        camera_valid=[bool(v) for v in frame.valid],
    )


def frame_from_message(message: Any) -> CameraFrame:
    """`CameraFrame` from its message.

    Raises:
        InputError: where images, stamps and cameras are not as many as each other.
    """
    rig = rig_from_message(message.rig)
    counts = (len(message.images), len(message.camera_stamps), len(message.camera_valid))
    if set(counts) != {len(rig.cameras)}:
        raise InputError(f"{counts} images, stamps and flags", "CameraFrame", f"{len(rig.cameras)} of each")
    return CameraFrame(
        stamp=stamp_from_time(message.header.stamp),
        rig=rig,
        images=tuple(rgb_from_image(i, n) for i, n in zip(message.images, rig.names, strict=True)),
        stamps=np.array([stamp_from_time(t) for t in message.camera_stamps], dtype=np.int64),
        valid=np.asarray(message.camera_valid, dtype=np.bool_),
    )


def info_from_camera(camera: CameraModel, stamp: Stamp) -> CameraInfo:
    """A camera's ``CameraInfo``: rectified, no distortion; its mounting travels on ``/tf_static``."""
    k = np.asarray(camera.k, dtype=np.float64)
    return CameraInfo(
        header=header(stamp, optical_frame(camera.name)),
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.concatenate([k, np.zeros((3, 1))], axis=1).ravel(),
    )


def camera_from_info(name: str, info: Any, t_base_camera: ArrayLike) -> CameraModel:
    """A camera from its ``CameraInfo`` and its mounting.

    Args:
        name: The rig's name for it.
        info: Of the rectified image; a distorted one is refused.
        t_base_camera: (4, 4) optical frame to base_link.

    Raises:
        InputError: for a distorted image, a singular K or a matrix that is no rigid transform.
    """
    distortion = np.asarray(info.d, dtype=np.float64)
    if np.abs(distortion).max(initial=0.0) > 0.0:
        raise InputError("CameraInfo has distortion", f"camera {name!r}", "a rectified image (image_proc rectify)")
    k = shaped(info.k, np.float64, (3, 3), f"camera {name!r}")
    return CameraModel(name, int(info.width), int(info.height), k, np.asarray(t_base_camera, dtype=np.float64))
