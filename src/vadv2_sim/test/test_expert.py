"""The expert on a hand-made road: what it stops for, what it passes, how it comes back, and what it says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.scene import Agent, Crossing, Lane, RoadMap, Scene, StopLine
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    LaneKind,
    LongitudinalAction,
    SignalState,
    StopControl,
)
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle
from vadv2_sim.expert import Expert
from vadv2_sim.expert.config import ExpertConfig
from vadv2_sim.expert.decide import decide
from vadv2_sim.expert.lateral import Candidate, Way
from vadv2_sim.expert.route_path import RoutePath
from vadv2_sim.expert.speed import STEPS, Profiles
from vadv2_sim.plan_tracker import PlanTracker

CAR = VehicleConfig()
FRONT = CAR.length - CAR.rear_overhang
LINE = 59.0
"""Where the stop line lies, m along the road."""
STEP_NS = 100_000_000


def road(control: StopControl = StopControl.NONE, crossing: bool = False) -> RoadMap:
    """Two lanes eastwards along x (right one at y = 0, left one at y = 3.5); a connector from 60 to 80 m."""
    lanes = {}
    for k, y in ((0, 0.0), (1, 3.5)):
        before = np.array([[0.0, y], [60.0, y]])
        inside = np.array([[60.0, y], [80.0, y]])
        behind = np.array([[80.0, y], [300.0, y]])
        side = {"left": "a_1"} if k == 0 else {"right": "a_0"}
        lanes[f"a_{k}"] = Lane(f"a_{k}", LaneKind.ROAD, before, 3.5, 13.9, (f"c_{k}",), **side)
        signal = "light" if control is StopControl.SIGNAL else None
        lanes[f"c_{k}"] = Lane(
            f"c_{k}", LaneKind.CONNECTOR, inside, 3.5, 13.9, (f"b_{k}",), (f"a_{k}",), junction="j", signal=signal,
            control=control,
        )  # fmt: skip
        side = {"left": "b_1"} if k == 0 else {"right": "b_0"}
        lanes[f"b_{k}"] = Lane(f"b_{k}", LaneKind.ROAD, behind, 3.5, 13.9, (), (f"c_{k}",), **side)
    lines = ()
    if control is not StopControl.NONE:
        signal = "light" if control is StopControl.SIGNAL else None
        lines = (StopLine("line", "a_0", np.array([[LINE, 1.75], [LINE, -1.75]]), control, signal),)
    zebra = np.array([[62.0, -3.0], [66.0, -3.0], [66.0, 6.5], [62.0, 6.5]])
    crossings = (Crossing("zebra", zebra, "j"),) if crossing else ()
    outline = np.array([[-10.0, -1.75], [300.0, -1.75], [300.0, 5.25], [-10.0, 5.25]])
    return RoadMap("test", "0", lanes, {}, crossings, lines, (), (), (outline,))


def scene(
    state: VehicleState, stamp: int, *agents: Agent, signal: SignalState = SignalState.GREEN, y: float = 0.0
) -> Scene:
    ego = EgoState(stamp, state.pose, (state.speed, 0.0), (state.acceleration, 0.0), 0.0, state.steering_angle)
    start = max(state.pose.x - 4.0, 0.0)
    points = np.stack([start + np.arange(150.0), np.full(150, y)], axis=1)
    route = Route(stamp, points, ("a_0", "c_0", "b_0"), 13.9)
    command = DrivingCommand(stamp, "follow the lane", DrivingAction.LANE_FOLLOW)
    lane = "a_0" if state.pose.x < 60 else "c_0" if state.pose.x < 80 else "b_0"
    return Scene(stamp, ego, agents, {"light": signal}, command, route, ego_lane=lane)


def drive(expert: Expert, seconds: float, moment, speed: float = 8.0) -> list[VehicleState]:
    """Closed loop with the vehicle model; ``moment(state, stamp)`` gives the scene."""
    state = VehicleState(Pose2(5.0, 0.0, 0.0), speed)
    tracker, states = PlanTracker(CAR), []
    for k in range(round(seconds * 10)):
        now = moment(state, 1_000_000_000_000 + k * STEP_NS)
        if k % 2 == 0:
            tracker.take(expert.plan(now))
        state = step_vehicle(state, tracker.command(now.ego), CAR, 0.1)
        states.append(state)
    return states


def car(x: float, y: float = 0.0, speed: float = 0.0, **changes) -> Agent:
    made = Agent("other", AgentClass.CAR, x, y, 0.0, 4.5, 1.8, 1.5, (speed, 0.0), lane="a_0")
    return replace(made, **changes)


def test_free_road_is_driven_at_the_limit_in_the_lane():
    expert = Expert(road(), CAR)
    states = drive(expert, 12.0, scene)
    assert 0.9 * 13.9 < states[-1].speed <= 13.9
    assert max(abs(s.pose.y) for s in states) < 0.1
    assert expert.last_decision.cause is Cause.FREE_ROAD


def test_plan_is_eighty_finite_points_with_bounded_jerk():
    plan = Expert(road(), CAR).plan(scene(VehicleState(Pose2(5.0, 0.0, 0.0), 8.0), 10**12))
    assert plan.points.shape == (80, 6) and np.isfinite(plan.points).all()
    assert np.allclose(plan.points[:, 0], 0.1 * np.arange(1, 81))
    assert np.abs(np.diff(plan.points[:, 5]) / 0.1).max() < 6.5
    moved = np.hypot(*np.diff(plan.points[:, 1:3], axis=0).T)
    assert np.abs(moved / 0.1 - 0.5 * (plan.points[1:, 4] + plan.points[:-1, 4])).max() < 0.3


def test_red_light_holds_and_green_releases():
    expert = Expert(road(StopControl.SIGNAL), CAR)
    red = drive(expert, 14.0, lambda state, t: scene(state, t, signal=SignalState.RED))
    assert red[-1].speed < 0.05
    assert LINE - 4.0 < red[-1].pose.x + FRONT <= LINE
    assert expert.last_decision.cause is Cause.RED_LIGHT
    assert expert.last_decision.longitudinal is LongitudinalAction.STOP
    assert max(-s.acceleration for s in red) < 4.0
    free = Expert(road(StopControl.SIGNAL), CAR)
    assert drive(free, 14.0, scene)[-1].pose.x > 100.0


def test_stop_sign_is_stood_at_and_then_left():
    states = drive(Expert(road(StopControl.STOP_SIGN), CAR), 25.0, scene)
    slowest = min(states, key=lambda s: s.speed)
    assert slowest.speed < 0.3 and LINE - 4.0 < slowest.pose.x + FRONT <= LINE + 0.1
    assert states[-1].pose.x > 90.0


def test_told_to_stop_at_once_it_stops_as_soon_as_that_is_comfortable():
    stop = DrivingCommand(0, "stop here", DrivingAction.STOP, 0.0)
    expert = Expert(road(), CAR)
    states = drive(expert, 8.0, lambda state, t: replace(scene(state, t), command=replace(stop, stamp=t)))
    assert states[-1].speed < 0.05
    assert states[-1].pose.x - 5.0 < 25.0
    assert max(-s.acceleration for s in states) < 4.0


@pytest.mark.parametrize("speed", [6.0, 12.0])
def test_it_comes_to_rest_where_it_is_told_to(speed: float):
    goal = 70.0
    centre = 0.5 * CAR.length - CAR.rear_overhang

    def told(state: VehicleState, stamp: int) -> Scene:
        distance = max(goal - state.pose.x - centre, 0.0)
        return replace(scene(state, stamp), command=DrivingCommand(stamp, "stop", DrivingAction.STOP, distance))

    expert = Expert(road(), CAR)
    states = drive(expert, 20.0, told, speed)
    assert states[-1].speed < 0.05
    assert goal - 0.2 < states[-1].pose.x + centre < goal + 1.0
    assert max(-s.acceleration for s in states) < 3.5
    assert expert.last_decision.cause is Cause.GOAL
    assert expert.last_decision.longitudinal is LongitudinalAction.STOP


def test_queue_is_waited_for_and_broken_car_is_passed():
    queued = car(45.0, cause=Cause.RED_LIGHT, intention=AgentIntention.STOPS)
    expert = Expert(road(), CAR)
    states = drive(expert, 14.0, lambda state, t: scene(state, t, queued))
    assert states[-1].speed < 0.1 and 0.8 < 45.0 - 2.25 - (states[-1].pose.x + FRONT) < 6.0
    assert expert.last_decision.cause is Cause.LEAD_VEHICLE
    assert expert.last_decision.subject_agent_id == "other"
    broken = car(45.0, cause=Cause.ACCIDENT, indicator=2)
    states = drive(Expert(road(), CAR), 16.0, lambda state, t: scene(state, t, broken))
    beside = min(states, key=lambda s: abs(s.pose.x + CAR.centre_offset - 45.0))
    assert abs(beside.pose.y) > 0.9 + CAR.width / 2
    assert states[-1].pose.x > 60.0 and abs(states[-1].pose.y) < 0.3


def test_somebody_who_crosses_is_let_go():
    def walker(state: VehicleState, t: int) -> Scene:
        y = -6.0 + 1.3 * (t - 10**12) / 1e9
        person = Agent("p", AgentClass.PEDESTRIAN, 64.0, y, np.pi / 2, 0.5, 0.55, 1.7, (0.0, 1.3))
        return scene(state, t, replace(person, intention=AgentIntention.CROSSES))

    expert = Expert(road(crossing=True), CAR)
    nearest, causes = np.inf, set()
    state = VehicleState(Pose2(25.0, 0.0, 0.0), 9.0)
    tracker = PlanTracker(CAR)
    for k in range(150):
        now = walker(state, 10**12 + k * STEP_NS)
        if k % 2 == 0:
            tracker.take(expert.plan(now))
            causes.add(expert.last_decision.cause)
        state = step_vehicle(state, tracker.command(now.ego), CAR, 0.1)
        person = now.agents[0]
        if abs(person.y) < CAR.width / 2 + 0.4:
            nearest = min(nearest, abs(person.x - (state.pose.x + FRONT)))
    assert nearest > 1.0
    assert Cause.PEDESTRIAN in causes
    assert state.pose.x > 80.0


def test_recovery_comes_back_to_the_lane_and_forgets_nothing():
    expert = Expert(road(), CAR)
    now = scene(VehicleState(Pose2(20.0, 0.0, 0.0), 8.0), 10**12)
    before = expert.plan(now)
    decision = expert.last_decision
    shift = Pose2(0.0, 0.9, 0.1)
    back = expert.recover(now, shift)
    assert expert.last_decision is decision
    assert np.array_equal(expert.plan(now).points, before.points)
    world = back.origin_pose.transform(back.points[:, 1:3])
    assert abs(world[0, 1] - 0.9) < 0.3
    assert abs(world[-1, 1]) < 0.1
    # It starts out the way the shifted car heads, and lies on the lane within 4 s.
    assert abs(back.points[0, 3]) < 0.08
    assert np.abs(world[40:, 1]).max() < 0.3


def test_same_scenes_same_plans_and_a_route_is_needed():
    moments = [scene(VehicleState(Pose2(5.0 + k, 0.2, 0.01), 8.0), 10**12 + k * STEP_NS, car(40.0)) for k in range(5)]
    first, second = Expert(road(), CAR), Expert(road(), CAR)
    for now in moments:
        assert np.array_equal(first.plan(now).points, second.plan(now).points)
    with pytest.raises(InputError, match="no route"):
        first.plan(replace(moments[0], route=None))


def test_who_stands_closely_beside_the_way_is_passed_in_one_go():
    def moment(state, stamp):
        waits = car(40.0, 2.1, yaw=np.pi - 0.05, intention=AgentIntention.YIELDS, cause=Cause.YIELD, lane="a_1")
        return scene(state, stamp, waits)

    states = drive(Expert(road(), CAR), 40.0, moment)
    assert states[-1].pose.x > 60.0
    stops = sum(a.speed > 0.3 >= b.speed for a, b in pairwise(states))
    assert stops == 1  # patience does not begin anew with every metre crept


def test_a_table_goes_on_with_the_drives_it_lacks(tmp_path, monkeypatch):
    import typer
    from typer.testing import CliRunner

    from vadv2_core.files import read_json
    from vadv2_sim import cli_expert
    from vadv2_sim.expert import table
    from vadv2_sim.expert.page import write_page

    driven = []

    def drive_once(town, scenario, seed, driver="expert"):
        driven.append(seed)
        return table.DriveRow(town, scenario, seed, "goal", True, 30.0, 100.0, 1.0)

    monkeypatch.setattr(table, "drive_once", drive_once)
    app = typer.Typer()
    cli_expert.register(app)
    file = tmp_path / "table.json"
    options = ["--towns", "town_a", "--scenarios", "jaywalker", "--workers", "1", "--json", str(file)]
    for drives, fresh in ((2, [0, 1]), (4, [2, 3])):
        driven.clear()
        assert CliRunner().invoke(app, ["--drives", str(drives), *options]).exit_code == 0
        assert driven == fresh
    told = read_json(file)
    assert [r["seed"] for r in told["rows"]] == [0, 1, 2, 3]
    assert told["summary"]["routes_completed"] == 1.0
    page = tmp_path / "page.md"
    with pytest.raises(InputError, match="no place for the table"):
        write_page(page, table.kept_rows(file, "expert"))
    page.write_text("# City\n<!-- expert table -->\nold\n<!-- end -->\nrest\n")
    assert CliRunner().invoke(app, ["--drives", "4", *options, "--page", str(page)]).exit_code == 0
    text = page.read_text()
    assert "| jaywalker | 4 of 4 | 0 | 0 |" in text
    assert "100.0% of routes completed" in text
    assert text.endswith("<!-- end -->\nrest\n")
    assert "old" not in text
    with pytest.raises(InputError, match="holds drives of 'expert'"):
        table.kept_rows(file, "lane_follower")
    file.write_text("[]")
    with pytest.raises(InputError, match="not a table"):
        table.kept_rows(file, "expert")


def test_who_drives_across_is_yielded_to_and_not_followed():
    def moment(state, stamp):
        crosses = car(45.0, 12.0, yaw=-np.pi / 2, velocity=(0.0, -3.0), lane=None)
        return scene(state, stamp, crosses)

    expert = Expert(road(), CAR)
    expert.plan(moment(VehicleState(Pose2(20.0, 0.0, 0.0), 8.0), 10**12))
    assert expert.last_decision.subject_agent_id == "other"
    assert expert.last_decision.cause is Cause.YIELD


def test_whom_it_brakes_for_at_the_last_moment_is_why_it_stands():
    person = Agent("p", AgentClass.PEDESTRIAN, 30.0, 0.0, 0.0, 0.5, 0.55, 1.7, (0.5, 0.0))
    now = scene(VehicleState(Pose2(20.0, 0.0, 0.0), 0.0), 10**12, person)
    expert = Expert(road(), CAR)
    path = RoutePath(now.route, road())
    movers = expert._motion.near(now, path, 20.0)
    still = np.zeros((1, STEPS + 1))
    stands = Profiles(still, still, still, np.array([-1]), np.array([1.8]))
    stay = Candidate(Way.STAY, np.zeros_like(path.along))
    limits = np.full(len(path.along), 13.9)

    def cause(foe: int | None) -> tuple[Cause, str | None]:
        said = decide(now, path, stay, stands, movers, [], limits, FRONT, ExpertConfig(), foe)
        assert said.longitudinal is LongitudinalAction.STOP
        return said.cause, said.subject_agent_id

    assert cause(None) == (Cause.FREE_ROAD, None)
    assert cause(0) == (Cause.PEDESTRIAN, "p")
