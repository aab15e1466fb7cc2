"""Events: each kind is seen when it happens, once, with the right blame."""

from __future__ import annotations

import numpy as np

from vadv2_core.geometry import Pose2
from vadv2_core.scene import Agent, Lane, RoadMap, StopLine
from vadv2_core.taxonomy import AgentClass, LaneKind, SignalState, StopControl
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.drive_events import DriveEvent, EventDetector, EventKind
from vadv2_sim.lane_finder import LaneFinder

EAST = np.stack([np.arange(0.0, 101.0, 5.0), np.zeros(21)], axis=-1)
WEST = EAST[::-1] + np.array([0.0, 3.5])
AREA = np.array([[0.0, -1.75], [100.0, -1.75], [100.0, 5.25], [0.0, 5.25]])


def a_road(control: StopControl) -> RoadMap:
    lanes = {
        "east": Lane("east", LaneKind.ROAD, EAST, 3.5, 10.0),
        "west": Lane("west", LaneKind.ROAD, WEST, 3.5, 10.0),
    }
    line = StopLine("line", "east", np.array([[50.0, 1.75], [50.0, -1.75]]), control, "s")
    return RoadMap("t", "h", lanes, stop_lines=(line,), drivable=(AREA,))


class Drive:
    """Steps a detector along the road."""

    def __init__(self, control: StopControl = StopControl.NONE) -> None:
        road = a_road(control)
        self.finder = LaneFinder(road)
        self.detector = EventDetector(road, self.finder, VehicleConfig())
        self.stamp = 0
        self.events: list[DriveEvent] = []

    def step(
        self,
        x: float,
        y: float = 0.0,
        yaw: float = 0.0,
        speed: float = 5.0,
        agents: tuple[Agent, ...] = (),
        light: SignalState = SignalState.GREEN,
    ) -> None:
        self.stamp += 100_000_000
        match = self.finder.match(x + 1.35 * np.cos(yaw), y + 1.35 * np.sin(yaw), yaw)
        pose = Pose2(x, y, yaw)
        self.events += self.detector.step(self.stamp, pose, speed, match, 10.0, agents, {"s": light})

    def kinds(self) -> list[EventKind]:
        return [e.kind for e in self.events]


def a_car(x: float, y: float = 0.0, vx: float = 0.0) -> Agent:
    return Agent("v1", AgentClass.CAR, x, y, 0.0, 4.4, 1.8, 1.5, (vx, 0.0))


def test_driving_into_a_standing_car_is_the_egos_fault_and_told_once() -> None:
    drive = Drive()
    for k in range(30):
        drive.step(10.0 + 0.5 * k, agents=(a_car(20.0),))
    assert drive.kinds() == [EventKind.COLLISION]
    assert drive.events[0].at_fault


def test_being_hit_is_not() -> None:
    standing = Drive()
    standing.step(30.0, speed=0.0, agents=(a_car(28.0, vx=5.0),))
    behind = Drive()
    behind.step(30.0, speed=3.0, agents=(a_car(27.5, vx=9.0),))
    assert [e.at_fault for e in standing.events + behind.events] == [False, False]


def test_near_is_no_collision() -> None:
    drive = Drive()
    drive.step(10.0, agents=(a_car(16.0, vx=4.0), a_car(11.0, y=3.5, vx=-4.0)))
    assert drive.events == []


def test_red_light() -> None:
    for light, expected in ((SignalState.RED, [EventKind.RED_LIGHT]), (SignalState.GREEN, [])):
        drive = Drive(StopControl.SIGNAL)
        for k in range(20):
            drive.step(42.0 + 0.5 * k, light=light)
        assert drive.kinds() == expected
    against = Drive(StopControl.SIGNAL)
    for k in range(30):
        against.step(56.0 - 0.5 * k, 3.5, np.pi, light=SignalState.RED)
    assert against.events == []


def test_stop_sign_asks_for_a_standstill_before_the_line() -> None:
    rolling = Drive(StopControl.STOP_SIGN)
    for k in range(20):
        rolling.step(42.0 + 0.5 * k, speed=1.5)
    assert rolling.kinds() == [EventKind.STOP_SIGN]
    standing = Drive(StopControl.STOP_SIGN)
    for k in range(20):
        standing.step(42.0 + 0.5 * k, speed=0.0 if k == 6 else 2.0)
    assert standing.events == []


def test_off_road_wrong_way_speeding_and_stuck() -> None:
    off = Drive()
    off.step(20.0, -1.5)
    off.step(20.5, -1.5)
    assert off.kinds() == [EventKind.OFF_ROAD]
    wrong = Drive()
    for k in range(15):
        wrong.step(20.0 + k, 3.5)
    assert wrong.kinds() == [EventKind.WRONG_WAY]
    fast = Drive()
    for k in range(25):
        fast.step(5.0 + 1.3 * k, speed=13.0)
    assert fast.kinds() == [EventKind.SPEEDING]
    stuck = Drive()
    for _ in range(620):
        stuck.step(20.0, speed=0.0)
    assert stuck.kinds() == [EventKind.STUCK]
    waiting = Drive(StopControl.SIGNAL)
    for _ in range(620):
        waiting.step(44.0, speed=0.0, light=SignalState.RED)
    assert waiting.events == []
