"""A golden run against itself and against runs with one thing changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.stamps import NANOSECONDS
from vadv2_core.taxonomy import DrivingAction
from vadv2_driver import Driver, DriverConfig
from vadv2_eval.regression.compare import compare_snapshots
from vadv2_eval.regression.run import RegressionFrame, drive_frames
from vadv2_eval.regression.short import GOLDEN, check_short
from vadv2_eval.regression.snapshot import load_snapshot, save_snapshot
from vadv2_planner.config import PlannerConfig


def _frames(speed: float = 8.0, count: int = 45):
    for k in range(count):
        stamp = 10 * NANOSECONDS + k * NANOSECONDS // 10
        ego = EgoState(stamp, Pose2(0.1 * speed * k, 0.0, 0.0), (speed, 0.0), (0.0, 0.0), 0.0, 0.0)
        yield RegressionFrame(None, ego, DrivingCommand(stamp, "", DrivingAction.LANE_FOLLOW), None)


@pytest.fixture(scope="module")
def driver():
    return Driver(DriverConfig(use_vlm=False, planner=PlannerConfig(planner="constant_velocity")))


@pytest.fixture(scope="module")
def golden(driver):
    return drive_frames(driver, _frames(), {"bag": "made"})


def test_the_same_run_is_the_same(driver, golden):
    again, errors = drive_frames(driver, _frames(), {"bag": "made"})
    found = compare_snapshots(golden[0], again, timing_ratio=0.0, scores={"error": (golden[1], errors)})
    assert found.same and found.frames == 45 and found.fields >= 8
    assert found.scores["error"].mean == 0.0
    assert found.text().splitlines()[-1].endswith("same as golden")
    assert np.nanmax(errors) < 1e-6 and np.isnan(errors[-1])


def test_a_golden_log_survives_the_disk(golden, tmp_path):
    save_snapshot(tmp_path / "g", golden[0])
    assert compare_snapshots(load_snapshot(tmp_path / "g"), golden[0], timing_ratio=0.0).same
    (tmp_path / "g" / "golden.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(InputError, match="cannot be read"):
        load_snapshot(tmp_path / "g")
    (tmp_path / "g" / "golden.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="another version"):
        load_snapshot(tmp_path / "g")
    with pytest.raises(InputError):
        load_snapshot(tmp_path / "absent")


def _changed(snapshot, name, frame, place, by):
    values = snapshot.arrays[name].copy()
    values[frame, place] += by
    return replace(snapshot, arrays=snapshot.arrays | {name: values})


def test_it_says_where_and_by_how_much(golden):
    new = _changed(golden[0], "planner/points", 12, 5 * 4 + 1, 0.34)
    new = _changed(new, "control/command", 30, 0, 0.02)
    found = compare_snapshots(golden[0], new, timing_ratio=0.0)
    assert [d.field for d in found.differences] == ["planner/points", "control/command"]
    first = found.differences[0]
    assert (first.first_frame, first.frames) == (12, 1) and first.largest == pytest.approx(0.34)
    assert "y, m at knot 4, 1.20 s" in first.words and "tolerance 0.001" in first.words
    short, long = found.text(), found.text(long=True)
    assert "perception: as golden" in short and "DIFFERS" in short
    assert len(long.splitlines()) > len(short.splitlines()) and "frame 12 (1.20 s)" in long
    assert found.to_json()["differences"][1]["first_time"] == pytest.approx(3.0)


def test_tolerances_ignored_fields_and_what_is_gone(golden):
    small = _changed(golden[0], "planner/points", 3, 0, 5e-4)
    assert compare_snapshots(golden[0], small, timing_ratio=0.0).same
    big = _changed(golden[0], "planner/points", 3, 0, 1.0)
    assert compare_snapshots(golden[0], big, ignore=["planner"], timing_ratio=0.0).same
    assert compare_snapshots(golden[0], big, ignore=["planner/points"], timing_ratio=0.0).same
    nothing = _changed(golden[0], "control/command", 3, 0, np.nan)
    found = compare_snapshots(golden[0], nothing, timing_ratio=0.0)
    assert "only in one of both" in found.differences[0].words
    gone = replace(golden[0], arrays={k: v for k, v in golden[0].arrays.items() if k != "control/state"})
    assert compare_snapshots(golden[0], gone, timing_ratio=0.0).differences[0].words == "control/state is gone"


def test_texts_are_compared_and_shown(golden):
    texts = golden[0].texts | {"control/cause": ["other"] * 45}
    found = compare_snapshots(golden[0], replace(golden[0], texts=texts), timing_ratio=0.0)
    assert found.differences[0].field == "control/cause" and "became 'other'" in found.differences[0].words


def test_the_timing_gate_is_a_ratio_to_the_calibration_loop(golden):
    # Made-up times: those of this machine at this moment may be too short to be compared at all.
    base = replace(golden[0], calibration=0.1, timings={k: np.full_like(v, 5.0) for k, v in golden[0].timings.items()})
    slow = {k: 3 * v for k, v in base.timings.items()}
    assert compare_snapshots(base, replace(base, calibration=0.2, timings=slow)).same
    found = compare_snapshots(base, replace(base, timings={k: 10 * v for k, v in base.timings.items()}))
    assert not found.same and "10.0 times slower" in found.slower[0]


def test_another_model_is_noted_and_other_frames_are_refused(driver, golden):
    faster, errors = drive_frames(driver, _frames(speed=9.0), {"bag": "other"})
    found = compare_snapshots(golden[0], faster, timing_ratio=0.0, scores={"error": (golden[1], errors)})
    assert "bag: 'made' became 'other'" in found.notes and not found.same
    short, _ = drive_frames(driver, _frames(count=5), {})
    with pytest.raises(InputError, match="5 frames where golden has 45"):
        compare_snapshots(golden[0], short)
    with pytest.raises(InputError, match="no frame"):
        drive_frames(driver, [], {})


def test_the_stages_answer_as_they_did():
    """Process replay in short; after a wanted change: `./vadv2 regress short --record`, and commit what it writes."""
    found = check_short(GOLDEN)
    assert found.frames == 6 and found.fields >= 12
    assert found.same, found.text(long=True) + "\nwanted? ./vadv2 regress short --record"
