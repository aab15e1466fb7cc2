"""The fault campaign: what it injects really strikes, and what it reports is what happened."""

from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.faults import campaign
from vadv2_eval.faults.campaign import Drives, FaultOutcome, chosen_faults, run, run_kept, summary, violations
from vadv2_eval.faults.drive import DriveSpec
from vadv2_eval.faults.injections import FAULTS, FaultMemory, Moment, fault
from vadv2_eval.faults.page import write_page

SPEC = DriveSpec("town_a", "free", 3, seconds=7.0, begin=2.0)
DRIVES = Drives(SPEC, replace(SPEC, pictures=True, seconds=4.0, begin=1.0))


def outcome_of(*names):
    (outcome,) = run(DRIVES, [tuple(fault(n) for n in names)])
    return outcome


def test_mad_plans_lead_to_a_soft_stop_and_back():
    outcome = outcome_of("plan_nan")
    assert outcome.state == "SOFT_STOP" and "not finite" in outcome.cause
    assert outcome.recovered and outcome.seconds > 0.3
    assert (outcome.nonfinite_commands, outcome.limit_violations, outcome.collisions) == (0, 0, 0)


def test_lost_odometry_is_an_emergency():
    outcome = outcome_of("odometry_nan")
    assert outcome.state == "EMERGENCY" and "odometry" in outcome.cause
    assert (outcome.nonfinite_commands, outcome.limit_violations) == (0, 0)


def test_commands_beyond_limits_are_counted():
    vehicle = VehicleConfig()
    good = VehicleCommand(0, 0, 0.1, 0.0, 1.0, 5.0)
    assert violations([good, good], vehicle) == 0
    assert violations([replace(good, steering_angle=2.0)], vehicle) == 1
    assert violations([good, replace(good, acceleration=-7.0)], vehicle) == 1, "jerk"
    assert violations([good, replace(good, steering_angle=-0.4)], vehicle) == 1, "steering rate"


def test_every_fault_changes_what_reaches_the_stages():
    from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
    from vadv2_core.ego import EgoState
    from vadv2_core.geometry import Pose2
    from vadv2_core.reasoning import ReasoningEmbedding
    from vadv2_core.trajectory import TrajectoryCandidates

    mount = np.array([[0.0, 0, 1, 1.7], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    k = np.array([[50.0, 0, 32], [0, 50, 16], [0, 0, 1]])
    rig = CameraRig(tuple(CameraModel(f"c{i}", 64, 32, k, mount) for i in range(6)))
    rng = np.random.default_rng(0)

    def moment(step):
        stamp = 10**12 + step * 10**8
        images = tuple(rng.integers(1, 255, (32, 64, 3), dtype=np.uint8) for _ in range(6))
        frame = CameraFrame(stamp, rig, images, np.full(6, stamp), np.ones(6, bool))
        ego = EgoState(stamp, Pose2(float(step), 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0)
        t = 0.1 * np.arange(1, 81)
        rows = np.column_stack([t, 8 * t, 0 * t, 0 * t, 0 * t + 8, 0 * t])[None]
        plan = TrajectoryCandidates(stamp, ego.pose, rows, np.ones(1), 0, "", "", "x", 0, {}, (), "x")
        return Moment(ego, stamp, frame, ReasoningEmbedding(stamp, np.ones(8, np.float32), "m"), "because", plan)

    def told(m):
        frame = m.frame
        return (
            m.ego,
            m.now,
            [i.tobytes() for i in frame.images] + [frame.stamps.tobytes(), frame.valid.tobytes()],
            None if m.embedding is None else m.embedding.embedding.tobytes(),
            m.rationale,
            None if m.plan is None else (m.plan.stamp, m.plan.points.tobytes()),
            sorted(m.dead),
        )

    for f in FAULTS:
        memory = FaultMemory()
        struck = False
        for step in range(6):
            here = moment(step)
            before = told(here)
            f.inject(here, memory)
            struck |= told(here) != before
        assert struck, f"{f.name} changes nothing"


def test_the_short_campaign_is_a_share_of_the_whole():
    short, whole = chosen_faults(True), chosen_faults(False)
    assert {f[0].name for f in whole if len(f) == 1} == {f.name for f in FAULTS}
    assert len(short) < len(whole) and any(len(f) == 2 for f in short)
    assert chosen_faults(True) == short, "seeded"


def test_the_summary_adds_up_and_becomes_a_page(tmp_path):
    one = outcome_of("planner_silent")
    total = summary([one, replace(one, name="a+b", nonfinite_commands=2, collisions=1)], DRIVES)
    assert total["nonfinite_commands"] == 2 and total["collisions"] == 1
    assert [f["name"] for f in total["faults"]] == ["planner_silent", "a+b"]
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- faults -->\n<!-- end -->\nafter\n")
    write_page(page, total)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "1 faults and 1 pairs: 2 commands not finite" in text
    assert "| `planner_silent`: the planner says nothing |" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {8}


def test_an_interrupted_campaign_goes_on_where_it_was(tmp_path, monkeypatch):
    kept = tmp_path / "faults.json.partial"
    orders = [(fault(n),) for n in ("plan_nan", "planner_silent", "plan_empty")]
    driven = []

    def instead(drives, todo):
        for faults in todo:
            driven.append(faults)
            (one,) = faults
            yield FaultOutcome(
                one.name, one.what, "expert", "SOFT_STOP", "", 1.0, 8.0, 0.1, True, 0, 0, 0, ("refused",)
            )

    monkeypatch.setattr(campaign, "run", instead)
    first = next(run_kept(DRIVES, orders, kept))
    whole = list(run_kept(DRIVES, orders, kept))
    assert whole[0] == first and [o.name for o in whole] == [o.name for (o,) in orders]
    assert driven == orders, "none twice"
    assert list(run_kept(DRIVES, orders, kept)) == whole and len(driven) == 3, "all is known"
    list(run_kept(Drives(), orders, kept))
    assert len(driven) == 6, "of another drive nothing is known"
    kept.write_text("[]")
    with pytest.raises(InputError):
        next(run_kept(DRIVES, orders, kept))


@pytest.mark.long
def test_faults_on_pictures_strike_between_the_real_stages():
    names = ("camera_dead", "reasoning_garbage", "perception_restarts", "planner_restarts")
    outcomes = list(run(DRIVES, [(fault(n),) for n in names]))
    assert all((o.nonfinite_commands, o.limit_violations, o.collisions) == (0, 0, 0) for o in outcomes)
    assert all(o.driver != "expert" for o in outcomes)
    by_name = {o.name: o for o in outcomes}
    assert by_name["perception_restarts"].seconds > 0.0 and by_name["planner_restarts"].seconds > 0.0
