"""Images of messages and RGB arrays: raw and compressed, through views of the message's memory where that can be."""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp
from vadv2_ros.fields import header

Rgb = NDArray[np.uint8]

_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
_TO_RGB = {
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
}
ENCODINGS = tuple(_CHANNELS)
"""Encodings that need nothing but numpy; others go through cv_bridge where it is installed."""


def rgb_from_image(message: Any, where: str = "image") -> Rgb:
    """A raw image as (H, W, 3) uint8 RGB; rgb8 is a view of the message.

    Raises:
        InputError: for an empty image, too little data for its size, or an encoding nothing here reads.
    """
    height, width, encoding = int(message.height), int(message.width), str(message.encoding)
    if height < 1 or width < 1:
        raise InputError(f"size is {width}x{height}", where, "at least 1x1")
    channels = _CHANNELS.get(encoding)
    if channels is None:
        return _through_cv_bridge(message, encoding, where)
    step = int(message.step) or width * channels
    data = np.frombuffer(message.data, dtype=np.uint8)
    if step < width * channels or data.size < step * height:
        raise InputError(f"{data.size} bytes, step {step}", where, f"{width}x{height} {encoding}")
    rows = data[: step * height].reshape(height, step)[:, : width * channels]
    pixels = rows.reshape(height, width, channels)
    return pixels if encoding == "rgb8" else np.asarray(cv2.cvtColor(pixels, _TO_RGB[encoding]), dtype=np.uint8)


def _through_cv_bridge(message: Any, encoding: str, where: str) -> Rgb:
    expected = ", ".join(ENCODINGS)
    try:
        from cv_bridge import CvBridge, CvBridgeError
    except ImportError:
        raise InputError(f"encoding {encoding!r}", where, f"{expected}; cv_bridge for others") from None
    try:
        return np.asarray(CvBridge().imgmsg_to_cv2(message, "rgb8"), dtype=np.uint8)
    except (CvBridgeError, cv2.error, KeyError, TypeError, ValueError):
        raise InputError(f"encoding {encoding!r}", where, expected) from None


def rgb_from_compressed(message: Any, where: str = "compressed image") -> Rgb:
    """A JPEG or PNG image as (H, W, 3) uint8 RGB.

    Raises:
        InputError: for bytes that are no image.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    if decoded is None:
        raise InputError(f"{data.size} bytes of format {message.format!r} are no image", where, "JPEG or PNG")
    return np.asarray(decoded, dtype=np.uint8)


def rgb_from_message(message: Any, where: str = "image") -> Rgb:
    """A raw or compressed image message as RGB; see `rgb_from_image` and `rgb_from_compressed`."""
    return rgb_from_image(message, where) if hasattr(message, "encoding") else rgb_from_compressed(message, where)


def image_from_rgb(image: Rgb, stamp: Stamp, frame_id: str) -> Image:
    """An RGB array as a raw rgb8 message."""
    height, width = image.shape[:2]
    data = array.array("B", np.ascontiguousarray(image).tobytes())
    return Image(
        header=header(stamp, frame_id),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=data,
    )


def compressed_from_rgb(image: Rgb, stamp: Stamp, frame_id: str, quality: int = 90) -> CompressedImage:
    """An RGB array as a JPEG message."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return CompressedImage(
        header=header(stamp, frame_id), format="rgb8; jpeg compressed bgr8", data=array.array("B", encoded.tobytes())
    )
