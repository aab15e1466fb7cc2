from __future__ import annotations

import numpy as np
import pytest

from vadv2_core.geometry import Pose2
from vadv2_perception.frame_memory import FrameMemory, RememberedFrame

SHAPE = (2, 3, 4, 5)


def _frame(
    seconds: float, value: float = 0.0, x: float = 0.0, valid: tuple[bool, bool] = (True, True)
) -> RememberedFrame:
    return RememberedFrame(round(seconds * 1e9), Pose2(x, 0.0, 0.0), np.full(SHAPE, value, np.float16), np.array(valid))


def _filled(rate: float, seconds: float) -> FrameMemory:
    memory = FrameMemory((0.5, 1.0, 1.5), 1.0)
    for i in range(round(rate * seconds) + 1):
        memory.advance(round(i / rate * 1e9))
        memory.remember(_frame(i / rate, i, x=i))
    return memory


def test_frames_nearest_to_the_wanted_ages_are_found_with_their_true_ages() -> None:
    past = _filled(10, 3.0).past(round(3.1e9), Pose2(31.0, 0, 0), SHAPE)
    assert past.age[0].tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert past.tokens[0, :, 0, 0, 0, 0].tolist() == [26, 21, 16]
    assert past.valid.all()
    past = _filled(7, 3.0).past(round(3.1e9), Pose2(0, 0, 0), SHAPE)
    assert np.abs(past.age[0] - (0.5, 1.0, 1.5)).max() < 0.5 / 7 + 1e-3
    assert past.age[0, 0] != pytest.approx(0.5, abs=1e-3)


def test_motion_takes_a_point_of_now_to_then() -> None:
    memory = FrameMemory((0.5,), 1.0)
    memory.remember(RememberedFrame(0, Pose2(10.0, 5.0, np.pi / 2), np.zeros(SHAPE, np.float16), np.ones(2, bool)))
    now = Pose2(10.0, 9.0, np.pi / 2)  # Four metres on, heading along +y.
    motion = memory.past(round(0.5e9), now, SHAPE).motion[0, 0]
    np.testing.assert_allclose(motion @ [3.0, 1.0, 0.5, 1.0], [7.0, 1.0, 0.5, 1.0], atol=1e-5)


def test_missing_ages_and_cameras_are_marked() -> None:
    memory = FrameMemory((0.5, 1.0, 1.5), 1.0)
    assert not memory.past(0, Pose2(0, 0, 0), SHAPE).valid.any()
    memory.remember(_frame(0.0, 1.0, valid=(True, False)))
    past = memory.past(round(0.5e9), Pose2(0, 0, 0), SHAPE)
    assert past.valid[0].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert not memory.past(round(0.5e9), Pose2(0, 0, 0), (3, *SHAPE[1:])).valid.any()


@pytest.mark.parametrize("seconds, forgets", [(3.1, False), (4.0, False), (4.01, True), (2.99, True), (3.0, False)])
def test_a_gap_or_time_going_back_forgets(seconds: float, forgets: bool) -> None:
    memory = _filled(10, 3.0)
    assert memory.advance(round(seconds * 1e9)) is forgets
    assert (len(memory) == 0) is forgets


def test_memory_is_bounded() -> None:
    assert len(_filled(20, 60.0)) <= 20 * 1.5 * 1.25 + 2
    none = FrameMemory((), 1.0)
    none.remember(_frame(0.0))
    assert len(none) == 0
