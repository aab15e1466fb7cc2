"""What happens when it fails: the fallback ladder, the latch, engagement, and bad input of every kind."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vadv2_control.configuration import ControlConfig, DriveConfig
from vadv2_control.controller import Controller
from vadv2_control.obstacle_check import time_to_collision
from vadv2_core.drive import DriveState
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.obstacles import Obstacles
from vadv2_core.stamps import stamp_from_seconds
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle

DT = 0.03
START = 1000.0


def straight_plan(ego, speed=10.0, stamp=None, degraded=(), chosen=0, reason="", points=80):
    t = 0.1 * np.arange(1, points + 1)
    rows = np.column_stack([t, speed * t, 0 * t, 0 * t, 0 * t + speed, 0 * t])
    return TrajectoryCandidates(
        ego.stamp if stamp is None else stamp,
        ego.pose,
        rows[None],
        np.ones(1),
        chosen,
        reason,
        "",
        "test",
        0,
        {},
        degraded,
        "test",
    )


class Rig:
    """The vehicle model, a controller and a clock."""

    def __init__(self, speed=10.0, engage=True, **drive):
        self.vehicle = VehicleConfig()
        config = ControlConfig(drive=DriveConfig(engage_automatically=engage, **drive))
        self.controller = Controller(config, self.vehicle)
        self.state = VehicleState(Pose2(0.0, 0.0, 0.0), speed)
        self.time = START
        self.odometry_offset = 0.0

    def ego(self, **changes):
        s = self.state
        ego = EgoState(
            stamp_from_seconds(self.time), s.pose, (s.speed, 0.0), (s.acceleration, 0.0), 0.0, s.steering_angle
        )
        return replace(ego, **changes)

    def step(self, plan=None, ego=None):
        command, status = self.controller.step(plan, ego or self.ego(), stamp_from_seconds(self.time))
        assert all(
            map(math.isfinite, (command.steering_angle, command.steering_rate, command.acceleration, command.speed))
        )
        assert abs(command.steering_angle) <= self.vehicle.max_steering_angle
        assert -self.vehicle.max_deceleration <= command.acceleration <= self.vehicle.max_acceleration
        self.state = step_vehicle(self.state, command, self.vehicle, DT)
        self.time += DT
        return command, status

    def drive(self, seconds, plans=True, speed=10.0, **plan):
        states = []
        for index in range(round(seconds / DT)):
            message = straight_plan(self.ego(), speed, **plan) if plans and index % 3 == 0 else None
            _, status = self.step(message)
            states.append(status)
        return states


def test_starts_waiting_then_drives():
    rig = Rig()
    _, status = rig.step()
    assert status.state is DriveState.WAITING and status.cause == "no plan yet"
    states = rig.drive(0.5)
    assert states[-1].state is DriveState.DRIVING and states[-1].engaged


def test_a_silent_planner_leads_down_the_ladder_to_a_soft_stop():
    rig = Rig()
    rig.drive(2.0)
    before = rig.time
    states = rig.drive(15.0, plans=False)
    order = [s.state for i, s in enumerate(states) if i == 0 or s.state is not states[i - 1].state]
    assert order == [DriveState.DRIVING, DriveState.LAST_PLAN, DriveState.SOFT_STOP, DriveState.STOPPED]
    first = next(i for i, s in enumerate(states) if s.state is DriveState.LAST_PLAN)
    assert first * DT < 0.5, "a dead planner is noticed within half a second"
    assert "planner is silent" in states[first].cause
    assert rig.state.speed == 0.0
    assert rig.state.pose.x < 10.0 * 2.0 + 10.0 * 1.0 + 0.5 * 10.0**2 / 1.5 + 15.0
    assert rig.time > before


def test_the_soft_stop_is_soft_and_straight():
    rig = Rig()
    rig.drive(2.0)
    accelerations = []
    for _ in range(round(12.0 / DT)):
        command, _ = rig.step()
        accelerations.append(command.acceleration)
    moving = np.array(accelerations[: round(7.0 / DT)])
    assert moving.min() >= -1.5 - 1e-6
    assert np.abs(np.diff(moving)).max() / DT <= VehicleConfig().max_jerk + 1e-6
    assert abs(rig.state.pose.y) < 0.05


def test_fresh_plans_end_a_soft_stop():
    rig = Rig()
    rig.drive(1.0)
    assert rig.drive(1.5, plans=False)[-1].state is DriveState.SOFT_STOP
    states = rig.drive(1.0)
    assert states[-1].state is DriveState.DRIVING
    first = next(i for i, s in enumerate(states) if s.state is DriveState.DRIVING)
    assert first >= 6, "one plan alone must not end a soft stop"


def test_lost_odometry_is_an_emergency_and_stays_latched():
    rig = Rig()
    rig.drive(1.0)
    frozen = rig.ego()
    for _ in range(20):
        _, status = rig.step(None, frozen)
    assert status.state is DriveState.EMERGENCY
    assert "odometry is" in status.cause
    states = rig.drive(0.5)
    assert {s.state for s in states} == {DriveState.EMERGENCY}, "good input must not unlatch it"
    assert "still moving" in rig.controller.clear_emergency()
    assert rig.controller.engage().startswith("emergency is latched")
    rig.drive(4.0)
    assert rig.state.speed == 0.0
    assert rig.controller.clear_emergency() == ""
    states = rig.drive(0.5)
    assert states[-1].state is DriveState.READY and not states[-1].engaged, "cleared, nothing is engaged by itself"
    assert rig.controller.engage() == ""
    assert rig.drive(0.5)[-1].state is DriveState.DRIVING


def test_degraded_plans_drive_slower_with_the_cause():
    rig = Rig(speed=15.0)
    states = rig.drive(8.0, speed=15.0, degraded=("weights are untrained",))
    assert states[-1].state is DriveState.DEGRADED
    assert states[-1].cause == "weights are untrained"
    assert rig.state.speed == pytest.approx(DriveConfig().degraded_speed_cap, abs=0.4)


def test_a_withheld_plan_names_the_validators_reason():
    rig = Rig()
    rig.drive(1.0)
    states = rig.drive(1.2, chosen=None, reason="curvature 0.5 1/m")
    assert states[-1].state is DriveState.SOFT_STOP
    assert "curvature 0.5 1/m" in states[-1].cause


def test_engagement_has_preconditions():
    rig = Rig(engage=False)
    assert rig.controller.engage() == "no odometry yet"
    rig.step()
    assert rig.controller.engage().startswith("no plan yet")
    assert rig.drive(0.3)[-1].state is DriveState.READY
    rig.controller.human_takes_over(True)
    assert "human drives" in rig.controller.engage()
    rig.controller.human_takes_over(False)
    assert rig.controller.engage() == ""
    assert rig.drive(0.3)[-1].state is DriveState.DRIVING
    rig.controller.human_takes_over(True)
    states = rig.drive(3.0, plans=False)
    assert {s.engaged for s in states} == {False}
    assert not {s.state for s in states} & {DriveState.SOFT_STOP, DriveState.EMERGENCY}, (
        "no errors while a human drives"
    )


def test_engaging_too_fast_is_refused():
    rig = Rig(speed=24.0, engage=False, speed_cap=15.0)
    rig.drive(0.3, speed=24.0)
    assert "above the cap of 15.0" in rig.controller.engage()


def test_the_speed_cap_holds():
    rig = Rig(speed=10.0, speed_cap=12.0)
    rig.drive(8.0, speed=20.0)
    assert rig.state.speed <= 12.2


def test_an_obstacle_on_the_path_is_an_emergency_and_one_beside_it_is_not():
    for y, expected in ((0.5, DriveState.EMERGENCY), (3.5, DriveState.DRIVING)):
        rig = Rig()
        rig.drive(1.0)
        x = rig.state.pose.x
        box = np.array([[x + 10.0, y, 0.0, 4.0, 1.8]])
        rig.controller.obstacles = Obstacles(stamp_from_seconds(rig.time), box, np.zeros((1, 2)))
        _, status = rig.step(straight_plan(rig.ego()))
        assert status.state is expected, status.cause


BAD_NUMBERS = [math.nan, math.inf, -math.inf, 1e9]


ABSURD = [
    (name, value)
    for name in ("pose", "velocity", "yaw_rate")
    for value in BAD_NUMBERS
    if not (name == "yaw_rate" and math.isfinite(value))  # a large yaw rate is a number like any other; limits hold it
]


@pytest.mark.parametrize(("field", "value"), ABSURD)
def test_absurd_odometry_is_not_believed(field, value):
    rig = Rig()
    rig.drive(1.0)
    changes = {"pose": Pose2(value, 0.0, 0.0), "velocity": (value, 0.0), "yaw_rate": value}
    for _ in range(5):
        _, status = rig.step(None, rig.ego(**{field: changes[field]}))
    assert rig.controller.odometry.rejected == 5
    assert status.state in (DriveState.DRIVING, DriveState.LAST_PLAN), "five bad samples are borne"


def gentle_start(ego, top):
    """A plan that begins from standstill or the present speed with no acceleration, and asks for some after a while."""
    t = 0.1 * np.arange(1, 81)
    v = np.minimum(ego.speed + 0.4 * t**2, top)
    s, a = np.concatenate([[0.0], v]).cumsum()[1:] * 0.1, np.gradient(v, 0.1)
    rows = np.column_stack([t, s, 0 * t, 0 * t, v, a])
    return TrajectoryCandidates(ego.stamp, ego.pose, rows[None], np.ones(1), 0, "", "", "test", 0, {}, (), "test")


@pytest.mark.parametrize(("acceleration", "top", "goes"), [(0.8, 5.0, True), (0.0, 5.0, False), (0.8, 0.4, False)])
def test_a_gentle_start_that_is_planned_anew_all_the_time_is_begun(acceleration, top, goes):
    rig = Rig(speed=0.0)
    longitudinal = replace(rig.controller.config.longitudinal, start_acceleration=acceleration)
    rig.controller.configure(replace(rig.controller.config, longitudinal=longitudinal))
    for index in range(round(3.0 / DT)):
        rig.step(gentle_start(rig.ego(), top) if index % 5 == 0 else None)
    assert (rig.state.speed > 0.8) is goes


def test_a_localiser_that_restarts_elsewhere_is_believed_in_the_end():
    rig = Rig(max_odometry_age=1.0)
    rig.drive(1.0)
    rig.state = replace(rig.state, pose=Pose2(500.0, 0.0, 0.0))
    for _ in range(12):
        rig.step()
    assert rig.controller.odometry.last.pose.x > 400.0
    assert rig.drive(1.0)[-1].state is DriveState.DRIVING


def test_a_sample_that_is_shown_again_does_not_agree_with_itself():
    rig = Rig(max_odometry_age=1.0)
    rig.drive(1.0)
    elsewhere = rig.ego(pose=Pose2(500.0, 0.0, 0.0))
    for _ in range(30):
        rig.step(None, elsewhere)
    assert rig.controller.odometry.last.pose.x < 400.0


def test_the_plan_at_hand_is_not_taken_again_after_the_localiser_jumped():
    rig = Rig(max_odometry_age=1.0)
    rig.drive(1.0)
    plan = straight_plan(rig.ego())
    rig.step(plan)
    rig.state = replace(rig.state, pose=Pose2(rig.state.pose.x, 40.0, 0.0))
    while not rig.controller.odometry.relocated:
        rig.step(plan)  # a node shows the newest plan in every step
    for _ in range(10):
        rig.step(plan)
    assert rig.controller._path is None
    assert rig.drive(1.0)[-1].state is DriveState.DRIVING


def test_odometry_from_the_future_is_not_fresh():
    rig = Rig()
    rig.drive(1.0)
    ahead = rig.ego(stamp=stamp_from_seconds(rig.time + 5.0))
    seconds = 0.0
    for index in range(100):
        _, status = rig.step(straight_plan(rig.ego()) if index % 3 == 0 else None, ahead)
        if status.state is DriveState.EMERGENCY:
            break
        seconds += DT
    assert seconds < DriveConfig().max_odometry_age + 0.1
    assert "odometry" in status.cause
    late = Rig()
    late.drive(1.0)
    for _ in range(30):
        _, status = late.step(straight_plan(late.ego()), late.ego(stamp=stamp_from_seconds(late.time + 0.05)))
    assert status.state is DriveState.DRIVING, "clocks differ a little"


def test_an_emergency_is_not_cleared_while_nothing_says_how_fast():
    rig = Rig()
    rig.drive(1.0)
    rig.time += 1.5
    for _ in range(5):
        _, status = rig.step(ego=rig.ego(velocity=(math.nan, 0.0)))
    assert status.state is DriveState.EMERGENCY and rig.state.speed > 5.0
    assert "no odometry" in rig.controller.clear_emergency()
    assert rig.controller.machine.state is DriveState.EMERGENCY and rig.controller.machine.engaged


def test_a_plan_that_trembles_does_not_stay_in_the_integrals():
    rig = Rig(speed=5.0)
    rig.state = replace(rig.state, pose=Pose2(0.0, 0.8, 0.0))
    trembling = straight_plan(rig.ego(), speed=0.0)
    points = trembling.points.copy()
    points[0, :, 1] = 0.015 * (np.arange(points.shape[1]) % 2 == 0)
    rig.step(replace(trembling, points=points))
    path = rig.controller._path
    assert math.isfinite(path.locate(rig.ego().pose).station) and path.yaw_at(0.0) == pytest.approx(0.0)
    for index in range(300):
        t = straight_plan(rig.ego(), speed=5.0)
        line = replace(t, origin_pose=Pose2(rig.state.pose.x, 0.0, 0.0))
        rig.step(line if index % 3 == 0 else None)
    assert rig.state.speed == pytest.approx(5.0, abs=0.3)
    assert abs(rig.state.pose.y) < 0.2


@pytest.mark.parametrize("speed", [12.0, 11.9])
def test_a_plan_cannot_push_past_the_speed_cap(speed):
    rig = Rig(speed=11.0, speed_cap=12.0)
    for index in range(300):
        plan = straight_plan(rig.ego(), speed)
        points = plan.points.copy()
        points[..., 5] = 20.0
        rig.step(replace(plan, points=points) if index % 3 == 0 else None)
        assert rig.state.speed < 12.8, "the lag and the jerk limit alone"
    points[..., 5] = 100.0
    rig.step(replace(plan, stamp=rig.ego().stamp, points=points))
    assert "m/s^2" in rig.controller._plan_fault


def test_the_last_plan_of_a_degraded_planner_is_not_driven_faster():
    rig = Rig(speed=10.0)
    rig.drive(2.0, speed=16.0, degraded=("no reasoning",))
    top = rig.state.speed
    states = rig.drive(0.75, plans=False)
    assert states[-1].state is DriveState.LAST_PLAN
    assert rig.state.speed <= top + 0.1


def test_who_disengages_is_not_engaged_again_by_itself():
    rig = Rig()
    rig.drive(1.0)
    rig.controller.disengage()
    assert {s.engaged for s in rig.drive(0.5)} == {False}
    assert rig.controller.engage() == ""
    assert rig.drive(0.5)[-1].state is DriveState.DRIVING
    rig.controller.human_takes_over(True)
    rig.drive(0.3)
    rig.controller.human_takes_over(False)
    assert {s.engaged for s in rig.drive(0.5)} == {False}


def test_after_a_reset_nothing_is_known_that_could_be_engaged_on():
    rig = Rig(engage=False)
    rig.drive(0.5)
    rig.controller.reset()
    assert rig.controller.engage() == "no odometry yet"


def test_an_emergency_outlives_a_controller_that_is_made_anew():
    rig = Rig()
    rig.drive(1.0)
    frozen = rig.ego()
    for _ in range(20):
        rig.step(None, frozen)
    rig.controller = Controller(rig.controller.config, rig.vehicle, rig.controller.machine)
    assert {s.state for s in rig.drive(0.5)} == {DriveState.EMERGENCY}


def test_obstacles_are_met_from_where_the_ego_is_now():
    rig = Rig()
    rig.drive(1.0)
    config, path, now = replace(rig.controller.config.obstacles), rig.controller._path, stamp_from_seconds(rig.time)
    gap = 15.0
    box = np.array([[rig.state.pose.x + gap, 0.0, 0.0, 4.0, 1.8]])
    seen = Obstacles(now, box, np.zeros((1, 2)))
    fresh = time_to_collision(path, rig.ego(), seen, now, config, rig.vehicle)
    behind = rig.ego(pose=Pose2(rig.state.pose.x - 2.0, rig.state.pose.y, 0.0), stamp=now - 200_000_000)
    assert time_to_collision(path, behind, seen, now, config, rig.vehicle) == pytest.approx(fresh, abs=0.101)
    ahead = replace(seen, stamp=now + 60_000_000_000)
    assert time_to_collision(path, rig.ego(), ahead, now, config, rig.vehicle) is None, "stamped a minute ahead"


BAD_POINTS = {
    "nan": lambda p: np.where(np.arange(p.size).reshape(p.shape) == 31, np.nan, p),
    "teleport": lambda p: p + np.where(np.arange(len(p)) > 10, 50.0, 0.0)[:, None] * np.array([0, 1, 0, 0, 0, 0]),
    "empty": lambda p: p[:0],
    "one point": lambda p: p[:1],
    "thousand points": lambda p: np.repeat(p, 13, axis=0),
    "time runs back": lambda p: p * np.array([-1, 1, 1, 1, 1, 1]),
    "wrong columns": lambda p: p[:, :4],
}


@pytest.mark.parametrize("name", BAD_POINTS)
def test_a_mad_plan_is_not_driven(name):
    rig = Rig()
    rig.drive(1.0)
    good = straight_plan(rig.ego())
    rig.step(replace(good, points=BAD_POINTS[name](good.points[0])[None]))
    assert rig.controller._plan_fault
    assert rig.controller.machine.state is DriveState.DRIVING, "one mad plan is borne by the last good one"


def test_plans_from_the_past_the_future_or_elsewhere_are_refused():
    rig = Rig()
    rig.drive(1.0)
    ego = rig.ego()
    for plan, words in (
        (straight_plan(ego, stamp=ego.stamp + 2_000_000_000), "in the future"),
        (straight_plan(ego, stamp=ego.stamp - 900_000_000), "older than the last"),
        (replace(straight_plan(ego), origin_pose=Pose2(500.0, 0.0, 0.0)), "from the vehicle"),
    ):
        rig.step(plan)
        assert words in rig.controller._plan_fault


def test_time_going_back_starts_over():
    rig = Rig()
    rig.drive(2.0)
    rig.time -= 1.5
    _, status = rig.step()
    assert status.state is not DriveState.EMERGENCY
    assert rig.controller._path is None
    assert rig.drive(1.0)[-1].state is DriveState.DRIVING


RADIUS = 40.0


def bend_plan(ego, speed=8.0):
    """Left round a circle, from where the ego is."""
    t = 0.1 * np.arange(1, 81)
    turned = speed * t / RADIUS
    bend = np.column_stack([t, RADIUS * np.sin(turned), RADIUS * (1 - np.cos(turned)), turned, 0 * t + speed, 0 * t])
    return replace(straight_plan(ego), points=bend[None])


@pytest.mark.parametrize("jump", [-1.5, 1.5])
def test_a_clock_that_jumps_in_a_bend_does_not_lead_off_it(jump):
    rig = Rig(speed=8.0)
    for index in range(100):
        rig.step(bend_plan(rig.ego()) if index % 3 == 0 else None)
    x, y = rig.state.pose.transform(np.array([[0.0, RADIUS]]))[0]
    rig.time += jump
    aside = []
    for _ in range(300):
        _, status = rig.step()
        aside.append(abs(math.hypot(rig.state.pose.x - x, rig.state.pose.y - y) - RADIUS))
    assert status.state is DriveState.STOPPED and rig.state.speed < 0.1
    assert max(aside) < 0.5


def test_a_clock_that_jumps_while_odometry_is_mad_ends_in_a_hard_stop_with_the_wheel_kept():
    rig = Rig(speed=8.0)
    for index in range(100):
        rig.step(bend_plan(rig.ego()) if index % 3 == 0 else None)
    before = rig.state.steering_angle
    rig.time += 1.5
    commands = []
    for _ in range(100):
        command, status = rig.step(ego=rig.ego(velocity=(math.nan, 0.0)))
        commands.append(command)
    assert status.state is DriveState.EMERGENCY and "not finite" in status.cause
    assert rig.state.speed < 0.1
    assert all(c.steering_angle == pytest.approx(before, abs=0.02) for c in commands)
    assert min(c.acceleration for c in commands) == -rig.controller.config.drive.emergency_deceleration


def test_a_way_of_before_is_not_followed_from_another_place():
    rig = Rig(speed=8.0)
    for index in range(100):
        rig.step(bend_plan(rig.ego()) if index % 3 == 0 else None)
    rig.time -= 1.5
    rig.state = replace(rig.state, pose=Pose2(rig.state.pose.x + 30.0, rig.state.pose.y, rig.state.pose.yaw))
    before = rig.state.steering_angle
    for _ in range(30):
        _, status = rig.step()
    assert status.state is DriveState.SOFT_STOP
    assert rig.state.steering_angle == pytest.approx(before, abs=0.02), "the wheel stays where it is"


finite_or_not = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=300, deadline=None)
@given(
    odometry=st.lists(finite_or_not, min_size=8, max_size=8),
    plan=st.lists(finite_or_not, min_size=30, max_size=30),
    stamp=st.integers(-(2**62), 2**62),
)
def test_nothing_non_finite_ever_leaves(odometry, plan, stamp):
    rig = Rig()
    rig.drive(0.2)
    ego = EgoState(
        stamp, Pose2(*odometry[:3]), (odometry[3], odometry[4]), (odometry[5], odometry[6]), odometry[7], odometry[0]
    )
    candidates = TrajectoryCandidates(
        stamp, ego.pose, np.array(plan).reshape(1, 5, 6), np.ones(1), 0, "", "", "fuzz", 0, {}, (), "fuzz"
    )
    rig.step(candidates, ego)
    rig.step(straight_plan(rig.ego()))


def test_after_a_gap_commands_start_from_what_the_vehicle_does():
    rig = Rig()
    rig.drive(1.0)
    rig.controller.limiter.reset(0.4, 2.0)
    rig.time += 5.0
    rig.state = replace(rig.state, pose=Pose2(rig.state.pose.x + 50.0, 0.0, 0.0))
    command, _ = rig.step(straight_plan(rig.ego()))
    assert abs(command.steering_angle - rig.state.steering_angle) <= rig.vehicle.max_steering_rate * DT + 1e-6
