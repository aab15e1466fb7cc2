"""A future that goes too far comes to rest where it has to."""

from __future__ import annotations

import numpy as np
import pytest

from vadv2_planner.motion import motion_from_positions
from vadv2_planner.stopping import eased, stopped_within

TIMES = 0.1 * np.arange(1, 81)


def future(speed: float, acceleration: float = 0.0, bend: float = 0.0) -> np.ndarray:
    """(80, 6) along an arc of so much curvature."""
    s = speed * TIMES + 0.5 * acceleration * TIMES**2
    xy = np.stack([np.sin(bend * s) / bend, (1.0 - np.cos(bend * s)) / bend], -1) if bend else np.stack([s, 0 * s], -1)
    return motion_from_positions(xy, speed, 8.0)


@pytest.mark.parametrize(("speed", "within"), [(8.0, 20.0), (8.0, 13.0), (8.0, 6.0), (3.0, 10.0)])
def test_it_comes_to_rest_within_the_distance_and_not_long_before(speed: float, within: float) -> None:
    points = stopped_within(future(speed), within, speed)
    assert within - 0.6 < points[-1, 1] <= within + 0.1
    assert points[-1, 4] < 0.2
    assert points[:, 5].min() > -max(2.5, speed**2 / (2 * within)) - 0.8
    assert (np.diff(points[:, 1]) > -1e-3).all()


def test_who_has_no_room_left_brakes_as_hard_as_one_can_and_no_harder() -> None:
    points = stopped_within(future(8.0), 0.0, 8.0)
    assert -9.0 < points[:, 5].min() < -7.0 and points[-1, 4] < 0.1
    assert points[-1, 1] == pytest.approx(8.0**2 / (2 * 8.0), abs=0.5)


def test_who_stands_and_has_no_room_stays() -> None:
    points = stopped_within(future(0.0, acceleration=1.0), 0.0, 0.0)
    np.testing.assert_allclose(points[:, 1:3], 0.0, atol=1e-9)


def test_it_stays_on_its_way_and_a_future_that_stops_sooner_stays_as_it_is() -> None:
    bent = future(6.0, bend=0.05)
    slow = stopped_within(bent, 12.0, 6.0)
    radius = np.hypot(slow[:, 1], slow[:, 2] - 20.0)
    np.testing.assert_allclose(radius, 20.0, atol=0.05)
    soon = future(4.0, acceleration=0.0)
    soon[:, 4] = np.maximum(4.0 - 2.0 * TIMES, 0.0)
    s = np.where(TIMES < 2.0, 4.0 * TIMES - TIMES**2, 4.0)
    soon = motion_from_positions(np.stack([s, 0 * s], -1), 4.0, 8.0)
    np.testing.assert_allclose(stopped_within(soon, 30.0, 4.0)[:, 1], soon[:, 1], atol=0.1)


def test_comfort_gives_more_room_than_there_is_and_never_less_than_none() -> None:
    assert eased(3.0, 5.0) == pytest.approx(5.0)
    assert eased(8.0, 5.0) == 8.0
    assert eased(-2.0, 0.0) == 0.0
