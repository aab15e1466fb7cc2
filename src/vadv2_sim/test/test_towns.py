"""Towns: committed, small, of the right parts; maps that hang together; other nets by path."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vadv2_core.errors import InputError
from vadv2_core.geometry import arc_length
from vadv2_core.taxonomy import LaneKind, StopControl
from vadv2_sim.road_map import town_map
from vadv2_sim.town import HELD_OUT_TOWNS, TOWN_NAMES, TOWNS, TRAINING_TOWNS, load_town
from vadv2_sim.town_build import build_town, draw_town


@pytest.mark.parametrize("name", TOWN_NAMES)
def test_town_is_small_and_has_what_scenarios_need(name: str) -> None:
    town = load_town(name)
    assert town.net.stat().st_size < 1_000_000
    road = town_map(town).road
    controls = {lane.control for lane in road.lanes.values()}
    assert {StopControl.SIGNAL, StopControl.STOP_SIGN, StopControl.YIELD_SIGN} <= controls
    assert any(lane.left for lane in road.lanes.values())
    assert any(crossing.signal is None for crossing in road.crossings)
    assert any(lane.kind == LaneKind.SIDEWALK for lane in road.lanes.values())
    signals = {line.signal for line in road.stop_lines if line.signal}
    for signal in signals:
        heads = {head.id.split(":")[0] for head in road.signal_heads if head.signal == signal}
        assert heads == {"near", "far"}


@pytest.mark.parametrize("name", TOWN_NAMES)
def test_lanes_hang_together(name: str) -> None:
    road = town_map(load_town(name)).road
    for lane in road.lanes.values():
        for following in lane.successors:
            after = road.lanes[following]
            assert lane.id in after.predecessors
            assert np.hypot(*(after.centerline[0] - lane.centerline[-1])) < 0.2
        assert all(road.lanes[other].junction == lane.junction for other in lane.yields_to)
        if lane.kind in (LaneKind.ROAD, LaneKind.CONNECTOR):
            assert arc_length(lane.centerline)[-1] > 0.5
            assert lane.speed_limit > 1.0


def test_heads_face_the_traffic_they_hold() -> None:
    road = town_map(load_town("town_a")).road
    line_of = {line.signal: line for line in road.stop_lines if line.signal}
    for head in road.signal_heads:
        lane = road.lanes[line_of[head.signal].lane]
        travel = lane.centerline[-1] - lane.centerline[-2]
        facing = np.array([np.cos(head.yaw), np.sin(head.yaw)])
        assert travel @ facing / np.hypot(*travel) < -0.95
        reach = (np.array(head.position[:2]) - lane.centerline[-1]) @ travel / np.hypot(*travel)
        assert -1.5 < reach < 1.5 if head.id.startswith("near") else reach > 8.0


def test_splits() -> None:
    assert all(load_town(name).facts.split == "train" for name in TRAINING_TOWNS)
    assert all(load_town(name).facts.split == "held_out" for name in HELD_OUT_TOWNS)


def test_any_net_by_path_and_bad_ones(tmp_path: Path) -> None:
    shutil.copy(TOWNS / "town_b" / "net.xml", tmp_path / "imported.net.xml")
    town = load_town(tmp_path)
    assert len(town_map(town).road.lanes) == len(town_map(load_town("town_b")).road.lanes)
    with pytest.raises(InputError, match="unknown town"):
        load_town("atlantis")
    (tmp_path / "second.net.xml").write_text("<net/>")
    with pytest.raises(InputError, match="2 net files"):
        load_town(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "net.xml").write_text("no xml")
    with pytest.raises(InputError, match="not a SUMO net"):
        town_map(load_town(broken))
    (broken / "town.json").write_text('{"vehicles": "many"}')
    with pytest.raises(InputError, match="vehicles"):
        load_town(broken)


def test_sources_build_the_committed_net(tmp_path: Path) -> None:
    draw_town("town_c", tmp_path)
    build_town(tmp_path)
    for part in ("net.xml", "town.nod.xml", "town.edg.xml", "town.json"):
        assert (tmp_path / part).read_bytes() == (TOWNS / "town_c" / part).read_bytes(), part
