"""Images of any size to the network's: scaled to its width, cropped at the top to its height, K changed with them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame
from vadv2_core.errors import InputError


def to_network_size(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """One (H, W, 3) image as `vadv2_core.camera.CameraModel.scaled` describes it: (height, width, 3).

    The lower rows are kept, because the sky is what a lower picture can do without; a flatter picture is padded with
    black at the top.
    """
    if image.shape[:2] == (height, width):
        return image
    rows = round(image.shape[0] * width / image.shape[1])
    if (rows, width) != image.shape[:2]:
        shrinks = width < image.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, rows), interpolation=how), dtype=np.uint8)
    if rows >= height:
        return image[rows - height :]
    return np.concatenate([np.zeros((height - rows, width, 3), dtype=np.uint8), image])


def network_images(frame: CameraFrame, width: int, height: int) -> NDArray[np.uint8]:
    """All images of a frame in the network's size: (cameras, height, width, 3); black where not valid.

    Raises:
        InputError: for an image that is not (H, W, 3) uint8 of its camera's size, naming the camera.
    """
    batch = np.zeros((len(frame.images), height, width, 3), dtype=np.uint8)
    for i, (camera, image) in enumerate(zip(frame.rig.cameras, frame.images, strict=True)):
        if not frame.valid[i]:
            continue
        if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
            found = f"image is {image.shape} {image.dtype}"
            raise InputError(found, f"camera {camera.name!r}", f"({camera.height}, {camera.width}, 3) uint8")
        batch[i] = to_network_size(image, width, height)
    return batch
