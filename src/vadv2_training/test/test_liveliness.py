"""A store's long waits do not drown what moves."""

from pathlib import Path

import numpy as np
import pytest

from vadv2_core.taxonomy import AgentClass
from vadv2_core.vehicle import VehicleConfig
from vadv2_training.frame_store import FrameStore, write_shard
from vadv2_training.liveliness import (
    PLANNER_KEEPS_EVERY,
    PRESSING_TIMES,
    RARE_AHEAD,
    RARE_TIMES,
    STARTING_TIMES,
    lively_rows,
    lively_windows,
    pressing,
    runs_into,
    starting,
    staying,
)

VEHICLE = VehicleConfig()


def store_of(
    tmp_path: Path, speeds: np.ndarray, other: float | None = None, kind: AgentClass = AgentClass.CAR
) -> FrameStore:
    """A drive at 2 Hz with these speeds, m/s, the futures that follow, and something that stands ``other`` m ahead."""
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
    others, others_known = np.zeros((n, 16, 2, 5), np.float32), np.zeros((n, 16, 2), np.float32)
    if other is not None:
        others[:, :, 0, 0] = (other - x[:n])[:, None]
        others[:, :, 0, 3:] = (4.5, 1.9)
        others_known[:, :, 0] = 1.0
    arrays = {"stamps": stamps, "ego": ego, "future": future, "future_known": known}
    arrays |= {"others": others, "others_known": others_known}
    arrays |= {"object_known": others_known[:, 0], "object_box": others[:, 0]}
    arrays["object_class"] = np.full((n, 2), int(kind), np.int64)
    write_shard(tmp_path, "a", arrays, {}, [None] * n)
    return FrameStore(tmp_path, 4)


def test_a_stay_ends_where_the_future_moves(tmp_path):
    store = store_of(tmp_path, np.array([0.0] * 20 + [5.0] * 20))
    still = staying(store, 0)
    # A second of driving at 5 m/s is within reach of 3 s from the sixth frame before it on.
    assert still[:14].all() and not still[16:].any()


def test_one_in_two_of_a_stay_is_used_and_nothing_after_twenty_seconds(tmp_path):
    store = store_of(tmp_path, np.array([5.0] * 20 + [0.0] * 200 + [5.0] * 20))
    kept = [frame for _, frame, _ in lively_rows(store, tuple((0, i, i) for i in range(240)), VEHICLE)]
    still = np.flatnonzero(staying(store, 0))
    of_stay = [f for f in kept if f in set(still)]
    assert np.diff(of_stay[1:]).tolist() == [PLANNER_KEEPS_EVERY] * (len(of_stay) - 2)
    assert max(of_stay) - still[0] <= 41
    moving = set(range(240)) - set(still.tolist())
    assert moving <= set(kept), "what moves, and the moments before it moves, are all used"


def test_windows_follow_the_frames(tmp_path):
    store = store_of(tmp_path, np.array([5.0] * 20 + [0.0] * 200 + [5.0] * 20))
    windows = lively_windows(store)
    assert [w for w in windows if 70 < w.start < 205] == []
    assert [w.start for w in windows if w.start < 16] == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.parametrize(("kind", "times"), [(AgentClass.BUS, RARE_TIMES), (AgentClass.CAR, 1)])
def test_windows_with_something_rare_on_the_way_come_more_often(tmp_path, kind, times):
    store = store_of(tmp_path, np.full(40, 5.0), other=60.0, kind=kind)
    windows = lively_windows(store)
    seen = {w.start: windows.count(w) for w in windows}
    # At 2.5 m a frame it comes within reach at frame 15 and is passed after frame 23.
    reached = int((60.0 - RARE_AHEAD) / 2.5) + 1
    assert {start: n for start, n in seen.items() if start + 4 > reached and start < 24}
    for start, n in seen.items():
        assert n == (times if start + 4 > reached and start < 24 else 1), start


def test_frames_in_which_going_on_would_hit_somebody_come_more_often(tmp_path):
    speeds = np.concatenate([np.full(20, 5.0), np.linspace(5.0, 0.0, 10), np.zeros(4)])
    gone = np.concatenate([[0.0], np.cumsum(speeds * 0.5)])
    store = store_of(tmp_path, speeds, other=gone[-1] + 8.0)
    ahead = gone[-1] + 8.0 - gone[:-1]
    presses = pressing(store, 0, VEHICLE)
    front = VEHICLE.length - VEHICLE.rear_overhang + 2.25
    # 4 s at the present speed, give or take the half metre of the footprint's rounded corners.
    assert presses[(speeds > 1.0) & (speeds * 4.0 > ahead - front + 1.0)].all()
    assert not presses[(speeds <= 1.0) | (speeds * 4.0 < ahead - front - 1.0)].any()
    rows = lively_rows(store, tuple((0, i, i) for i in range(len(speeds))), VEHICLE)
    counts = np.bincount([frame for _, frame, _ in rows], minlength=len(speeds))
    assert presses.any() and set(counts[presses]) == {PRESSING_TIMES}
    assert set(counts[~presses]) <= {0, 1}


def test_frames_at_rest_from_which_it_starts_come_more_often(tmp_path):
    speeds = np.array([5.0] * 20 + [0.0] * 40 + [5.0] * 20)
    store = store_of(tmp_path, speeds)
    starts = starting(store, 0)
    assert np.flatnonzero(starts).tolist() == np.flatnonzero((speeds == 0.0) & ~staying(store, 0)).tolist()
    assert 4 <= starts.sum() <= 6 and np.flatnonzero(starts).max() == 59
    rows = lively_rows(store, tuple((0, i, i) for i in range(len(speeds))), VEHICLE)
    counts = np.bincount([frame for _, frame, _ in rows], minlength=len(speeds))
    assert set(counts[starts]) == {STARTING_TIMES} and set(counts[~starts]) <= {0, 1}


def test_a_future_that_ends_in_somebody_is_not_learned(tmp_path):
    store = store_of(tmp_path, np.full(20, 5.0), other=35.0)
    hits = runs_into(store, 0, VEHICLE)
    learned = {frame for _, frame, _ in lively_rows(store, tuple((0, i, i) for i in range(20)), VEHICLE)}
    assert hits.any() and not hits.all()
    assert learned == set(np.flatnonzero(~hits).tolist())
