"""Tell a trained encoder what its training scenes looked like, from the cached maps of its frozen backbone."""

from __future__ import annotations

import numpy as np

from vadv2_perception.model import SceneModel
from vadv2_perception.novelty import NoveltyStatistics, calibrate, keep_statistics
from vadv2_training.frame_store import FEATURE_NAMES, FrameStore, Window

FEWEST_FRAMES = 100
"""With fewer frames than this a threshold would mean nothing, and the encoder stays uncalibrated."""


def calibrate_novelty(scene: SceneModel, store: FrameStore, frames: int = 3000) -> NoveltyStatistics | None:
    """Calibrate the novelty measure on frames of a store, evenly over its drives, and keep it in the model.

    Frames in which a camera is not valid are left out: a dark camera is the camera supervision's to name.

    Args:
        scene: The encoder whose frozen backbone filled the store; its buffers are written.
        store: Cached frames.
        frames: At most so many.

    Returns:
        What was kept; None for a store that is too small.
    """
    counts = np.array([store.count(shard) for shard in range(len(store.names))])
    every = np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts])
    chosen = np.unique(np.linspace(0, counts.sum() - 1, min(frames, int(counts.sum()))).round().astype(int))
    pooled = []
    for index in chosen:
        window = Window(int(every[0][index]), int(every[1][index]), 1)
        rows = store.read(window, (FEATURE_NAMES[-1], "camera_valid"))
        if bool((rows["camera_valid"][0] > 0).all()):
            pooled.append(rows[FEATURE_NAMES[-1]][0].float().mean(dim=(-1, -2)).numpy())
    if len(pooled) < FEWEST_FRAMES:
        return None
    statistics = calibrate(np.stack(pooled))
    keep_statistics(scene, statistics)
    return statistics
