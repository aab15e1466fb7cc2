"""Whatever comes in: an answer in words or one refused line, never a crash, nothing that is not finite."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.trajectory import Trajectory
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner import Commander, PlannerConfig, make_planner
from vadv2_planner.anchors import load_anchors
from vadv2_planner.config import ValidatorConfig
from vadv2_planner.validator import Validator

POSE = Pose2(0.0, 0.0, 0.0)
EGO = EgoState(0, POSE, (5.0, 0.0), (0.0, 0.0), 0.0)
anything = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 1000), st.integers(0, 7)), elements=anything))
def test_validator_answers_any_array(points):
    ok, why = Validator(ValidatorConfig(), VehicleConfig()).check(points, EGO, None, POSE, 0)
    assert ok or ": " in why


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (40, 6), elements=st.floats(-1e6, 1e6, width=32)), st.integers(-(10**10), 10**10))
def test_validator_answers_any_finite_plan_against_any_last_one(points, stamp):
    points[:, 0] = np.arange(1, 41) / 10
    last = Trajectory(stamp, POSE, points[::-1].copy(), 1.0)
    last.points[:, 0] = points[:, 0]
    ok, why = Validator(ValidatorConfig(), VehicleConfig()).check(points, EGO, last, POSE, 0)
    assert ok or ": " in why


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.tuples(st.integers(2, 60), st.just(2)), elements=st.floats(-200, 200, width=32)))
def test_commander_answers_any_route(points):
    said = Commander().command(Route(0, points), EGO)
    assert said.text
    assert 0.0 <= said.distance < 1e6


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_commander_passes_on_any_words(text):
    route = Route(0, np.array([[0.0, 0.0], [50.0, 0.0], [100.0, 0.0]]))
    said = Commander().command(route, EGO, text)
    assert isinstance(said.action, DrivingAction)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_anchor_files_of_anything_are_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("anchors") / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError) as caught:
        load_anchors(path)
    assert "\n" not in str(caught.value)


def plan(seen, command, **changes):
    return make_planner(None, PlannerConfig()).plan(replace(seen, **changes), seen.ego, command, None, None)


def test_tokens_that_are_not_finite_withhold_the_plan(tokens, command):
    broken = tokens.tokens.copy()
    broken[:] = np.nan
    out = plan(tokens, command, tokens=broken)
    assert out.chosen is None
    assert "finite" in out.reason
    assert np.isfinite(out.points).all()
    assert np.isfinite(out.confidences).all()


def test_a_dead_cameras_garbage_does_not_reach_the_plan(tokens, command):
    broken, valid = tokens.tokens.copy(), tokens.camera_valid.copy()
    broken[2], valid[2] = np.nan, False
    out = plan(tokens, command, tokens=broken, camera_valid=valid)
    assert out.chosen is not None


def test_ten_megabytes_of_command_are_cut(tokens):
    endless = DrivingCommand(tokens.stamp, "turn left " * 1_000_000, DrivingAction.LEFT)
    assert plan(tokens, endless).points.shape == (20, 80, 6)


@pytest.mark.parametrize("speed", [-3.0, 80.0, 1e6])
def test_absurd_odometry_is_answered_or_withheld(frame, command, speed):
    tokens = frame(speed=speed)
    out = plan(tokens, command)
    assert np.isfinite(out.points).all()
    if speed > 100:
        assert out.chosen is None


def test_odd_routes_are_used_or_ignored(tokens, command):
    planner = make_planner(None, PlannerConfig())
    for points in (np.full((5, 2), 3.0), np.array([[np.nan, 0.0], [1.0, 1.0]]), np.zeros((1, 2)), np.zeros((0, 2))):
        planner.reset()
        out = planner.plan(tokens, tokens.ego, command, Route(tokens.stamp, points), None)
        assert np.isfinite(out.points).all()
