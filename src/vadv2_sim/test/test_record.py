"""Recording: the same drives for the same arguments, nothing twice, gone on with where it was killed."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from pebble import ProcessPool

import vadv2_sim.record as record_module
from vadv2_core.errors import InputError
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene_log import SceneLog, map_of, scene_logs
from vadv2_sim.record import DriveOrder, record, record_drive

ARGUMENTS = {"towns": ["town_b"], "scenarios": ["free"], "seed": 3, "driver": "lane_follower", "seconds": 4.0}


def drives(folder: Path, seconds: float) -> list[str]:
    return [o.order.file for o in record(folder, hours=seconds / 3600.0, workers=1, **ARGUMENTS)]  # type: ignore[arg-type]


def test_a_log_holds_the_drive(tmp_path: Path) -> None:
    outcome = record_drive(DriveOrder("town_c", "free", 2, "lane_follower", 5.0), tmp_path)
    log = SceneLog(tmp_path / outcome.order.file)
    assert len(log) == 51
    assert log.end["reason"] == "time"
    assert log.header.route is not None
    first, last = log[0].scene, log[50].scene
    assert last.stamp - first.stamp == 5_000_000_000
    assert last.route is not None
    assert len(last.route.points) > 50
    assert log[0].vehicle_command is not None
    size = (tmp_path / outcome.order.file).stat().st_size
    assert size / 5.0 < 8_000.0


def test_a_killed_recording_goes_on(tmp_path: Path) -> None:
    whole = drives(tmp_path / "whole", 11.0)
    assert len(whole) == len(set(whole)) == 3
    broken = tmp_path / "broken"
    assert drives(broken, 3.0) == whole[:1]
    # A kill in the middle of the second drive: its log unfinished, its line cut short.
    (broken / f"{whole[1]}.part").write_bytes(b"half a log")
    with (broken / "drives.jsonl").open("a") as out:
        out.write('{"order": {"town": "town_b", "sce')
    assert drives(broken, 11.0) == whole
    for name in whole:
        assert (broken / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(scene_logs(broken)) == 3
    log = SceneLog(broken / whole[0])
    assert load_road_map(map_of(log.path, log.header)).hash == log.header.map_hash


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    drives(tmp_path, 1.0)
    with pytest.raises(InputError, match="other arguments"):
        list(record(tmp_path, ["town_a"], 0.001, workers=1))
    with pytest.raises(InputError, match="unknown scenario"):
        list(record(tmp_path / "new", ["town_a"], 0.001, scenarios=["nothing"], workers=1))
    with pytest.raises(InputError, match="unknown town"):
        list(record(tmp_path / "newer", ["town_q"], 0.001, workers=1))


def test_a_drive_whose_process_dies_is_left_out_and_said(tmp_path: Path) -> None:
    order = DriveOrder("town_a", "free", 7)
    with ProcessPool(1, context=multiprocessing.get_context("spawn")) as pool:
        outcome = record_module._taken(tmp_path, order, pool.schedule(os._exit, args=(3,)))
    assert (outcome.reason, outcome.success, outcome.seconds) == ("crashed", False, 0.0)
    # The next run does not drive it again.
    assert record_module._done(tmp_path) == {order.file: outcome}
