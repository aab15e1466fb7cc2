"""Order, rates, resets and the digest of the driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vadv2_core.camera import SURROUND_CAMERAS, CameraFrame, CameraModel, CameraRig
from vadv2_core.command import DrivingCommand
from vadv2_core.drive import DriveState, VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.trajectory import Trajectory
from vadv2_driver import Driver, DriverConfig, outputs_sha256, system_model_id
from vadv2_planner.config import PlannerConfig
from vadv2_vlm.config import VlmConfig

PERIOD = 100_000_000
COMMAND = DrivingCommand(0, "follow the lane", DrivingAction.LANE_FOLLOW)


def ego(i: int) -> EgoState:
    return EgoState(i * PERIOD, Pose2(0.5 * i, 0.0, 0.0), (5.0, 0.0), (0.0, 0.0), 0.0)


def frame(i: int) -> CameraFrame:
    cameras = []
    for n, name in enumerate(SURROUND_CAMERAS):
        c, s = np.cos(n), np.sin(n)
        t = np.array([[s, 0, c, 1.0], [-c, 0, s, 0.0], [0, -1.0, 0, 1.5], [0, 0, 0, 1]])
        cameras.append(CameraModel(name, 160, 90, np.array([[90.0, 0, 80], [0, 90.0, 45], [0, 0, 1]]), t))
    rng = np.random.default_rng(i)
    images = tuple(rng.integers(0, 256, (90, 160, 3), dtype=np.uint8) for _ in cameras)
    return CameraFrame(i * PERIOD, CameraRig(tuple(cameras)), images, np.full(6, i * PERIOD), np.ones(6, bool))


@pytest.fixture(scope="module")
def driver() -> Driver:
    return Driver(DriverConfig(models="nowhere", reason_every=3, vlm=VlmConfig(max_tokens=8, max_seconds=0.0)))


def test_every_answer_carries_the_frames_stamp_and_words_come_at_their_rate(driver: Driver) -> None:
    driver.reset()
    outputs = [driver.step(frame(i), ego(i), COMMAND) for i in range(4)]
    for i, output in enumerate(outputs):
        assert output.tokens is not None and output.embedding is not None
        stamps = (output.tokens.stamp, output.embedding.stamp, output.candidates.stamp, output.command.stamp)
        assert {output.stamp, *stamps, output.status.stamp} == {i * PERIOD}
        assert set(output.timings) == {"perception", "vlm", "planner", "control"}
        assert output.status.timings == output.timings
    assert [o.reasoning is not None for o in outputs] == [True, False, False, True]
    assert outputs[0].reasoning is not None
    assert outputs[1].candidates.rationale == outputs[0].reasoning.intent
    assert driver.model_id.endswith("-untrained") and driver.model_id.count("-untrained") == 1
    assert set(driver.model_ids) == {"perception", "vlm", "planner"}


def test_a_caller_may_ask_for_words_or_for_none(driver: Driver) -> None:
    driver.reset()
    assert driver.step(frame(0), ego(0), COMMAND, reason=False).reasoning is None
    assert driver.step(frame(1), ego(1), COMMAND, reason=True).reasoning is not None


@pytest.mark.parametrize(("before", "later"), [(2, 15), (12, 6)])
def test_a_gap_or_time_going_back_starts_anew(driver: Driver, before: int, later: int) -> None:
    """The frame after the break is answered as the first one is: nothing of before is in it."""
    driver.reset()
    alone = driver.step(frame(later), ego(later), COMMAND)
    driver.reset()
    for i in (before, before + 1):
        driver.step(frame(i), ego(i), COMMAND)
    after = driver.step(frame(later), ego(later), COMMAND)
    np.testing.assert_array_equal(after.candidates.points, alone.candidates.points)
    assert after.reasoning is not None and after.candidates.chosen == alone.candidates.chosen
    driver.reset()
    driver.step(frame(later - 5), ego(later - 5), COMMAND)
    followed = driver.step(frame(later), ego(later), COMMAND)
    assert followed.tokens is not None and alone.tokens is not None
    assert not np.array_equal(followed.tokens.queries, alone.tokens.queries), "history is used where there is some"


def test_untrained_weights_degrade_the_drive_and_say_so(driver: Driver) -> None:
    driver.reset()
    status = driver.step(frame(0), ego(0), COMMAND).status
    assert status.state is DriveState.DEGRADED and "untrained" in status.cause and status.engaged


def test_a_planner_without_pictures_drives_without_them() -> None:
    config = DriverConfig(models="nowhere", use_vlm=False, planner=PlannerConfig(planner="constant_velocity"))
    driver = Driver(config)
    output = driver.step(None, ego(0), COMMAND)
    plan = output.candidates.trajectory()
    assert output.tokens is None and output.reasoning is None and plan is not None
    assert plan.points[-1, 1] == pytest.approx(5.0 * 8.0, rel=0.01)
    assert set(output.timings) == {"planner", "control"}


def test_models_are_directories_or_known_names(tmp_path: Path) -> None:
    assert DriverConfig(models=str(tmp_path)).directory("planner") is None
    with pytest.raises(InputError, match="mine: is not there"):
        DriverConfig(model="mine", models=str(tmp_path)).directory("planner")
    (tmp_path / "mine" / "planner").mkdir(parents=True)
    mine = DriverConfig(model="mine", models=str(tmp_path))
    assert mine.directory("planner") == tmp_path / "mine" / "planner" and mine.directory("vlm") is None
    (tmp_path / "mine" / "vlm").write_text("")
    with pytest.raises(InputError, match="vlm: is a file"):
        mine.directory("vlm")
    with pytest.raises(InputError, match="the name of a folder"):
        DriverConfig(model="../tiny")
    minimal = DriverConfig(model="minimal").for_model()
    assert not minimal.reasons and minimal.planner.planner == "minimal" and minimal.perception.architecture == "minimal"


def test_digest_says_whether_two_drives_decided_the_same() -> None:
    points = np.zeros((80, 6))
    plan = Trajectory(5, Pose2(1.0, 2.0, 3.0), points, 0.5, "because")
    command = VehicleCommand(5, 5, 0.1, 0.0, -1.0, 3.0)
    digest = outputs_sha256([plan], [command])
    assert outputs_sha256([replace(plan, rationale="otherwise")], [command]) == digest, "words are left out"
    other = points.copy()
    other[79, 5] = np.nextafter(0.0, 1.0)
    for plans, commands in (
        ([replace(plan, points=other)], [command]),
        ([replace(plan, stamp=6)], [command]),
        ([plan], [replace(command, steering_angle=np.nextafter(0.1, 1.0))]),
        ([plan], []),
    ):
        assert outputs_sha256(plans, commands) != digest
    second = replace(command, stamp=9)
    assert outputs_sha256([plan], [second, command]) == outputs_sha256([plan], [command, second])


def test_one_name_for_a_system() -> None:
    assert system_model_id(["a-untrained", "b"]) == "a+b-untrained"
    assert system_model_id(["vadv2-tiny", "vadv2-tiny", ""]) == "vadv2-tiny"
