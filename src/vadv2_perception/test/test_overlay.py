"""The overlay draws what is there, where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import vocabulary

from vadv2_core.camera import SURROUND_CAMERAS, CameraFrame, CameraModel, CameraRig
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.tokens import SceneObjects, SceneTokens
from vadv2_core.trajectory import Trajectory
from vadv2_perception.overlay import draw_overlay

WIDTH, HEIGHT = 240, 112


def looking(name: str, yaw: float) -> CameraModel:
    c, s = np.cos(yaw), np.sin(yaw)
    t = np.array([[s, 0, c, 1.5], [-c, 0, s, 0.0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    k = np.array([[170.0, 0, (WIDTH - 1) / 2], [0, 170.0, (HEIGHT - 1) / 2], [0, 0, 1]])
    return CameraModel(name, WIDTH, HEIGHT, k, t)


@pytest.fixture
def scene() -> tuple[CameraFrame, SceneTokens]:
    yaws = dict(zip(SURROUND_CAMERAS, np.radians([0, 55, -55, 180, 110, -110]), strict=True))
    rig = CameraRig(tuple(looking(n, float(y)) for n, y in yaws.items()))
    images = tuple(np.full((HEIGHT, WIDTH, 3), 90, np.uint8) for _ in rig.cameras)
    valid = np.array([True] * 5 + [False])
    frame = CameraFrame(vocabulary.STAMP, rig, images, np.full(6, vocabulary.STAMP), valid)
    tokens = vocabulary.tokens(np.random.default_rng(0), 0, 0)
    ego = EgoState(vocabulary.STAMP, Pose2(100.0, -40.0, 2.0), (5.0, 0.0), (0.0, 0.0), 0.0)
    return frame, replace(tokens, ego=ego)


def straight(pose: Pose2) -> Trajectory:
    t = np.arange(1, 81) * 0.1
    zero = np.zeros(80)
    return Trajectory(vocabulary.STAMP, pose, np.column_stack([t, 5.0 * t, zero, zero, zero + 5.0, zero]), 1.0)


def greener(picture: np.ndarray) -> np.ndarray:
    return picture[..., 1].astype(int) > picture[..., 0].astype(int) + 20


def test_a_straight_plan_lies_ahead_and_nowhere_else(scene: tuple[CameraFrame, SceneTokens]) -> None:
    frame, tokens = scene
    picture = draw_overlay(frame, tokens, straight(tokens.ego.pose), WIDTH)
    assert picture.shape == (2 * HEIGHT, 3 * WIDTH, 3)
    front = greener(picture[:HEIGHT, WIDTH : 2 * WIDTH])
    columns = np.nonzero(front.any(axis=0))[0]
    assert abs(columns.mean() - WIDTH / 2) < 3 and not front[: HEIGHT // 2].any()
    assert not greener(picture[HEIGHT:]).any()


def test_an_older_plan_moves_with_the_vehicle(scene: tuple[CameraFrame, SceneTokens]) -> None:
    frame, tokens = scene
    # Made one metre to the right of where the vehicle is now: it passes on the right.
    made = tokens.ego.pose.compose(Pose2(0.0, -1.0, 0.0))
    front = greener(draw_overlay(frame, tokens, straight(made), WIDTH)[:HEIGHT, WIDTH : 2 * WIDTH])
    assert np.nonzero(front.any(axis=0))[0].mean() > WIDTH / 2 + 5


def test_objects_and_missing_cameras_are_marked(scene: tuple[CameraFrame, SceneTokens]) -> None:
    frame, tokens = scene
    one = np.ones(1, np.float32)
    box = np.array([[14.0, 0.0, 0.0, 4.5, 1.8]], np.float32)
    objects = SceneObjects(one.astype(np.int32), one, box, np.zeros((1, 2), np.float32), one.astype(np.int32), one)
    bare = draw_overlay(frame, tokens, None, WIDTH)
    with_car = draw_overlay(frame, replace(tokens, objects=objects), None, WIDTH)
    changed = (bare != with_car).any(axis=-1)
    assert changed[:HEIGHT, WIDTH : 2 * WIDTH].any() and not changed[HEIGHT:].any()
    fault = bare[HEIGHT:, 2 * WIDTH :]
    assert (fault[..., 0].astype(int) > fault[..., 1].astype(int) + 60).any()
