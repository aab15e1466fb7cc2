"""A clip folder as a rosbag2 folder, the image files' bytes as they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_bringup.bag_topics import COMMAND, ODOMETRY, TF_STATIC, TF_TYPE, image_topic, info_topic
from vadv2_bringup.bag_writer import BagWriter
from vadv2_bringup.clip import Clip, read_image
from vadv2_core.camera import CameraRig
from vadv2_core.stamps import Stamp
from vadv2_ros.bag_types import bag_typestore
from vadv2_ros.camera_messages import info_from_camera, optical_frame
from vadv2_ros.conversions import driving_command_to_message
from vadv2_ros.fields import BASE_FRAME
from vadv2_ros.images import image_from_rgb
from vadv2_ros.standard_messages import odometry_from_ego_state, quaternion_from_rotation


def static_transforms(rig: CameraRig, stamp: Stamp) -> Any:
    """The rig's mounting as ``tf2_msgs/TFMessage``, made with rosbags: tf2_msgs may not be installed."""
    types = bag_typestore().types
    header_type, time_type = types["std_msgs/msg/Header"], types["builtin_interfaces/msg/Time"]
    transforms = []
    for camera in rig.cameras:
        x, y, z, w = quaternion_from_rotation(camera.t_base_camera[:3, :3])
        shift = types["geometry_msgs/msg/Vector3"](*(float(v) for v in camera.t_base_camera[:3, 3]))
        turn = types["geometry_msgs/msg/Quaternion"](x, y, z, w)
        header = header_type(time_type(stamp // 10**9, stamp % 10**9), BASE_FRAME)
        transform = types["geometry_msgs/msg/Transform"](shift, turn)
        transforms.append(types["geometry_msgs/msg/TransformStamped"](header, optical_frame(camera.name), transform))
    return types[TF_TYPE](transforms)


def write_clip_as_bag(
    clip: Clip, path: Path, *, compressed: bool = True, progress: Callable[[], None] = lambda: None
) -> None:
    """Write a clip as a rosbag2 folder: images, camera_info, odometry, tf_static and driving command.

    Args:
        clip: The clip.
        path: The folder to make; whole or not there.
        compressed: The JPEG files as ``CompressedImage``, byte for byte; else decoded to raw ``Image``.
        progress: Called after every frame.

    Raises:
        InputError: where the folder exists, or an image is missing, broken or of another size.
    """
    kinds = bag_typestore().types
    start = min(min(f.stamps.values()) for f in clip.frames)
    events: list[tuple[Stamp, Callable[[], None]]] = []
    with BagWriter(path) as bag:
        odometry = clip.odometry()
        start = min(start, odometry[0].stamp)
        bag.write(TF_STATIC, static_transforms(clip.rig, start), start, latched=True)
        for state in odometry:
            message: Any = odometry_from_ego_state(state)
            events.append((state.stamp, partial(bag.write, ODOMETRY, message, state.stamp)))
        said = None
        for frame in clip.frames:
            command = frame.command
            if said is None or (command.text, command.action) != said:
                said = (command.text, command.action)
                when = min(frame.stamps.values()) if events else start
                message = driving_command_to_message(command)
                events.append((when, partial(bag.write, COMMAND, message, when, latched=True)))
            for camera in clip.rig.cameras:
                stamp = frame.stamps[camera.name]
                file = frame.images[camera.name]

                def write(camera: Any = camera, stamp: Stamp = stamp, file: Path = file) -> None:
                    pixels = read_image(file, (camera.width, camera.height))
                    bag.write(info_topic(camera.name), info_from_camera(camera, stamp), stamp)
                    if compressed:
                        data = np.frombuffer(file.read_bytes(), dtype=np.uint8)
                        header = kinds["std_msgs/msg/Header"](
                            kinds["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9),
                            optical_frame(camera.name),
                        )
                        kind = "png" if file.suffix.lower() == ".png" else "jpeg"
                        message = kinds["sensor_msgs/msg/CompressedImage"](header, kind, data)
                    else:
                        message = image_from_rgb(pixels, stamp, optical_frame(camera.name))
                    bag.write(image_topic(camera.name, compressed=compressed), message, stamp)

                events.append((stamp, write))
            events.append((frame.stamp, progress))
        for _, action in sorted(events, key=lambda e: e[0]):
            action()
