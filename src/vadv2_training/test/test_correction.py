"""Closed-loop correction: the model drives, the expert's plan at every frame is what is learned."""

import multiprocessing
import os

import numpy as np
import pytest
from pebble import ProcessPool

from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.scene_log import SceneLog
from vadv2_core.trajectory import Trajectory
from vadv2_sim.record import DriveOrder
from vadv2_training import correction
from vadv2_training.corrected_drive import is_drivable, plan_distance
from vadv2_training.correction import CorrectionConfig, Outcome, correct
from vadv2_training.drives import load_drive, town_maps
from vadv2_training.driving_frames import Offset, frame_arrays, future_of, times_of
from vadv2_training.expert_plans import expert_future, plans_path, read_expert_plans, write_expert_plans

T = np.arange(1, 81) / 10.0


def arc(speed=8.0, curvature=0.0, pose=None, stamp=10**12):
    """A plan at constant speed along a circle."""
    yaw = speed * curvature * T
    if curvature:
        x, y = np.sin(yaw) / curvature, (1 - np.cos(yaw)) / curvature
    else:
        x, y = speed * T, np.zeros_like(T)
    points = np.column_stack([T, x, y, yaw, np.full(80, speed), np.zeros(80)])
    return Trajectory(stamp, pose or Pose2(0.0, 0.0, 0.0), points, 1.0)


def test_the_lesson_is_the_plan_and_not_what_was_driven(tmp_path):
    log = tmp_path / "free_000001.scenes.zst"
    wish = arc(curvature=0.02, pose=Pose2(40.0, -7.0, 2.5))
    write_expert_plans(log, [arc(), wish], [True, True], [True, False])
    poses, times = expert_future(log, 1)
    future, known = future_of(poses, times, 0, Offset(), 8.0)
    np.testing.assert_allclose(future, wish.points[:, 1:4], atol=1e-4)
    assert known.all()
    shifted, _ = future_of(poses, times, 0, Offset(0.5, 0.0), 8.0)
    assert shifted[0, 1] == pytest.approx(wish.points[0, 2], abs=0.01), "it begins where the ego stands"
    assert np.hypot(*(shifted[-1, :2] - wish.points[-1, 1:3] + [0.0, 0.5])) < 0.01, "and ends on the way"


def test_a_frame_of_a_corrected_drive_holds_the_plan(tmp_path):
    from test_frames import straight_drive, targets

    drive = straight_drive()
    ego = drive[50].ego
    wish = arc(6.0, 0.03, ego.pose, ego.stamp)
    log = tmp_path / "free_000004.scenes.zst"
    write_expert_plans(log, [wish], [True], [True])
    arrays = frame_arrays(drive, times_of(drive), 50, Offset(), targets(drive[50]), None, expert_future(log, 0))
    np.testing.assert_allclose(arrays["future"], wish.points[:, 1:4], atol=1e-4)
    driven = frame_arrays(drive, times_of(drive), 50, Offset(), targets(drive[50]), None)
    assert abs(driven["future"][:, 1]).max() < 1e-6 and driven["future_known"].sum() == 70


def test_a_plan_no_car_can_drive_is_no_lesson(tmp_path):
    log = tmp_path / "free_000001.scenes.zst"
    write_expert_plans(log, [arc()], [False], [True])
    future, known = future_of(*expert_future(log, 0), 0, Offset(), 8.0)
    assert not known.any() and np.isfinite(future).all()


def test_a_log_without_plans_teaches_what_was_driven(tmp_path):
    assert expert_future(tmp_path / "free_000002.scenes.zst", 0) is None


def test_a_broken_file_of_plans_is_refused_in_one_line(tmp_path):
    log = tmp_path / "free_000003.scenes.zst"
    plans_path(log).write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not plans of an expert"):
        read_expert_plans(log)


def test_what_a_car_cannot_drive():
    assert is_drivable(arc(8.0, 0.05))
    assert not is_drivable(arc(8.0, 0.1)), "6.4 m/s^2 to the side"
    assert not is_drivable(arc(2.0, 0.5)), "tighter than the wheels turn"


def test_plans_are_compared_in_the_world():
    there = Pose2(1.0, 2.0, 0.3)
    assert plan_distance(arc(pose=there), arc(pose=there)) == 0.0
    assert plan_distance(arc(8.0), arc(6.0)) == pytest.approx(4.0)
    assert plan_distance(arc(), arc(pose=Pose2(0.0, 1.0, 0.0))) == pytest.approx(1.0)


def test_a_held_out_town_is_never_driven(tmp_path):
    with pytest.raises(InputError, match="held out"):
        next(correct(None, tmp_path, ["town_e"], 1, 5))


def test_a_corrected_drive_is_a_recording_and_is_driven_once(tmp_path):
    config = CorrectionConfig(seconds=3.0, disagreement=0.5)
    told = []
    arguments = (None, tmp_path, ["town_a"], 1, 77)
    (outcome,) = correct(*arguments, config=config, scenarios=["free"], progress=lambda *what: told.append(what))
    assert told == [(1, 1, outcome)]
    assert outcome.reason == "time" and outcome.log
    assert "disagreement" in {f.kind for f in outcome.findings} or "withheld" in {f.kind for f in outcome.findings}
    path = tmp_path / outcome.log
    log, plans = SceneLog(path), read_expert_plans(path)
    assert len(plans.stamps) == len(log) == 31
    for index in (0, 12, 30):
        ego = log[index].scene.ego
        assert plans.stamps[index] == ego.stamp
        assert plans.origins[index] == pytest.approx([ego.pose.x, ego.pose.y, ego.pose.yaw], abs=1e-3)
    assert load_drive(path, tmp_path, town_maps(tmp_path)) is not None, "training reads it like any other"
    before = path.stat().st_mtime_ns
    (again,) = correct(*arguments, config=config, scenarios=["free"])
    assert again == outcome and path.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another model or other arguments"):
        next(correct(None, tmp_path, ["town_a"], 1, 78, config=config, scenarios=["free"]))


def test_a_drive_whose_process_dies_is_left_out():
    order = DriveOrder("town_a", "free", 7)
    with ProcessPool(1, context=multiprocessing.get_context("spawn")) as pool:
        assert correction._result(order, pool.schedule(os._exit, args=(3,))) == Outcome(order, 0.0, "crashed")
