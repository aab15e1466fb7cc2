"""Seeded scene tokens and commands for the tests; nothing in them is a real scene."""

from __future__ import annotations

import numpy as np

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.tokens import SceneMap, SceneObjects, SceneTokens

LEFT = DrivingCommand(1_000, "turn left at the next intersection", DrivingAction.LEFT, 30.0)
FOLLOW = DrivingCommand(1_000, "follow the lane", DrivingAction.LANE_FOLLOW, 0.0)


def scene_tokens(seed=0, objects=6, elements=4, image_channels=64, query_channels=128, stamp=1_000, speed=8.0):
    g = np.random.default_rng(seed)
    n, m = objects, elements
    return SceneTokens(
        stamp=stamp,
        tokens=g.normal(size=(6, 14, 30, image_channels)).astype(np.float16),
        queries=g.normal(size=(49, query_channels)).astype(np.float16),
        objects=SceneObjects(
            g.integers(1, 12, n).astype(np.int32),
            g.uniform(size=n).astype(np.float32),
            g.normal(size=(n, 5)).astype(np.float32) * 10.0,
            g.normal(size=(n, 2)).astype(np.float32) * 4.0,
            g.integers(1, 9, n).astype(np.int32),
            g.uniform(size=n).astype(np.float32),
        ),
        map=SceneMap(
            g.integers(0, 5, m).astype(np.int32),
            g.uniform(size=m).astype(np.float32),
            g.normal(size=(m, 10, 2)).astype(np.float32) * 10.0,
            g.integers(0, 6, m).astype(np.int32),
            g.uniform(size=m).astype(np.float32),
            g.uniform(size=m).astype(np.float32),
        ),
        aux=g.normal(size=(4, query_channels)).astype(np.float16),
        ego=EgoState(stamp, Pose2(0.0, 0.0, 0.0), (speed, 0.0), (0.0, 0.0), 0.0, 0.0),
        k=np.broadcast_to(np.eye(3), (6, 3, 3)).copy(),
        t_base_camera=np.broadcast_to(np.eye(4), (6, 4, 4)).copy(),
        camera_stamps=np.full(6, stamp, dtype=np.int64),
        t_anchor_camera_time=np.broadcast_to(np.eye(3), (6, 3, 3)).copy(),
        camera_valid=np.ones(6, dtype=bool),
        novelty=0.0,
        encoder_hash="seeded",
        model_id="encoder-untrained",
    )
