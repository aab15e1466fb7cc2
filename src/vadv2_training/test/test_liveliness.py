"""A store's long waits do not drown what moves."""

from pathlib import Path

import numpy as np

from vadv2_training.frame_store import FrameStore, write_shard
from vadv2_training.liveliness import KEEP_EVERY, lively_rows, lively_windows, staying


def store_of(tmp_path: Path, speeds: np.ndarray) -> FrameStore:
    """A drive at 2 Hz with these speeds, m/s, and the futures that follow from them."""
    n = len(speeds)
    x = np.concatenate([[0.0], np.cumsum(speeds * 0.5)])
    future, known = np.zeros((n, 80, 3), np.float32), np.zeros((n, 80), np.float32)
    for i in range(n):
        times = i * 0.5 + 0.1 * np.arange(1, 81)
        future[i, :, 0] = np.interp(times, np.arange(n + 1) * 0.5, x) - x[i]
        known[i] = times <= n * 0.5
    ego = np.zeros((n, 5), np.float32)
    ego[:, 0] = speeds / 10.0
    stamps = (np.arange(n) * 500_000_000).astype(np.int64)
    arrays = {"stamps": stamps, "ego": ego, "future": future, "future_known": known}
    write_shard(tmp_path, "a", arrays, {}, [None] * n)
    return FrameStore(tmp_path, 4)


def test_a_stay_ends_where_the_future_moves(tmp_path):
    store = store_of(tmp_path, np.array([0.0] * 20 + [5.0] * 20))
    still = staying(store, 0)
    # A second of driving at 5 m/s is within reach of 3 s from the sixth frame before it on.
    assert still[:14].all() and not still[16:].any()


def test_one_in_four_of_a_stay_is_used_and_nothing_after_twenty_seconds(tmp_path):
    store = store_of(tmp_path, np.array([5.0] * 20 + [0.0] * 200 + [5.0] * 20))
    kept = [frame for _, frame, _ in lively_rows(store, tuple((0, i, i) for i in range(240)))]
    still = np.flatnonzero(staying(store, 0))
    of_stay = [f for f in kept if f in set(still)]
    assert np.diff(of_stay[1:]).tolist() == [KEEP_EVERY] * (len(of_stay) - 2)
    assert max(of_stay) - still[0] <= 41
    moving = set(range(240)) - set(still.tolist())
    assert moving <= set(kept), "what moves, and the moments before it moves, are all used"


def test_windows_follow_the_frames(tmp_path):
    store = store_of(tmp_path, np.array([5.0] * 20 + [0.0] * 200 + [5.0] * 20))
    windows = lively_windows(store)
    assert [w for w in windows if 70 < w.start < 205] == []
    assert [w.start for w in windows if w.start < 16] == [0, 2, 4, 6, 8, 10, 12, 14]
