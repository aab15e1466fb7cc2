"""Scene logs: what is written is read back, a cut tail loses no whole frame, other versions are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.road_map_file import load_road_map, save_road_map
from vadv2_core.scene import Agent, Lane, RoadMap, Scene, StopLine
from vadv2_core.scene_log import LogFrame, LoggedRoute, SceneLog, SceneLogHeader, SceneLogWriter, scene_logs
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    LaneKind,
    SignalState,
    StopControl,
    Weather,
)

POINTS = np.stack([np.arange(200.0), np.zeros(200)], axis=-1)


def a_scene(step: int) -> Scene:
    rng = np.random.default_rng(step)
    stamp = 1_000_000_000 * 1000 + step * 100_000_000
    cars = [
        Agent(f"v{k}", AgentClass.CAR, round(float(rng.normal(0, 30)), 2), 3.5, 0.1, 4.4, 1.8, 1.5, (8.0, 0.25), -0.5,
              "e_1", AgentIntention.TURNS_LEFT, Cause.TURN, 1, True)
        for k in range(20)
    ]  # fmt: skip
    parked = Agent(
        "parked:1", AgentClass.CAR, 9.0, 2.0, 0.0, 4.0, 1.8, 1.5, (0.0, 0.0), intention=AgentIntention.PARKED
    )
    return Scene(
        stamp,
        EgoState(stamp, Pose2(0.5 * step, 0.0, 0.01), (5.0, 0.0), (0.1, 0.0), 0.02, 0.05),
        (*cars, *([parked] if step > 3 else [])),
        {"n1:0": SignalState.RED if step < 8 else SignalState.GREEN},
        DrivingCommand(stamp, "turn left", DrivingAction.LEFT, 12.5),
        Route(stamp, POINTS[step : step + 100], ("e_1",), 13.9),
        frozenset({"x_1"}) if step > 5 else frozenset(),
        Weather.RAIN,
        0.5,
        "e_1",
        "red_light",
        ("cut_in",) if step == 9 else (),
    )


HEADER = SceneLogHeader("town_x", "ab" * 32, "red_light", 3, "expert", route=LoggedRoute(POINTS, (0,) * 200, ("e_1",)))


def write_log(path: Path, frames: int) -> Path:
    with SceneLogWriter(path, HEADER) as log:
        for k in range(frames):
            scene = a_scene(k)
            command = VehicleCommand(scene.stamp, scene.stamp, 0.1, 0.0, -1.5, 4.0)
            log.write(LogFrame(scene, command, {"cause": 3}, ({"kind": "stuck"},) if k == 2 else ()))
    return path


def same(a: Scene, b: Scene) -> bool:
    assert a.route is not None
    assert b.route is not None
    routes = np.array_equal(a.route.points, b.route.points) and a.route.lane_ids == b.route.lane_ids
    return routes and replace(a, route=None) == replace(b, route=None)


def test_round_trip(tmp_path: Path) -> None:
    log = SceneLog(write_log(tmp_path / "a.scenes.zst", 30))
    assert len(log) == 30
    assert not log.truncated
    assert log.header.seed == 3
    for k in (0, 4, 9, 29):
        assert same(log[k].scene, a_scene(k))
        assert log[k].vehicle_command == VehicleCommand(a_scene(k).stamp, a_scene(k).stamp, 0.1, 0.0, -1.5, 4.0)
    assert log[2].events == ({"kind": "stuck"},)
    assert log[0].notes == {"cause": 3}


def test_a_few_kilobytes_a_second(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.scenes.zst", 100)
    assert path.stat().st_size / 10.0 < 8000.0


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_cut_tail_keeps_whole_frames(tmp_path: Path, kept: float) -> None:
    path = write_log(tmp_path / "a.scenes.zst", 60)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    log = SceneLog(path)
    assert log.truncated
    assert 0 < len(log) < 60
    assert len(log) >= int(kept * 60) - 15
    assert same(log[len(log) - 1].scene, a_scene(len(log) - 1))


def test_a_killed_writer_leaves_its_frames(tmp_path: Path) -> None:
    log = SceneLogWriter(tmp_path / "a.scenes.zst", HEADER)
    for k in range(25):
        log.write(LogFrame(a_scene(k)))
    assert not (tmp_path / "a.scenes.zst").exists()
    assert len(SceneLog(log.part)) == 20
    log.close()


def test_other_versions_and_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "b.scenes.zst"
    line = json.dumps({"format": "vadv2-scene-log", "version": 99})
    other.write_bytes(zstandard.compress(line.encode() + b"\n"))
    with pytest.raises(InputError, match="version 99"):
        SceneLog(other)
    other.write_bytes(b"no log at all")
    with pytest.raises(InputError, match="not a scene log"):
        SceneLog(other)
    with pytest.raises(InputError, match="No such file"):
        SceneLog(tmp_path / "none.scenes.zst")
    with pytest.raises(InputError, match="no scene logs"):
        scene_logs(tmp_path / "empty")


def test_road_map_round_trip(tmp_path: Path) -> None:
    lane = Lane("e_1", LaneKind.ROAD, POINTS, 3.3, 13.9, ("c",), left="e_2", control=StopControl.SIGNAL)
    line = StopLine("s", "e_1", POINTS[:2], StopControl.SIGNAL, "n:0")
    road = RoadMap("t", "h", {"e_1": lane}, {"n": POINTS[:4]}, stop_lines=(line,), drivable=(POINTS[:5],))
    path = tmp_path / "t.map.zst"
    save_road_map(path, road)
    read = load_road_map(path)
    assert np.allclose(read.lanes["e_1"].centerline, POINTS)
    assert replace(read.lanes["e_1"], centerline=POINTS) == replace(lane, centerline=POINTS)
    assert read.stop_lines[0].signal == "n:0"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="damaged"):
        load_road_map(path)
