from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_perception.checkpoints import save_encoder
from vadv2_perception.configuration import EncoderModelConfig, PerceptionConfig
from vadv2_perception.model import SceneModel

SMALL = EncoderModelConfig(
    image_width=96,
    image_height=64,
    token_channels=32,
    query_channels=32,
    memory_channels=16,
    heads=2,
    layers=2,
    object_queries=6,
    map_queries=4,
    points=4,
)


def _rig(count: int = 6, width: int = 96, height: int = 64, up: float = 1.6, turned: float = 0.0) -> CameraRig:
    cameras = []
    for i in range(count):
        a = turned + i * 2 * math.pi / count
        level = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1.0]])
        t = np.eye(4)
        t[:3, :3] = level @ np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
        t[:3, 3] = 1.0 + 0.5 * math.cos(a), 0.5 * math.sin(a), up
        k = np.array([[0.7 * width, 0, 0.5 * width - 0.5], [0, 0.7 * width, 0.5 * height - 0.5], [0, 0, 1]])
        cameras.append(CameraModel(f"camera_{i}", width, height, k, t))
    return CameraRig(tuple(cameras))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def small_config() -> EncoderModelConfig:
    return SMALL


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., CameraRig]:
    return _rig


@pytest.fixture(scope="session")
def make_frame() -> Callable[..., CameraFrame]:
    def make(seconds: float = 0.0, rig: CameraRig | None = None, seed: int = 0, valid: object = True) -> CameraFrame:
        rig = rig or _rig()
        rng = np.random.default_rng(seed)
        images = tuple(rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in rig.cameras)
        stamp = 1_700_000_000_000_000_000 + round(seconds * 1e9)
        mask = np.ones(len(images), bool) & np.asarray(valid)
        return CameraFrame(stamp, rig, images, np.full(len(images), stamp, np.int64), mask)

    return make


@pytest.fixture(scope="session")
def make_ego() -> Callable[..., EgoState]:
    def make(
        seconds: float = 0.0, speed: float = 5.0, x: float | None = None, steering: float | None = None
    ) -> EgoState:
        stamp = 1_700_000_000_000_000_000 + round(seconds * 1e9)
        pose = Pose2(speed * seconds if x is None else x, 0.0, 0.0)
        return EgoState(stamp, pose, (speed, 0.0), (0.0, 0.0), 0.0, steering)

    return make


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with every weight drawn so that each part has a say."""
    torch.manual_seed(3)
    model = SceneModel(SMALL, pretrained=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "move_" in name or "history.out" in name:
                parameter.normal_(std=0.2)
    directory = tmp_path_factory.mktemp("encoder")
    save_encoder(directory, model, "test-encoder-1")
    return directory


@pytest.fixture
def torch_config(tmp_path: Path) -> PerceptionConfig:
    return PerceptionConfig(backend="torch", confidence_threshold=0.0, cache_directory=str(tmp_path / "cache"))
