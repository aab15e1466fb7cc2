from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.model import SceneModel
from vadv2_perception.novelty import statistics_of
from vadv2_training.frame_store import FEATURE_NAMES, FrameStore, quantised, write_shard
from vadv2_training.novelty_calibration import FEWEST_FRAMES, calibrate_novelty

SMALL = EncoderModelConfig(image_width=96, image_height=64, token_channels=16, query_channels=16, layers=1)


def _store(folder: Path, frames: int) -> FrameStore:
    rng = np.random.default_rng(0)
    for name, count in (("one", frames // 2), ("two", frames - frames // 2)):
        maps, scale = quantised(rng.normal(1.0, 0.5, (count, 2, 192, 2, 3)).astype(np.float32))
        valid = np.ones((count, 2), np.float32)
        valid[0, 1] = 0
        maps[0, 1] = 127  # What a broken camera shows must not become normal.
        arrays = {FEATURE_NAMES[-1]: maps, f"{FEATURE_NAMES[-1]}_scale": scale, "camera_valid": valid}
        write_shard(folder, name, arrays | {"stamps": np.arange(count)}, {}, [""] * count)
    return FrameStore(folder, 1)


def test_a_trained_encoder_knows_its_training_scenes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    scene = SceneModel(
        EncoderModelConfig(image_width=96, image_height=64, token_channels=16, query_channels=16, layers=1)
    )
    kept = calibrate_novelty(scene, _store(tmp_path, 300))
    assert kept is not None
    statistics = statistics_of(scene)
    assert statistics.threshold > 0
    rng = np.random.default_rng(1)
    alike = rng.normal(1.0, 0.5, (2, 192, 6)).mean(-1)
    assert 0 < statistics.novelty(alike) < 1
    assert statistics.novelty(alike + 2.0) > 1


def test_a_small_store_calibrates_nothing(tmp_path: Path) -> None:
    scene = SceneModel(
        EncoderModelConfig(image_width=96, image_height=64, token_channels=16, query_channels=16, layers=1)
    )
    assert calibrate_novelty(scene, _store(tmp_path, FEWEST_FRAMES // 2)) is None
    assert statistics_of(scene).threshold == 0
