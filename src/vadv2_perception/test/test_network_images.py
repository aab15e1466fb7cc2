from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
from vadv2_core.errors import InputError
from vadv2_perception.network_images import network_images, to_network_size


@pytest.mark.parametrize("width, height", [(480, 224), (960, 540), (1600, 900), (240, 60), (320, 480)])
def test_a_marked_pixel_lies_where_the_scaled_camera_says(width: int, height: int) -> None:
    camera = CameraModel(
        "front", width, height, np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]]), np.eye(4)
    )
    u, v = round(0.31 * width), round(0.81 * height)
    image = np.zeros((height, width, 3), np.uint8)
    size = max(2, width // 40)
    image[v - size : v + size + 1, u - size : u + size + 1] = 255
    scaled = to_network_size(image, 480, 224)
    assert scaled.shape == (224, 480, 3)
    rows, columns = np.nonzero(scaled[..., 0] > 127)
    ray = np.linalg.inv(camera.k) @ [u, v, 1.0]
    expected = camera.scaled(480, 224).k @ ray
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected[:2] / expected[2], atol=1.0)


def test_cameras_that_are_not_valid_are_black(make_frame: Callable[..., CameraFrame]) -> None:
    images = network_images(make_frame(valid=[True, False, True, True, True, True]), 96, 64)
    assert not images[1].any()
    assert images[0].any()


def test_an_image_of_another_size_than_its_camera_is_refused_by_name(
    make_frame: Callable[..., CameraFrame], make_rig: Callable[..., CameraRig]
) -> None:
    frame = make_frame()
    wrong = CameraFrame(frame.stamp, make_rig(width=100), frame.images, frame.stamps, frame.valid)
    with pytest.raises(InputError, match="camera_0"):
        network_images(wrong, 96, 64)
