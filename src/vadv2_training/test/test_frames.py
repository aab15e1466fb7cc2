"""Targets, futures and stores: what is learned is what was the case."""

import json

import numpy as np
import pytest
import torch

from vadv2_core.camera import CameraModel, CameraRig
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.scene import Agent, Crossing, Lane, RoadMap, Scene, SignalHead, StopLine
from vadv2_core.taxonomy import (
    AgentClass,
    Cause,
    DrivingAction,
    EdgeCaseFlag,
    LaneKind,
    LateralAction,
    LongitudinalAction,
    MapElementClass,
    SignalState,
    StopControl,
)
from vadv2_core.vehicle import VehicleConfig
from vadv2_training.driving_frames import Offset, frame_arrays, future_of, recovery, times_of
from vadv2_training.driving_module import past_motion, token_projections
from vadv2_training.frame_store import FrameStore, quantised, write_shard
from vadv2_training.rendering import VariationConfig, seed_of, varied_offset, varied_rig
from vadv2_training.scene_targets import Visibility, scene_targets

VEHICLE = VehicleConfig()
FRONT = VEHICLE.length - VEHICLE.rear_overhang
GRID = (14, 30)


def road():
    x = np.arange(-50.0, 151.0, 5.0)
    line = np.stack([x, np.zeros_like(x)], -1)
    return RoadMap(
        "test",
        "hash",
        {"a_0": Lane("a_0", LaneKind.ROAD, line, 3.2, 13.9)},
        crossings=(Crossing("c", np.array([[44.0, -4], [48, -4], [48, 4], [44, 4]])),),
        stop_lines=(StopLine("l", "a_0", np.array([[40.0, 1.6], [40.0, -1.6]]), StopControl.SIGNAL, "s"),),
        signal_heads=(SignalHead("h", "s", (40.0, -3.0, 3.5), np.pi),),
        boundaries=(np.array([[-50.0, 1.6], [150.0, 1.6]]), np.array([[-50.0, -4.0], [150.0, -4.0]])),
    )


def scene(x=0.0, y=0.0, yaw=0.0, speed=8.0, stamp=10**12, agents=()):
    ego = EgoState(stamp, Pose2(x, y, yaw), (speed, 0.0), (0.0, 0.0), 0.0, 0.0)
    line = np.stack([np.arange(-5.0, 120.0), np.zeros(125)], -1)
    return Scene(
        stamp,
        ego,
        tuple(agents),
        {"s": SignalState.RED},
        DrivingCommand(stamp, "follow the lane", DrivingAction.LANE_FOLLOW),
        Route(stamp, line, ("a_0",), 13.9),
        ego_lane="a_0",
    )


def car(name="car", x=20.0, y=0.0, yaw=0.0, vx=5.0, cls=AgentClass.CAR):
    return Agent(name, cls, x, y, yaw, 4.0, 1.8, 1.5, (vx, 0.0))


def rig():
    k = np.array([[342.0, 0, 239.5], [0, 342.0, 111.5], [0, 0, 1]])
    mount = np.array([[0.0, 0, 1, 1.7], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    return CameraRig((CameraModel("front", 480, 224, k, mount),))


SEEN = Visibility(frozenset({"car", "bike"}), frozenset({"s"}))


def targets(of, visible=SEEN, flags=frozenset()):
    return scene_targets(of, road(), visible, flags, rig(), GRID, VEHICLE)


def test_lead_and_stop_line_are_measured_from_the_bumper():
    said = targets(scene(agents=[car()]))
    assert said.lead == pytest.approx([1.0, 18.0 - FRONT, 5.0])
    assert said.stop == pytest.approx([1.0, 40.0 - FRONT])
    assert said.signal == SignalState.RED


def test_what_cannot_be_seen_is_not_asked_for():
    said = targets(scene(agents=[car()]), Visibility(frozenset(), frozenset()))
    assert len(said.object_class) == 0 and said.lead[0] == 0.0
    assert said.signal == SignalState.UNKNOWN and not said.lamps.any()
    assert said.stop[0] == 1.0, "the line itself is on the road"


def test_a_car_beside_the_way_is_no_lead():
    assert targets(scene(agents=[car(y=3.2)])).lead[0] == 0.0


def test_the_lane_says_how_the_ego_stands_in_it():
    said = targets(scene(y=0.4, yaw=0.1))
    assert said.lane == pytest.approx([0.4 * np.cos(0.1), 0.1], abs=1e-2)


def test_objects_are_in_base_link():
    said = targets(scene(x=10.0, y=0.0, yaw=np.pi / 2, agents=[car(x=10.0, y=12.0, vx=5.0)]))
    np.testing.assert_allclose(said.object_box[0], [12.0, 0.0, -np.pi / 2, 4.0, 1.8], atol=1e-9)
    np.testing.assert_allclose(said.object_velocity[0], [0.0, -5.0], atol=1e-9)


def test_map_elements_hold_their_signal_and_relevance():
    said = targets(scene())
    stop = said.map_class == MapElementClass.STOP_LINE
    assert stop.sum() == 1
    assert said.map_signal[stop][0] == SignalState.RED and said.map_relevant[stop][0] == 1.0
    assert said.map_points[stop][0, 0, 1] > said.map_points[stop][0, -1, 1], "left to right"
    assert {MapElementClass.LANE, MapElementClass.BOUNDARY, MapElementClass.CROSSING} <= set(said.map_class)


def test_the_lamp_is_where_the_camera_sees_it():
    said = targets(scene())
    row, column = np.argwhere(said.lamps[0] > 0)[0]
    (u, v), _ = rig()["front"].project((40.0, -3.0, 3.5))
    assert (row, column) == (int(v * 14 / 224), int(u * 30 / 480))
    assert said.lamps[0, row, column] == SignalState.RED


def test_flags_are_answered_by_their_index():
    said = targets(scene(), flags=frozenset({EdgeCaseFlag.JAYWALKER}))
    assert np.flatnonzero(said.flags).tolist() == [EdgeCaseFlag.JAYWALKER]


def straight_drive(speed=8.0, seconds=12.0):
    return [scene(x=speed * 0.1 * i, speed=speed, stamp=10**12 + i * 10**8) for i in range(int(seconds * 10) + 1)]


def arrays_of(drive):
    poses = np.array([[s.ego.pose.x, s.ego.pose.y, s.ego.pose.yaw] for s in drive])
    return poses, times_of(drive)


def test_the_future_is_what_was_driven_and_no_more():
    poses, times = arrays_of(straight_drive())
    future, known = future_of(poses, times, 50, Offset(), 8.0)
    np.testing.assert_allclose(future[9], [8.0, 0.0, 0.0], atol=1e-9)
    assert known.sum() == 70, "seven of the eight seconds were driven"


@pytest.mark.parametrize(("lateral", "yaw"), [(0.8, 0.0), (-0.8, 0.0), (0.0, 0.1), (0.6, -0.1)])
def test_an_offset_comes_back_to_the_driven_line(lateral, yaw):
    poses, times = arrays_of(straight_drive())
    future, _ = future_of(poses, times, 0, Offset(lateral, yaw), 8.0)
    world = Pose2(0.0, lateral, yaw).transform(future[:, :2])
    assert abs(world[-1, 1]) < 1e-6, "back on the line within eight seconds"
    assert np.hypot(*future[0, :2]) < 1.0 and abs(future[0, 2]) < 0.1, "starts where and as the ego stands"
    assert np.abs(np.diff(world[:, 1], 2)).max() < 0.02, "no kink on the way back"


def test_a_standing_car_does_not_slide_back():
    poses = np.zeros((121, 3))
    times = np.arange(121) * 0.1
    future, _ = future_of(poses, times, 0, Offset(0.8, 0.0), 0.0)
    assert np.abs(np.diff(future[:, 1])).max() < 0.02
    assert np.abs(future[:, 2]).max() < 1e-6


def test_recovery_starts_with_the_offset_and_its_rate():
    t = np.linspace(0.0, 3.0, 3001)
    d = recovery(t, 0.5, 0.1, 10.0)
    assert d[0] == 0.5 and abs(d[-1]) < 1e-9
    assert (d[1] - d[0]) / t[1] == pytest.approx(10.0 * np.sin(0.1), rel=0.01)


def test_rows_hold_the_decision_and_others_futures():
    drive = [scene(x=0.8 * i, stamp=10**12 + i * 10**8, agents=[car(x=20.0 + 0.5 * i)]) for i in range(101)]
    _, times = arrays_of(drive)
    decision = Decision(LongitudinalAction.KEEP, LateralAction.STRAIGHT, Cause.LEAD_VEHICLE, "car")
    row = frame_arrays(drive, times, 0, Offset(), targets(drive[0]), decision)
    assert row["decision"].tolist() == [LongitudinalAction.KEEP, LateralAction.STRAIGHT, Cause.LEAD_VEHICLE]
    np.testing.assert_allclose(row["others"][:, 0, 0], 20.0 + 0.5 * np.arange(5, 81, 5), atol=1e-5)
    assert row["others_known"][:, 0].all() and not row["others_known"][:, 1:].any()
    assert row["future"].dtype == np.float32


def test_variation_is_a_function_of_the_drive():
    config = VariationConfig(offset_share=1.0)
    one, two = (np.random.default_rng(seed_of("town_a-free", v)) for v in (0, 0))
    first, second = varied_rig(rig(), config, one), varied_rig(rig(), config, two)
    np.testing.assert_array_equal(first.cameras[0].t_base_camera, second.cameras[0].t_base_camera)
    assert varied_offset(config, one) == varied_offset(config, two)
    assert seed_of("town_a-free", 0) != seed_of("town_a-free", 1) != seed_of("town_b-free", 0)
    shift = first.cameras[0].t_base_camera - rig().cameras[0].t_base_camera
    assert 0 < np.abs(shift).max() < 0.3


def test_quantised_features_keep_their_values():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 6, 5, 4, 4)).astype(np.float32) * np.array([1, 10, 0.1, 3, 1])[:, None, None]
    levels, scale = quantised(features.astype(np.float32))
    back = levels * scale[None, None, :, None, None]
    error = np.abs(back - features).reshape(18, 5, -1).max((0, 2))
    assert (error < 0.03 * np.abs(features).reshape(18, 5, -1).max((0, 2))).all()


def shard(directory, name, frames):
    arrays = {
        "stamps": np.arange(frames) * 500_000_000 + len(name),
        "pose": np.arange(frames * 3, dtype=np.float32).reshape(frames, 3),
        "features_0": np.full((frames, 1, 2, 1, 1), 3, dtype=np.int8),
        "features_0_scale": np.array([0.5, 2.0], dtype=np.float32),
    }
    write_shard(directory, name, arrays, {"town": "town_a"}, [f"{name}-{i}" for i in range(frames)])


def test_a_store_reads_windows_of_its_shards(tmp_path):
    shard(tmp_path, "a", 9)
    shard(tmp_path, "b", 3)
    store = FrameStore(tmp_path, 4)
    assert [(w.shard, w.start) for w in store.windows] == [(0, 0), (0, 2), (0, 4)], "b is too short"
    batch = store.batch(store.windows[1:3], ("pose", "features_0"))
    assert batch["pose"].shape == (2, 4, 3) and batch["pose"][0, 0, 0] == 6.0
    assert batch["features_0"][0, 0, 0].flatten().tolist() == [1.5, 6.0]
    assert store.texts(store.windows[1]) == ["a-2", "a-3", "a-4", "a-5"]
    assert store.count(1) == 3


def test_processes_share_the_shards_of_a_store(tmp_path, monkeypatch):
    for name in "abcde":
        shard(tmp_path, name, 4)
    store = FrameStore(tmp_path, 4)
    assert store.shards_in_turn() == [0, 1, 2, 3, 4]
    monkeypatch.setenv("WORLD_SIZE", "2")
    turns = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        turns.append(store.shards_in_turn())
    assert turns == [[0, 2, 4, 1, 3], [1, 3, 0, 2, 4]], "its own share first, then what another may have left"


def test_a_store_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="holds no frames"):
        FrameStore(tmp_path, 4)
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"x\.safetensors: not a shard"):
        FrameStore(tmp_path, 4)


def test_past_motion_takes_points_to_the_older_base_link():
    poses = [Pose2(5.0, 2.0, 0.3), Pose2(8.0, 4.0, 0.9)]
    batch = torch.tensor([[[p.x, p.y, p.yaw] for p in poses]], dtype=torch.float64)
    motion = past_motion(batch, 1)[0, 0].numpy()
    np.testing.assert_allclose(motion, poses[0].relative(poses[1]).to_matrix3(), atol=1e-6)


def test_token_projections_agree_with_the_camera():
    camera = rig().cameras[0]
    k = torch.tensor(camera.k)[None, None]
    matrix = token_projections(k, torch.tensor(camera.t_base_camera)[None, None])[0, 0].numpy()
    point = np.array([20.0, 3.0, 1.0, 1.0])
    u, v, w = matrix @ point
    pixels, depth = camera.project(point[:3])
    np.testing.assert_allclose([u / w, v / w, w], [*pixels, depth], atol=1e-9)


def test_held_out_towns_are_refused(tmp_path):
    from vadv2_core.road_map_file import save_road_map
    from vadv2_core.scene_log import LogFrame, SceneLogHeader, SceneLogWriter
    from vadv2_training.drives import drives

    town = road()
    save_road_map(tmp_path / "maps" / "m.map.zst", town)
    for name in ("town_a", "town_e"):
        path = tmp_path / name / "free_000001.scenes.zst"
        with SceneLogWriter(path, SceneLogHeader(name, town.hash, "free", 1, "expert")) as log:
            for moment in straight_drive(seconds=3.0):
                log.write(LogFrame(moment))
            log.close({"reason": "goal"})
    with pytest.raises(InputError, match="'town_e' is held out"):
        list(drives(tmp_path))
    (tmp_path / "town_e" / "free_000001.scenes.zst").unlink()
    (drive,) = drives(tmp_path)
    assert drive.name == "town_a-free_000001" and len(drive.scenes) == 31
    said = drive.texts(drive.scenes[0], None, SEEN)
    assert json.loads(json.dumps(said))["command"] == "follow the lane"


def test_the_teachers_mistakes_are_not_lessons(tmp_path):
    from vadv2_core.road_map_file import save_road_map
    from vadv2_core.scene_log import LogFrame, SceneLogHeader, SceneLogWriter
    from vadv2_training.drives import drives

    town = road()
    save_road_map(tmp_path / "maps" / "m.map.zst", town)
    bad = ({"stamp": 1, "kind": "red_light", "detail": "", "at_fault": True},)
    ends = {"good": ("goal", ()), "stuck": ("stuck", ()), "red": ("goal", bad)}
    for name, (reason, events) in ends.items():
        with SceneLogWriter(tmp_path / f"{name}.scenes.zst", SceneLogHeader("town_a", town.hash)) as log:
            for moment in straight_drive(seconds=1.0):
                log.write(LogFrame(moment, events=events))
            log.close({"reason": reason})
    assert [drive.name for drive in drives(tmp_path)] == ["good"]
