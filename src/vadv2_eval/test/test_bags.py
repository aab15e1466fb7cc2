"""Bags whose numbers are known; broken bags are named and the others go on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from made_bags import START, make_bag, plan
from rosbags.rosbag2 import StoragePlugin
from typer import Typer
from typer.testing import CliRunner

from vadv2_core.errors import InputError
from vadv2_core.road_map_file import save_road_map
from vadv2_core.scene import Lane, RoadMap
from vadv2_core.taxonomy import LaneKind, LateralAction
from vadv2_eval import cli
from vadv2_eval.bags.compare import compare_runs
from vadv2_eval.bags.recording import CANDIDATES, _plan_of, choose_topics, parse_map, read_recording
from vadv2_eval.bags.score import read_frames, score_bags
from vadv2_ros import conversions


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return make_bag(tmp_path_factory.mktemp("bags") / "straight", offset=0.5)


@pytest.fixture(scope="module")
def run(bag, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return score_bags([bag], out), out


def test_errors_of_a_plan_half_a_metre_to_the_left(run):
    summary, out = run
    errors = summary["errors"]
    for horizon in ("1s", "2s", "3s", "4s", "8s"):
        assert errors["ade"][horizon]["mean"] == pytest.approx(0.5, abs=1e-6)
        assert errors["lateral"][horizon]["mean"] == pytest.approx(0.5, abs=1e-6)
        assert errors["longitudinal"][horizon]["mean"] == pytest.approx(0.0, abs=1e-6)
        assert errors["heading"][horizon]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert errors["fde"]["8s"]["count"] == 40 and errors["fde"]["4s"]["count"] == 80
    assert summary["frames"] == 120 and summary["comfort"]["mean"] == 1.0
    row = read_frames(out / "frames.jsonl")[30]
    assert row["time"] == pytest.approx(3.0) and row["conditions"]["motion"] == "driving"
    assert row["errors"]["lateral"]["4s"] == pytest.approx(0.5)
    assert row["conditions"]["objects_within_30m"] == 0 and row["conditions"]["weather"] == "DAY"


def test_the_best_of_k_modes_and_collisions_with_recorded_objects(run):
    summary, out = run
    best = summary["errors"]["min_ade"]
    assert best["1"]["4s"]["mean"] == pytest.approx(0.5, abs=1e-6) and "5" not in best
    rows = read_frames(out / "frames.jsonl")
    hits = [r["collision"]["hit"] for r in rows]
    assert not hits[0] and hits[40] and rows[40]["collision"]["object"] == "CAR p"
    assert rows[40]["collision"]["time"] == pytest.approx((58.0 - 3.6 - 32.0) / 8.0, abs=0.11)


def test_states_latency_and_agreement(run):
    summary, _ = run
    assert summary["seconds_in_state"]["DRIVING"] == pytest.approx(11.9)
    assert summary["latency_ms"]["plan, recorded after its frame"]["p50"] == pytest.approx(20.0)
    assert summary["latency_ms"]["planner, its own clock"]["p95"] == pytest.approx(4.0)
    assert summary["reasoning"]["agrees_with_driven"] == {
        "mean": 1.0,
        "low": pytest.approx(0.70, abs=0.02),
        "high": 1.0,
        "count": 9,
    }
    assert summary["errors"]["ade"]["1s"]["count"] == 110


def test_the_report_has_tables_and_plots_and_nothing_from_outside(run):
    text = (run[1] / "report.html").read_text()
    assert text.count("data:image/png;base64,") >= 3 and "http" not in text
    assert "half" not in text and "FDE, m" in text and "Seconds in each state" in text


def test_sqlite_and_single_files_are_bags_too(bag, tmp_path):
    other = make_bag(tmp_path / "lite", seconds=2.0, storage=StoragePlugin.SQLITE3)
    assert len(read_recording(other).plans) == 20
    single = next(bag.glob("*.mcap"))
    assert len(read_recording(single).plans) == 120


def test_without_odometry_the_poses_of_the_plans_are_the_truth(tmp_path):
    recording = read_recording(make_bag(tmp_path / "b", seconds=3.0, leave_out=["/odometry", "/truth/scene"]))
    assert "poses the plans start from" in recording.truth and not recording.objects
    assert recording.speeds[5] == pytest.approx(8.0)


def test_broken_bags_are_named_and_the_others_go_on(bag, tmp_path):
    cut = tmp_path / "cut"
    shutil.copytree(bag, cut)
    file = next(cut.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:4000])
    no_plan = make_bag(tmp_path / "no_plan", seconds=1.0, leave_out=["/planner/candidates"])

    def back(topic, k, message):
        if topic == "/odometry" and k == 15:
            message.header.stamp.sec -= 5
        return message

    goes_back = make_bag(tmp_path / "back", seconds=2.0, spoil=back)
    absent = tmp_path / "absent"
    summary = score_bags([cut, bag, no_plan, goes_back, absent], tmp_path / "out", workers=2)
    assert [b["frames"] for b in summary["bags"]] == [120]
    why = {x["bag"].rsplit("/", 1)[-1]: x["why"] for x in summary["left_out"]}
    assert "cannot be read" in why["cut"] or "breaks off" in why["cut"]
    assert "no plan" in why["no_plan"] and "--map plan=/topic" in why["no_plan"]
    assert "/odometry: stamps go back by 5.1" in why["back"] or "stamps go back" in why["back"]
    assert "is not there" in why["absent"]
    assert all("\n" not in w for w in why.values())
    again = score_bags([cut, bag, no_plan, goes_back, absent], tmp_path / "out", workers=1)
    assert again == summary
    with pytest.raises(InputError, match="is not there"):
        score_bags([absent], tmp_path / "out2")


def test_bad_plans_are_left_out_by_stamp(tmp_path):
    def spoil(topic, k, message):
        if topic == "/planner/candidates":
            if k == 3:
                message.points[6] = float("nan")
            if k == 5:
                message.points[0], message.points[6] = message.points[6], message.points[0]
        return message

    summary = score_bags([make_bag(tmp_path / "b", seconds=3.0, spoil=spoil)], tmp_path / "out")
    assert summary["frames"] == 28
    why = [x["why"] for x in summary["bags"][0]["left_out"]]
    assert "is not finite (mode 0, point 1)" in why[0] and "do not rise" in why[1]
    empty = conversions.candidates_to_message(plan(START, 0.0, points=0))
    with pytest.raises(InputError, match=r"is empty .*at least one point"):
        _plan_of(CANDIDATES, empty, conversions)


def test_topics_by_type_and_by_map():
    types = {
        "/a": "nav_msgs/msg/Odometry",
        "/b": "vadv2_msgs/msg/TrajectoryCandidates",
        "/c": "vadv2_msgs/msg/Trajectory",
    }
    assert choose_topics(types, {}, "bag") == {"odometry": "/a", "plan": "/b"}
    assert choose_topics(types, parse_map(["plan=/c"]), "bag")["plan"] == "/c"
    with pytest.raises(InputError, match="bag: --map plan: /a is nav_msgs/msg/Odometry"):
        choose_topics(types, {"plan": "/a"}, "bag")
    for bad in ("plan", "plan=b", "speed=/b"):
        with pytest.raises(InputError, match="ROLE=/topic"):
            parse_map([bad])


def test_two_runs_side_by_side(run, tmp_path, tmp_path_factory):
    other = make_bag(
        tmp_path_factory.mktemp("bags2").parent / run[0]["bags"][0]["bag"].split("/")[-2] / "again", offset=0.8
    )
    score_bags([other], tmp_path / "b")
    rows = read_frames(tmp_path / "b" / "frames.jsonl")
    name = read_frames(run[1] / "frames.jsonl")[0]["bag"]
    (tmp_path / "b" / "frames.jsonl").write_text("".join(json.dumps(r | {"bag": name}) + "\n" for r in rows))
    found = compare_runs(run[1], tmp_path / "b", tmp_path / "difference")
    assert found["matched"] == 120 and found["only_a"] == 0
    assert found["differences"]["ADE"]["4s"]["mean"] == pytest.approx(0.3, abs=1e-6)
    assert found["frames"][0]["difference"] == pytest.approx(0.3, abs=1e-6)
    assert (tmp_path / "difference" / "comparison.html").stat().st_size > 5000
    with pytest.raises(InputError, match=r"frames\.jsonl"):
        compare_runs(run[1], tmp_path, tmp_path / "x")


def test_the_command_ends_with_2_where_a_bag_was_left_out(bag, tmp_path):
    app = Typer()
    cli.register(app)
    done = CliRunner().invoke(app, ["eval", "bag", str(bag), str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2, done.output
    assert "120 plans of 1 bags" in done.output
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["left_out"][0]["why"].endswith("file)")


def _as_path(topic, k, message):
    """The plan as nav_msgs/Path, as RViz is given it."""
    if topic != "/planner/candidates":
        return message
    from vadv2_ros.standard_messages import path_from_trajectory

    return path_from_trajectory(conversions.candidates_from_message(message).trajectory())


def test_a_bag_with_nothing_but_a_path_is_scored(tmp_path, run):
    bag = make_bag(tmp_path / "path", offset=0.5, seconds=6.0, spoil=_as_path)
    summary = score_bags([bag], tmp_path / "out")
    assert summary["frames"] == 60 and not summary["left_out"]
    for horizon in ("1s", "4s"):
        assert summary["errors"]["ade"][horizon]["mean"] == pytest.approx(0.5, abs=1e-5)
        assert summary["errors"]["speed"][horizon]["mean"] == pytest.approx(0.0, abs=1e-3)
    message = _as_path("/planner/candidates", 0, conversions.candidates_to_message(plan(START, 0.0)))
    for pose in message.poses:
        pose.header.stamp = message.header.stamp
    with pytest.raises(InputError, match="has no times"):
        _plan_of("nav_msgs/msg/Path", message, conversions)


def test_off_road_is_judged_on_a_map(bag, tmp_path):
    lane = Lane("l", LaneKind.ROAD, np.array([[-50.0, 0.0], [400.0, 0.0]]), 3.5, 13.9)

    def road(width):
        outline = np.array([[-50.0, -width], [400.0, -width], [400.0, width], [-50.0, width]])
        save_road_map(tmp_path / f"{width}.map.zst", RoadMap("made", "0" * 64, {"l": lane}, drivable=(outline,)))
        return str(tmp_path / f"{width}.map.zst")

    # The plans run half a metre to the left; the vehicle is 1.85 m wide.
    narrow = score_bags([bag], tmp_path / "narrow", road_map=road(1.2))
    wide = score_bags([bag], tmp_path / "wide", road_map=road(3.0))
    assert narrow["off_road"]["mean"] == 1.0 and wide["off_road"]["mean"] == 0.0
    row = read_frames(tmp_path / "narrow" / "frames.jsonl")[0]
    assert row["off_road"]["time"] == pytest.approx(0.1) and row["off_road"]["place"][1] == pytest.approx(0.5)
    assert score_bags([bag], tmp_path / "none")["off_road"] is None
    with pytest.raises(InputError):
        score_bags([bag], tmp_path / "bad", road_map=str(bag / "metadata.yaml"))


def test_what_was_driven_is_judged_on_a_map_where_one_is_given(bag, tmp_path):
    line = np.array([[-50.0, 0.0], [400.0, 0.0]])
    # A straight line that its map calls a turn: only who looks at the map says so.
    lane = Lane("l", LaneKind.CONNECTOR, line, 3.5, 13.9, turn=LateralAction.LEFT_TURN)
    save_road_map(tmp_path / "made.map.zst", RoadMap("made", "0" * 64, {"l": lane}))
    on_map = score_bags([bag], tmp_path / "on", road_map=str(tmp_path / "made.map.zst"))
    assert on_map["reasoning"]["agrees_with_driven"]["mean"] == 0.0
    assert on_map["reasoning"]["longitudinal_agrees"]["mean"] == 1.0
    assert score_bags([bag], tmp_path / "off")["reasoning"]["agrees_with_driven"]["mean"] == 1.0
