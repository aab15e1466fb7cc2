"""Everything the narrator says is true when it is read back, and nothing hidden is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.language.commands import paraphrases
from vadv2_core.language.sentences import parse_text
from vadv2_core.language.statements import (
    ActionStatement,
    ClearStatement,
    CommandStatement,
    DecisionStatement,
    EgoStatement,
    FlagStatement,
    IntentionStatement,
    Motion,
    ObjectStatement,
    SignalStatement,
    WeatherStatement,
    Zone,
)
from vadv2_core.scene import Agent, Crossing, Lane, RoadMap, Scene
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    EdgeCaseFlag,
    LaneKind,
    LateralAction,
    LongitudinalAction,
    SignalState,
    StopControl,
    Weather,
)
from vadv2_sim.narrator import Narrator, SceneFacts, Visibility, check, check_text, edge_cases
from vadv2_sim.narrator.facts import FRONT

STOP = Decision(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.RED_LIGHT)


def line(x0, x1, y=0.0):
    return np.array([[x, y] for x in np.linspace(x0, x1, 20)])


ROAD = RoadMap(
    "straight",
    "0",
    {
        "in": Lane("in", LaneKind.ROAD, line(-50, 30), 3.5, 13.9, ("over",), left="beside"),
        "over": Lane(
            "over", LaneKind.CONNECTOR, line(30, 50), 3.5, 13.9, ("out",), signal="s1", control=StopControl.SIGNAL
        ),
        "out": Lane("out", LaneKind.ROAD, line(50, 120), 3.5, 13.9),
        "beside": Lane("beside", LaneKind.ROAD, line(-50, 30, 3.5), 3.5, 13.9, right="in"),
        "against": Lane("against", LaneKind.ROAD, line(120, -50, 7.0), 3.5, 13.9),
    },
    crossings=(Crossing("c1", np.array([[52.0, -6.0], [56.0, -6.0], [56.0, 10.0], [52.0, 10.0]])),),
)


def agent(name, cls, x, y, vx=0.0, vy=0.0, **more):
    sizes = {AgentClass.PEDESTRIAN: (0.5, 0.5, 1.7), AgentClass.BUS: (11.0, 2.5, 3.1)}
    length, width, height = sizes.get(cls, (4.5, 1.8, 1.5))
    yaw = float(np.arctan2(vy, vx)) if vx or vy else 0.0
    return Agent(name, cls, x, y, yaw, length, width, height, (vx, vy), **more)


def scene(*agents, signal=SignalState.RED, speed=8.0, weather=Weather.DAY, intensity=0.0, closed=(), events=()):
    return Scene(
        5,
        EgoState(5, Pose2(0.0, 0.0, 0.0), (speed, 0.0), (0.0, 0.0), 0.0),
        tuple(agents),
        {"s1": signal},
        DrivingCommand(5, "go straight at the next junction", DrivingAction.STRAIGHT, 26.0),
        Route(5, line(-4, 120), ("in", "over", "out"), 13.9),
        frozenset(closed),
        weather,
        intensity,
        "in",
        "test",
        tuple(events),
    )


def flags_of(*agents, **more):
    truths = edge_cases(SceneFacts(scene(*agents, **more), ROAD))
    return {flag for flag in EdgeCaseFlag if truths[flag]}


CAR = agent("car", AgentClass.CAR, 15.0, 0.2, 6.0)
WALKER = agent("p", AgentClass.PEDESTRIAN, 12.0, -2.6, 0.0, 1.2, intention=AgentIntention.CROSSES)


def test_a_red_light_is_described_and_argued_from():
    said = Narrator(ROAD).narrate(scene(CAR), STOP)
    assert said.scene[:2] == (WeatherStatement(Weather.DAY), SignalStatement(SignalState.RED, 25))
    assert ObjectStatement(AgentClass.CAR, Zone.AHEAD, 16, Motion.ALONG) in said.scene
    assert said.intent == DecisionStatement(STOP.longitudinal, STOP.lateral, STOP.cause)
    assert said.trace == (
        EgoStatement(8),
        CommandStatement(DrivingAction.STRAIGHT),
        SignalStatement(SignalState.RED, 25),
        ActionStatement(STOP.longitudinal, STOP.lateral),
    )
    assert said.grounded
    assert parse_text(said.trace_text) == (list(said.trace), [])


def test_a_closed_lane_is_told_of_from_its_first_cone_and_only_on_the_way():
    cones = [agent(f"works:in:{x}", AgentClass.TRAFFIC_CONE, x, 0.5, lane="in") for x in (20.0, 24.0)]
    beside = agent("works:beside:0", AgentClass.TRAFFIC_CONE, 15.0, 3.5, lane="beside")

    def closure(*agents, closed):
        return SceneFacts(scene(*agents, closed=closed), ROAD).closure

    assert closure(*cones, closed=("in",)) == pytest.approx(20.0 - FRONT)
    assert closure(beside, closed=("beside",)) is None  # the lane beside is not ours
    assert closure(closed=("in",)) is None  # nothing is seen of it
    passed = agent("works:in:0", AgentClass.TRAFFIC_CONE, -3.0, 0.5, lane="in")
    assert closure(passed, closed=("in",)) is None
    assert closure(passed, cones[0], closed=("in",)) == 0.0


@pytest.mark.parametrize(
    ("statement", "truth"),
    [
        (SignalStatement(SignalState.RED, 25), True),
        (SignalStatement(SignalState.GREEN, 25), False),
        (SignalStatement(SignalState.RED, 40), False),
        (ObjectStatement(AgentClass.CAR, Zone.AHEAD, 16, Motion.ALONG), True),
        (ObjectStatement(AgentClass.BUS, Zone.AHEAD, 16, Motion.ALONG), False),
        (ObjectStatement(AgentClass.CAR, Zone.BEHIND, 16, Motion.ALONG), False),
        (ObjectStatement(AgentClass.CAR, Zone.AHEAD, 30, Motion.ALONG), False),
        (ObjectStatement(AgentClass.CAR, Zone.AHEAD, 16, Motion.STANDING), False),
        (IntentionStatement(AgentClass.PEDESTRIAN, Zone.AHEAD_RIGHT, AgentIntention.CROSSES), True),
        (IntentionStatement(AgentClass.PEDESTRIAN, Zone.AHEAD_RIGHT, AgentIntention.YIELDS), False),
        (ClearStatement(5), True),
        (ClearStatement(30), False),
        (EgoStatement(8), True),
        (EgoStatement(0), False),
        (WeatherStatement(Weather.NIGHT), False),
        (CommandStatement(DrivingAction.LEFT), False),
        (FlagStatement(EdgeCaseFlag.JAYWALKER, True), True),
        (FlagStatement(EdgeCaseFlag.ACCIDENT, True), False),
        (ActionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT), True),
        (DecisionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.PEDESTRIAN), False),
    ],
)
def test_truth_is_read_from_the_scene(statement, truth):
    assert check(statement, scene(CAR, WALKER), ROAD, STOP) is truth


def test_an_action_cannot_be_checked_without_a_decision():
    with pytest.raises(InputError, match="decision"):
        check(ActionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT), scene(), ROAD)


def test_what_is_hidden_is_not_said_and_does_not_ground_a_cause():
    hidden = Visibility(frozenset(), frozenset())
    stop_for_walker = Decision(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.PEDESTRIAN, "p")
    moment = scene(CAR, WALKER)
    seen = Narrator(ROAD).narrate(moment, stop_for_walker)
    assert seen.grounded
    assert any(isinstance(s, ObjectStatement) and s.cls is AgentClass.PEDESTRIAN for s in seen.trace)
    assert seen.flags[EdgeCaseFlag.JAYWALKER]
    blind = Narrator(ROAD).narrate(moment, stop_for_walker, hidden)
    assert not blind.grounded
    assert not blind.flags[EdgeCaseFlag.JAYWALKER]
    assert not any(
        isinstance(s, (ObjectStatement, IntentionStatement, SignalStatement)) for s in blind.scene + blind.trace
    )
    light = SignalStatement(SignalState.RED, 25)
    assert not check(light, moment, ROAD, visibility=hidden)
    assert check(light, moment, ROAD, visibility=Visibility(frozenset(), frozenset({"s1"})))


@pytest.mark.parametrize(
    ("flag", "agents", "more"),
    [
        (EdgeCaseFlag.CONSTRUCTION_ZONE, [agent("c", AgentClass.TRAFFIC_CONE, 20.0, 2.0)], {}),
        (
            EdgeCaseFlag.EMERGENCY_VEHICLE,
            [agent("e", AgentClass.EMERGENCY_VEHICLE, -20.0, 0.0, 12.0, blue_light=True)],
            {},
        ),
        (EdgeCaseFlag.ACCIDENT, [agent("a", AgentClass.CAR, 25.0, 1.0, cause=Cause.ACCIDENT)], {}),
        (EdgeCaseFlag.JAYWALKER, [WALKER], {}),
        (EdgeCaseFlag.WRONG_WAY_VEHICLE, [agent("w", AgentClass.CAR, 25.0, 0.0, -6.0, lane="in")], {}),
        (EdgeCaseFlag.STOPPED_BUS, [agent("b", AgentClass.BUS, 25.0, 0.0)], {}),
        (EdgeCaseFlag.CUT_IN, [agent("m", AgentClass.CAR, 12.0, 2.5, 7.0, -1.0, intention=AgentIntention.MERGES)], {}),
        (EdgeCaseFlag.HARD_BRAKE_AHEAD, [agent("h", AgentClass.CAR, 20.0, 0.0, 6.0, acceleration=-6.0)], {}),
        (EdgeCaseFlag.LOW_VISIBILITY, [], {"weather": Weather.FOG, "intensity": 0.6}),
        (EdgeCaseFlag.CAMERA_FAULT, [], {"events": ("camera_fault",)}),
    ],
    ids=lambda v: v.name if isinstance(v, EdgeCaseFlag) else "",
)
def test_every_edge_case_is_found_alone(flag, agents, more):
    assert flags_of(*agents, **more) == {flag}


@pytest.mark.parametrize(
    "agents",
    [
        [agent("p", AgentClass.PEDESTRIAN, 54.0, -4.0, 0.0, 1.2, intention=AgentIntention.CROSSES)],
        [agent("p", AgentClass.PEDESTRIAN, 20.0, -4.0, 1.2, 0.0)],
        [agent("p", AgentClass.PEDESTRIAN, 20.0, -5.0, 0.3, 1.2)],
        [agent("o", AgentClass.CAR, 25.0, 7.0, -6.0, lane="against")],
        [agent("b", AgentClass.BUS, 25.0, 0.0, cause=Cause.RED_LIGHT)],
        [agent("b", AgentClass.BUS, 25.0, 0.0, 5.0)],
        [agent("h", AgentClass.CAR, 20.0, 0.0, 6.0, acceleration=-1.5)],
        [agent("m", AgentClass.CAR, 12.0, 3.5, 7.0, 0.0)],
    ],
)
def test_plain_traffic_is_no_edge_case(agents):
    assert flags_of(*agents) == set()


def test_commands_come_in_other_words_of_the_chosen_split():
    narrator, command = Narrator(ROAD), scene().command
    words = {narrator.command(command, np.random.default_rng(i), "test").text for i in range(30)}
    assert len(words) > 3
    assert all(any(t in w for t in paraphrases(DrivingAction.STRAIGHT, "test")) for w in words)
    unsaid = replace(command, action=DrivingAction.UNKNOWN, text="sing")
    assert narrator.command(unsaid) is unsaid


@pytest.mark.parametrize("cause", [c for c in Cause if c])
def test_every_cause_has_words_and_a_true_trace(cause):
    moment = scene(CAR, WALKER, signal=SignalState.GREEN)
    decision = Decision(LongitudinalAction.DECELERATE, LateralAction.STRAIGHT, cause)
    said = Narrator(ROAD).narrate(moment, decision, generator=np.random.default_rng(cause))
    for text in (said.scene_text, said.intent_text, said.trace_text):
        truths, unread = check_text(text, moment, ROAD, decision)
        assert truths
        assert not unread
        assert all(true for _, true in truths), text


@pytest.mark.parametrize("town", ["town_a", "town_b"])
def test_all_that_is_said_of_a_drive_is_true(town):
    from vadv2_core.drive import VehicleCommand
    from vadv2_sim.world import World

    world = World(town, "free", 5)
    moment = world.reset()
    narrator, generator = Narrator(world.road), np.random.default_rng(1)
    statements = 0
    try:
        for step in range(120):
            moment = world.step(VehicleCommand(moment.stamp, 0, 0.0, 0.0, 1.0 if world.speed < 6.0 else 0.0, 6.0))
            if step % 10:
                continue
            seen = Visibility(
                frozenset(a.id for a in moment.agents if generator.uniform() < 0.7),
                frozenset(s for s in moment.signals if generator.uniform() < 0.7),
            )
            decision = Decision(LongitudinalAction.KEEP, LateralAction.STRAIGHT, Cause.FREE_ROAD)
            said = narrator.narrate(moment, decision, seen, generator)
            for text in (said.scene_text, said.intent_text, said.trace_text):
                truths, unread = check_text(text, moment, world.road, decision, seen)
                assert not unread
                assert all(true for _, true in truths), text
                statements += len(truths)
    finally:
        world.close()
    assert statements > 60


def test_a_recording_is_narrated_and_read_back(tmp_path):
    import json

    import typer
    from typer.testing import CliRunner

    from vadv2_core.road_map_file import save_road_map
    from vadv2_sim.cli_narrator import register
    from vadv2_sim.narrator.survey import survey
    from vadv2_sim.record import DriveOrder, record_drive
    from vadv2_sim.road_map import town_map
    from vadv2_sim.town import load_town

    order = DriveOrder("town_b", "free", 2, "lane_follower", seconds=4.0)
    (tmp_path / order.file).parent.mkdir(parents=True)
    record_drive(order, tmp_path)
    with pytest.raises(InputError, match="road map"):
        survey(tmp_path, 10, 0)
    save_road_map(tmp_path / "maps" / "b.map.zst", town_map(load_town("town_b")).road)
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    out = tmp_path / "found.json"
    run = CliRunner().invoke(app, ["narrate", str(tmp_path), "--json", str(out)])
    assert run.exit_code == 0, run.output
    found = json.loads(out.read_text())
    assert found["frames"] >= 4
    assert found["statements"] > 3 * found["frames"]
    assert found["wrong"] == found["unread"] == 0
    with pytest.raises(InputError, match="no scene logs"):
        survey(tmp_path / "maps", 10, 0)


def test_who_has_come_by_is_not_told_of():
    ahead = agent("ahead", AgentClass.CAR, 25.0, 3.5, -8.0)
    beside = agent("beside", AgentClass.TRUCK, -1.0, 7.0, -8.0)
    behind = agent("behind", AgentClass.BUS, -20.0, 7.0, -8.0)
    said = Narrator(ROAD).narrate(scene(ahead, beside, behind), STOP)
    told = [s for s in said.scene if isinstance(s, ObjectStatement)]
    assert [s.motion for s in told] == [Motion.ONCOMING]
    assert told[0].cls is AgentClass.CAR
