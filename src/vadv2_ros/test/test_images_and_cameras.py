"""Images of every encoding, cameras and transforms."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from vocabulary import STAMP, ego_state, rig

from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.trajectory import Trajectory
from vadv2_ros import camera_messages, images, standard_messages

RGB = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def image(encoding: str, pixels: np.ndarray, padding: int = 0) -> Image:
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    data = array.array("B", rows.tobytes())
    return Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1], data=data)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", RGB),
        ("bgr8", RGB[..., ::-1]),
        ("rgba8", np.dstack([RGB, np.full((5, 7), 9, np.uint8)])),
        ("bgra8", np.dstack([RGB[..., ::-1], np.full((5, 7), 9, np.uint8)])),
    ],
)
def test_colour_encodings(encoding: str, pixels: np.ndarray, padding: int) -> None:
    assert np.array_equal(images.rgb_from_message(image(encoding, pixels, padding)), RGB)


def test_mono8_is_grey() -> None:
    grey = RGB[..., 0]
    assert np.array_equal(images.rgb_from_message(image("mono8", grey)), np.repeat(grey[..., None], 3, axis=2))


def test_bayer_goes_through_cv_bridge() -> None:
    flat_grey = np.full((8, 8), 77, np.uint8)
    assert np.array_equal(images.rgb_from_message(image("bayer_rggb8", flat_grey)), np.full((8, 8, 3), 77, np.uint8))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (image("yuv422_yuy2x", RGB), "encoding 'yuv422_yuy2x'"),
        (Image(height=5, width=7, encoding="rgb8", step=21, data=b"123"), "3 bytes"),
        (Image(height=0, width=7, encoding="rgb8"), "size is 7x0"),
        (CompressedImage(format="jpeg", data=b"no image"), "8 bytes of format 'jpeg'"),
        (CompressedImage(format="jpeg"), "0 bytes"),
    ],
)
def test_what_is_no_image_is_named(message: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        images.rgb_from_message(message, "camera 'front'")
    assert "camera 'front'" in str(caught.value)


def test_raw_and_compressed_round_trip() -> None:
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    raw = images.image_from_rgb(smooth, STAMP, "front")
    assert np.array_equal(images.rgb_from_message(raw), smooth)
    jpeg = images.rgb_from_message(images.compressed_from_rgb(smooth, STAMP, "front"))
    assert np.abs(jpeg.astype(int) - smooth).mean() < 6.0


def test_rgb8_is_a_view() -> None:
    message = images.image_from_rgb(RGB, STAMP, "front")
    view = images.rgb_from_message(message)
    message.data[0] = (int(view[0, 0, 0]) + 1) % 256
    assert view[0, 0, 0] == message.data[0]


def test_camera_info_round_trip() -> None:
    camera = rig(np.random.default_rng(2)).cameras[0]
    info = camera_messages.info_from_camera(camera, STAMP)
    again = camera_messages.camera_from_info(camera.name, info, camera.t_base_camera)
    assert (again.width, again.height) == (camera.width, camera.height)
    assert np.array_equal(again.k, camera.k)
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    with pytest.raises(InputError, match="distortion"):
        camera_messages.camera_from_info(camera.name, info, camera.t_base_camera)
    info.d, info.k = [], np.zeros(9)
    with pytest.raises(InputError, match="singular"):
        camera_messages.camera_from_info(camera.name, info, camera.t_base_camera)


def test_transform_round_trip() -> None:
    for camera in rig(np.random.default_rng(5)).cameras:
        message = standard_messages.transform_from_matrix(camera.t_base_camera, STAMP, "base_link", "front")
        assert np.allclose(standard_messages.matrix_from_transform(message), camera.t_base_camera, atol=1e-12)
    half_turns = (np.diag([1.0, -1.0, -1.0]), np.diag([-1.0, 1.0, -1.0]), np.diag([-1.0, -1.0, 1.0]))
    for turn in half_turns:
        q = standard_messages.quaternion_from_rotation(turn)
        assert np.allclose(standard_messages.rotation_from_quaternion(*q), turn)


def test_odometry_keeps_what_it_can() -> None:
    ego = ego_state(np.random.default_rng(4))
    again = standard_messages.ego_state_from_odometry(
        standard_messages.odometry_from_ego_state(ego), ego.acceleration, ego.steering_angle
    )
    assert (again.stamp, again.velocity, again.yaw_rate) == (ego.stamp, ego.velocity, ego.yaw_rate)
    assert np.allclose([again.pose.x, again.pose.y, again.pose.yaw], [ego.pose.x, ego.pose.y, ego.pose.yaw], atol=1e-12)


def test_odometry_that_is_not_finite_is_refused() -> None:
    message = standard_messages.odometry_from_ego_state(ego_state(np.random.default_rng(4)))
    message.twist.twist.linear.x = float("nan")
    with pytest.raises(InputError, match="not finite"):
        standard_messages.ego_state_from_odometry(message)


def test_path_is_in_odom_with_times() -> None:
    points = np.array([[0.1, 1.0, 0.0, 0.0, 10.0, 0.0], [0.2, 2.0, 0.5, 0.1, 10.0, 0.0]])
    path = standard_messages.path_from_trajectory(Trajectory(STAMP, Pose2(10.0, 20.0, np.pi / 2), points, 1.0))
    last = path.poses[-1]
    assert path.header.frame_id == "odom"
    assert np.allclose([last.pose.position.x, last.pose.position.y], [9.5, 22.0])
    assert last.header.stamp.sec * 10**9 + last.header.stamp.nanosec == STAMP + 200_000_000
