from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from vadv2_core.camera import CameraFrame, CameraRig
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_perception import PerceptionConfig, SceneEncoder
from vadv2_perception.checkpoints import load_encoder, save_encoder
from vadv2_perception.novelty import calibrate, keep_statistics, statistics_of


def _road(rig: CameraRig, seed: int, seconds: float) -> CameraFrame:
    """A frame of simple streets: sky, road and a few boxes that differ from seed to seed."""
    rng = np.random.default_rng(seed)
    images = []
    for camera in rig.cameras:
        image = np.zeros((camera.height, camera.width, 3), np.uint8)
        image[: camera.height // 2] = (150 + rng.integers(0, 30), 180, 210)
        image[camera.height // 2 :] = 80 + rng.integers(0, 20)
        for _ in range(3):
            x, y = int(rng.integers(0, camera.width)), int(rng.integers(camera.height // 2 - 8, camera.height // 2 + 8))
            cv2.rectangle(image, (x, y), (x + 14, y + 9), tuple(int(v) for v in rng.integers(20, 220, 3)), -1)
        images.append(cv2.GaussianBlur(image, (3, 3), 0))
    stamp = round(seconds * 1e9)
    return CameraFrame(stamp, rig, tuple(images), np.full(6, stamp, np.int64), np.ones(6, bool))


def test_noise_is_novel_after_calibration_and_roads_are_not(
    small_checkpoint: Path,
    tmp_path: Path,
    torch_config: PerceptionConfig,
    make_rig: Callable[..., CameraRig],
    make_ego: Callable[..., EgoState],
) -> None:
    encoder = SceneEncoder(small_checkpoint, torch_config)
    rig = make_rig()
    pooled = np.stack([encoder.pooled_features(_road(rig, i, i)) for i in range(40)])
    loaded = load_encoder(small_checkpoint)
    keep_statistics(loaded.model, calibrate(pooled))
    save_encoder(tmp_path / "calibrated", loaded.model, "calibrated-1")
    calibrated = SceneEncoder(tmp_path / "calibrated", torch_config)
    roads = [calibrated.encode(_road(rig, 100 + i, i), make_ego(float(i))).novelty for i in range(10)]
    assert 0 < np.median(roads) < 1
    noisy = _road(rig, 200, 20)
    rng = np.random.default_rng(0)
    noise = tuple(rng.integers(0, 256, image.shape, dtype=np.uint8) for image in noisy.images)
    broken = CameraFrame(noisy.stamp, rig, noise, noisy.stamps, noisy.valid)
    assert calibrated.encode(broken, make_ego(20.0)).novelty > 1
    assert encoder.encode(broken, make_ego(20.0)).novelty == 0.0
    nobody = CameraFrame(noisy.stamp, rig, noise, noisy.stamps, np.zeros(6, bool))
    assert calibrated.encode(nobody, make_ego(20.0)).novelty == 0.0


def test_the_distance_is_that_of_mahalanobis() -> None:
    rng = np.random.default_rng(0)
    mix = np.array([[2.0, 0.0], [1.0, 0.1]])
    frames = rng.normal(size=(4000, 1, 2)) @ mix.T + [3.0, -1.0]
    statistics = calibrate(frames, shrinkage=0.0)
    np.testing.assert_allclose(statistics.mean, [3.0, -1.0], atol=0.1)
    for z in ([1.0, 0.0], [0.0, 1.0], [1.0, -2.0]):
        point = np.array([z]) @ mix.T + [3.0, -1.0]
        np.testing.assert_allclose(statistics.distance(point), np.linalg.norm(z) / np.sqrt(2), rtol=0.15)
    below = (statistics.distance(frames) < statistics.threshold).mean()
    assert below > 0.99


@pytest.mark.parametrize("features", [np.zeros((3, 6, 4)), np.full((20, 6, 4), np.nan), np.zeros((20, 4))])
def test_calibration_refuses_what_it_cannot_use(features: np.ndarray) -> None:
    with pytest.raises(InputError, match="calibration"):
        calibrate(features)


def test_a_model_is_uncalibrated_at_first(small_checkpoint: Path) -> None:
    assert statistics_of(load_encoder(small_checkpoint).model).threshold == 0
