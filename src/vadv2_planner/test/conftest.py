"""Seeded frames of tokens for the planner's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.tokens import SceneMap, SceneObjects, SceneTokens

STAMP = 1_700_000_000_000_000_000


def make_tokens(seed: int = 0, speed: float = 10.0, stamp: int = STAMP, yaw_rate: float = 0.0) -> SceneTokens:
    rng = np.random.default_rng(seed)
    ego = EgoState(stamp, Pose2(1000.0, -50.0, 0.3), (speed, 0.0), (0.0, 0.0), yaw_rate)
    poses = []
    for yaw in np.deg2rad([0.0, 55.0, -55.0, 180.0, 110.0, -110.0]):
        c, s = np.cos(yaw), np.sin(yaw)
        pose = np.eye(4)
        pose[:3, :3] = np.array([[s, 0.0, c], [-c, 0.0, s], [0.0, -1.0, 0.0]])
        pose[:3, 3] = [1.3 + 0.8 * c, 0.8 * s, 1.6]
        poses.append(pose)
    k = np.array([[18.0, 0.0, 14.5], [0.0, 18.0, 5.0], [0.0, 0.0, 1.0]])
    f, i = np.float32, np.int32
    objects = SceneObjects(
        np.zeros(0, i), np.zeros(0, f), np.zeros((0, 5), f), np.zeros((0, 2), f), np.zeros(0, i), np.zeros(0, f)
    )
    elements = SceneMap(
        np.zeros(0, i), np.zeros(0, f), np.zeros((0, 10, 2), f), np.zeros(0, i), np.zeros(0, f), np.zeros(0, f)
    )
    return SceneTokens(
        stamp=stamp,
        tokens=rng.normal(size=(6, 14, 30, 64)).astype(np.float16),
        queries=rng.normal(size=(49, 128)).astype(np.float16),
        objects=objects,
        map=elements,
        aux=rng.normal(size=(4, 128)).astype(np.float16),
        ego=ego,
        k=np.tile(k, (6, 1, 1)),
        t_base_camera=np.stack(poses),
        camera_stamps=np.full(6, stamp, dtype=np.int64),
        t_anchor_camera_time=np.tile(np.eye(3), (6, 1, 1)),
        camera_valid=np.ones(6, dtype=bool),
        novelty=0.0,
        encoder_hash="e" * 64,
        model_id="encoder-untrained",
    )


def make_command(stamp: int = STAMP, action: DrivingAction = DrivingAction.LANE_FOLLOW) -> DrivingCommand:
    return DrivingCommand(stamp, "follow the lane", action)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tokens() -> SceneTokens:
    return make_tokens()


@pytest.fixture
def frame() -> Callable[..., SceneTokens]:
    return make_tokens


@pytest.fixture
def moved() -> Callable[[SceneTokens, int], SceneTokens]:
    def move(tokens: SceneTokens, nanoseconds: int) -> SceneTokens:
        ego = replace(tokens.ego, stamp=tokens.stamp + nanoseconds)
        return replace(tokens, stamp=tokens.stamp + nanoseconds, ego=ego)

    return move


@pytest.fixture
def command() -> DrivingCommand:
    return make_command()
