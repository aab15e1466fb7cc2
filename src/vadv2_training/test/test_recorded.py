"""Drives that others recorded: read in their published forms, joined, and trained on for one step."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import recorded_fixtures as fixtures
import torch

from vadv2_core.camera import CameraFrame, load_rig
from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import AgentClass, Cause, DrivingAction, LateralAction, LongitudinalAction
from vadv2_core.vehicle import VehicleConfig
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.recorded.bags import bag_drive, shard_name
from vadv2_training.recorded.bddx import bddx_drives, decision_of, intent_of, read_bddx
from vadv2_training.recorded.drivelm import drivelm_drives, read_drivelm, with_words
from vadv2_training.recorded.drives import MOTION, OBJECTS, WORDS, RecordedDrive, RecordedFrame, write_recorded_drive
from vadv2_training.recorded.fitting import fine_tune, knowledge
from vadv2_training.recorded.motion import driven_command, make_track, meta_action
from vadv2_training.recorded.nuscenes import NuScenesTables, class_of, nuscenes_drive, rotation_matrix

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "six_camera_clips" / "nuscenes_scene0368"
RIG = Path(__file__).resolve().parents[3] / "config" / "rig" / "surround6.yaml"
STEP = OptimizationConfig(
    steps=1, batch_size=1, learning_rate=1e-3, warmup_steps=0, precision="no", ema_decay=0.0, save_every=1
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, fixtures.write_model(folder)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return NuScenesTables(fixtures.write_nuscenes(tmp_path_factory.mktemp("nuscenes")), "v1.0-mini")


def first(drive, count):
    return replace(drive, frames=islice(drive.frames, count))


def write(drive, store, model):
    return write_recorded_drive(drive, store, fixtures.ENCODER, fixtures.backbone_of(model[1]), VehicleConfig())


def circle(speed=6.0, rate=0.1, seconds=12.0):
    states = []
    for i in range(int(seconds * 20) + 1):
        x, y, yaw = fixtures.ego_pose(i / 20, speed, rate)
        states.append(EgoState(10**12 + i * 50_000_000, Pose2(x, y, yaw), (speed, 0.0), (0.0, speed * rate), rate))
    return states


def track_of(states):
    return make_track([(s.stamp, s.pose.x, s.pose.y, s.pose.yaw) for s in states], "test")


def test_a_path_tells_how_the_ego_moves():
    track = track_of(circle())
    ego = track.state_at(10**12 + 4 * 10**9)
    assert ego.speed == pytest.approx(6.0, abs=0.02) and ego.yaw_rate == pytest.approx(0.1, abs=1e-3)
    assert abs(ego.velocity[1]) < 0.02 and abs(ego.acceleration[0]) < 0.05


def test_sennas_rule_and_the_driven_command():
    turning = track_of(circle())
    decision = meta_action(turning, 10**12)
    assert (decision.longitudinal, decision.lateral) == (LongitudinalAction.KEEP, LateralAction.STRAIGHT)
    sharp = track_of(circle(rate=0.4))
    assert meta_action(sharp, 10**12).lateral is LateralAction.LEFT_TURN
    assert meta_action(track_of(circle(rate=-0.4)), 10**12).lateral is LateralAction.RIGHT_TURN
    assert meta_action(track_of(circle(speed=0.5, rate=0.01)), 10**12).longitudinal is LongitudinalAction.STOP
    assert meta_action(turning, turning.end - 10**9).longitudinal is LongitudinalAction.UNKNOWN
    assert driven_command(sharp, 10**12).action is DrivingAction.LEFT
    assert driven_command(track_of(circle(rate=0.01)), 10**12).action is DrivingAction.LANE_FOLLOW


def test_nuscenes_is_read_in_base_link(tables):
    drive = nuscenes_drive(tables, tables.scenes[0])
    assert drive.knows == {MOTION, OBJECTS}
    frame = next(iter(drive.frames))
    assert frame.ego.speed == pytest.approx(6.0, abs=0.05)
    front = frame.frame.rig["front_left"]
    assert front.t_base_camera[:2, 2] == pytest.approx([np.cos(np.deg2rad(55)), np.sin(np.deg2rad(55))], abs=1e-6)
    by_id = {a.id: a for a in frame.agents}
    assert by_id["leader"].velocity[0] == pytest.approx(6.0, abs=0.7)
    assert np.hypot(*by_id["parked"].velocity) == 0.0 and by_id["parked"].cls is AgentClass.CAR
    assert (by_id["leader"].length, by_id["leader"].width) == (4.5, 1.9), "nuScenes' size is width, length, height"


def test_categories_and_quaternions():
    assert class_of("vehicle.bus.rigid") is AgentClass.BUS
    assert class_of("human.pedestrian.adult") is AgentClass.PEDESTRIAN
    turn = fixtures.optical(0.7)
    np.testing.assert_allclose(rotation_matrix(fixtures.quaternion(turn)), turn, atol=1e-9)


def test_a_store_of_nuscenes_knows_futures_and_others_and_trains(tables, model, tmp_path):
    store = tmp_path / "store"
    name = write(first(nuscenes_drive(tables, tables.scenes[0]), 3), store, model)
    assert knowledge(store) == {MOTION, OBJECTS}
    frames = FrameStore(store, 2)
    rows = frames.read(Window(0, 0, 3), ("future", "future_known", "others", "others_known", "object_known", "pose"))
    # The track ends with the last key frame's cameras, 5.54 s after the first.
    assert rows["future_known"][0].sum() == 55
    x, y, yaw = fixtures.ego_pose(2.0)
    assert rows["future"][0, 19].tolist() == pytest.approx([x, y, yaw], abs=0.02)
    assert rows["object_known"][0].sum() == 2
    leader = [i for i in range(2) if rows["others"][0, 3, i, 0] > 15]
    fx, fy, _ = fixtures.ego_pose(4.0)
    assert any(rows["others"][0, 3, i, :2].tolist() == pytest.approx([fx, fy], abs=0.1) for i in range(2)), leader
    out = tmp_path / "out"
    result = fine_tune(frames, model[0], out, STEP, "fitted", perception=True)
    assert np.isfinite(result.losses["objects"]) and result.losses["objects"] > 0
    assert (out / "planner" / "model.safetensors").is_file() and (out / "perception" / "model.safetensors").is_file()
    assert write(nuscenes_drive(tables, tables.scenes[0]), store, model) == name, "it is there already"
    with pytest.raises(InputError, match="another source"):
        write(RecordedDrive("b", "bag", frozenset({MOTION}), ()), store, model)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("sample_data", lambda rows: rows[0].pop("filename"), "record 0 has no 'filename'"),
        ("ego_pose", lambda rows: rows[0].update(translation=[1.0, None, 2.0]), "translation of CAM_FRONT-0"),
        ("sample", lambda rows: rows[3].update(next="nowhere"), "sample.next points at 'nowhere'"),
        ("calibrated_sensor", lambda rows: rows[0].update(camera_intrinsic=[]), "camera_intrinsic"),
        ("instance", lambda rows: rows[0].update(category_token="x"), "instance.category_token points at 'x'"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path, table, change, message):
    root = fixtures.write_nuscenes(tmp_path, frames=4)
    path = root / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))
    tables = NuScenesTables(root, "v1.0-mini")
    with pytest.raises(InputError) as error:
        list(nuscenes_drive(tables, tables.scenes[0]).frames)
    assert message in error.value.what and ".json" in error.value.where


def test_drivelm_is_joined_to_nuscenes_and_speaks(tables, model, tmp_path):
    (drive,) = drivelm_drives(tables, fixtures.write_drivelm(tmp_path / "drivelm.json"))
    assert drive.knows == {MOTION, OBJECTS, WORDS}
    frames = list(drive.frames)
    assert frames[1].words.scene == "" and frames[4].words.scene == "The car nears a light."
    assert frames[0].decision.cause is Cause.RED_LIGHT
    assert frames[0].words.trace.startswith("1. red light: The action is to brake")
    assert len(frames[0].words.questions) == 5
    store = tmp_path / "store"
    write(replace(drive, frames=frames[:2]), store, model)
    losses = language_step(store, model, tmp_path)
    assert losses["language"] > 0 and losses["action"] > 0


def language_step(store, model, tmp_path):
    """One training step of the reasoner on a store; the losses."""
    from vadv2_training.language_task import LanguageModule, LanguageTask
    from vadv2_training.perceived_frames import write_slots
    from vadv2_training.stages import slot_config
    from vadv2_training.trainer import train
    from vadv2_vlm.language_model import load_language_model
    from vadv2_vlm.model import VlmModel
    from vadv2_vlm.tiny import TinySize, untrained_directory

    frames = FrameStore(store, 1)
    slots = tmp_path / "slots"
    list(write_slots(model[1], frames, slots, slot_config(model[1]), "hash"))
    size = TinySize(hidden=48, layers=1, heads=2, key_value_heads=1, intermediate=64)
    vlm = VlmModel(load_language_model(str(untrained_directory(tmp_path, 0, size))), slot_config(model[1]))
    task = LanguageTask(LanguageModule(vlm.train()), frames, slots)
    return train(task, replace(STEP, batch_size=len(frames)), tmp_path / "run").losses


def test_drivelm_questions_are_a_task_of_their_own(tables, model, tmp_path):
    from vadv2_training.perceived_frames import write_slots
    from vadv2_training.recorded.question_task import QuestionTask
    from vadv2_training.stages import slot_config
    from vadv2_training.trainer import train
    from vadv2_vlm.language_model import load_language_model
    from vadv2_vlm.model import VlmModel
    from vadv2_vlm.tiny import TinySize, untrained_directory

    (drive,) = drivelm_drives(tables, fixtures.write_drivelm(tmp_path / "drivelm.json"))
    store = tmp_path / "store"
    write(first(drive, 2), store, model)
    frames = FrameStore(store, 1)
    list(write_slots(model[1], frames, tmp_path / "slots", slot_config(model[1]), "hash"))
    size = TinySize(hidden=48, layers=1, heads=2, key_value_heads=1, intermediate=64)
    vlm = VlmModel(load_language_model(str(untrained_directory(tmp_path, 0, size))), slot_config(model[1]))
    task = QuestionTask(vlm.train(), frames, tmp_path / "slots")
    assert len(task) == 5, "the questions of the one frame that has any"
    result = train(task, replace(STEP, batch_size=5), tmp_path / "run")
    assert 1.0 < result.losses["language"] < 20.0


def test_what_is_wrong_in_drivelm_is_named(tables, tmp_path):
    path = fixtures.write_drivelm(tmp_path / "drivelm.json")
    data = json.loads(path.read_text())
    data["scene0"]["key_frames"]["s0"]["QA"]["planning"][1].pop("A")
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="planning question 1 has no Q or A"):
        read_drivelm(path)
    path.write_text(json.dumps({"elsewhere": {"key_frames": {}}}))
    with pytest.raises(InputError, match="scene elsewhere is not in the tables"):
        list(drivelm_drives(tables, path))


def test_bddx_teaches_words_alone(model, tmp_path):
    path = fixtures.write_bddx(tmp_path / "BDD-X-Annotations_v1.csv")
    assert [s.number for s in read_bddx(path)] == [1, 2, 1]
    drives = list(bddx_drives(path, load_rig(RIG)))
    frames = list(drives[0].frames)
    assert frames[0].words.intent == "The car slows down because the light is red."
    assert not frames[0].frame.valid.any()
    store = tmp_path / "store"
    write(replace(drives[0], frames=frames), store, model)
    assert FrameStore(store, 1).read(Window(0, 0, 2), ("future_known",))["future_known"].sum() == 0
    losses = language_step(store, model, tmp_path)
    assert losses["language"] > 0 and losses["action"] > 0
    with pytest.raises(InputError, match="knows no motion"):
        fine_tune(FrameStore(store, 1), model[0], tmp_path / "out", STEP, "fitted")


def test_bddx_words_in_our_taxonomy():
    assert decision_of("The car is stopped", "because the light is red").cause is Cause.RED_LIGHT
    slow = decision_of("The car slows down and turns right", "because a pedestrian crosses")
    assert slow.longitudinal is LongitudinalAction.DECELERATE and slow.lateral is LateralAction.RIGHT_TURN
    assert slow.cause is Cause.PEDESTRIAN
    assert decision_of("The car does something", "for fun").longitudinal is LongitudinalAction.UNKNOWN
    stretch = replace(read_bddx_example(), action="the car stops.", justification="A dog sleeps.")
    assert intent_of(stretch) == "The car stops because A dog sleeps."


def read_bddx_example():
    from vadv2_training.recorded.bddx import Stretch

    return Stretch("v", 1, 0.0, 1.0, "a", "b")


def test_bddx_videos_are_the_front_camera(tmp_path):
    path = fixtures.write_bddx(tmp_path / "BDD-X-Annotations_v1.csv")
    with av.open(str(tmp_path / "0002-bb.mov"), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for i in range(30):
            picture = np.full((180, 320, 3), 8 * i, dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    drives = {d.name: list(d.frames) for d in bddx_drives(path, load_rig(RIG), tmp_path)}
    seen = drives["bddx-0002-bb"]
    assert len(seen) == 2 and seen[0].frame.valid.tolist() == [True] + [False] * 5
    assert seen[0].frame.images[0].shape == (180, 320, 3)
    assert abs(float(seen[0].frame.images[0].mean()) - 80.0) < 12.0, "the picture at 1 s"
    assert not drives["bddx-0001-aa"][0].frame.valid.any(), "its video is not there"


def test_what_is_wrong_in_bddx_is_named(tmp_path):
    path = fixtures.write_bddx(tmp_path / "a.csv")
    path.write_text(path.read_text().replace(",0,3,The car slows", ",zero,3,The car slows"))
    with pytest.raises(InputError, match=r"Answer\.1start is 'zero'"):
        read_bddx(path)
    path.write_text("Input.Video,Answer.1start\n")
    with pytest.raises(InputError, match=r"no column 'Answer\.1end'"):
        read_bddx(path)


class SmallBag:
    """What `vadv2_bringup.bag_reader` gives of a bag."""

    path = Path("drive.mcap")

    def __init__(self, count=4):
        self._states, self._rig, self._count = circle(), load_rig(RIG), count

    def odometry(self):
        return self._states

    def frames(self):
        for i in range(0, 10 * self._count, 2):  # 10 Hz
            ego = self._states[i]
            images = tuple(np.full((c.height, c.width, 3), 100, dtype=np.uint8) for c in self._rig.cameras)
            stamps = np.full(6, ego.stamp, dtype=np.int64)
            yield RecordedFrame(
                CameraFrame(ego.stamp, self._rig, images, stamps, np.ones(6, dtype=bool)),
                ego,
                DrivingCommand(ego.stamp, "follow the lane", DrivingAction.LANE_FOLLOW),
            )


def test_own_bags_move_the_planner_and_nothing_else(model, tmp_path):
    drive = bag_drive(SmallBag(), "bag-drive", has_command=False)
    store, out = tmp_path / "store", tmp_path / "out"
    write(drive, store, model)
    frames = FrameStore(store, 2)
    assert frames.count(0) == 4, "two frames a second"
    rows = frames.read(Window(0, 0, 1), ("future", "future_known", "action"))
    assert rows["future_known"].sum() == 80
    assert rows["future"][0, -1].tolist() == pytest.approx(list(fixtures.ego_pose(8.0)), abs=0.05)
    assert int(rows["action"][0]) == DrivingAction.LEFT
    fine_tune(frames, model[0], out, STEP, "fitted")
    same = (out / "perception" / "model.safetensors").read_bytes()
    assert same == (model[0] / "perception" / "model.safetensors").read_bytes()
    assert (out / "planner" / "model.safetensors").read_bytes() != (
        model[0] / "planner" / "model.safetensors"
    ).read_bytes()
    assert shard_name(Path("a/drive.mcap")) == "bag-drive"
    with pytest.raises(InputError, match="ego poses"):
        bag_drive(EmptyBag(), "bag-empty", has_command=False)


class EmptyBag(SmallBag):
    def odometry(self):
        return []


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real driving data beside the checkout (../shared/data)")
def test_real_pictures_and_real_drivelm_answers(model, tmp_path):
    from vadv2_bringup.clip import read_clip, read_image

    clip = read_clip(SHARED)
    track = make_track([(s.stamp, s.pose.x, s.pose.y, s.pose.yaw) for s in clip.odometry()], "clip")
    (spoken,) = read_drivelm(SHARED / "drivelm_qa.json").values()
    by_stamp = {said.front_stamp: said for said in spoken.values()}
    frames = []
    for moment in clip.frames:
        sizes = [(c.width, c.height) for c in clip.rig.cameras]
        images = tuple(read_image(moment.images[n], size) for n, size in zip(clip.rig.names, sizes, strict=True))
        stamps = np.array([moment.stamps[n] for n in clip.rig.names], dtype=np.int64)
        pictures = CameraFrame(moment.stamp, clip.rig, images, stamps, np.ones(6, dtype=bool))
        frame = RecordedFrame(pictures, moment.ego, moment.command, decision=meta_action(track, moment.stamp))
        frames.append(with_words(frame, by_stamp[moment.stamp]))
    assert [f.decision.longitudinal for f in frames[1:3]] == [
        LongitudinalAction.DECELERATE,
        LongitudinalAction.STOP,
    ] or (LongitudinalAction.STOP in [f.decision.longitudinal for f in frames]), "it brakes to a stop"
    assert {f.decision.cause for f in frames} & {Cause.RED_LIGHT}
    assert "traffic light" in frames[0].words.scene
    knows = frozenset({MOTION, WORDS})
    store = tmp_path / "store"
    write(RecordedDrive("scene0368", "drivelm", knows, frames[:2], track), store, model)
    assert fine_tune(FrameStore(store, 2), model[0], tmp_path / "out", STEP, "fitted").steps == 1
    assert language_step(store, model, tmp_path)["language"] > 0
    assert torch.isfinite(FrameStore(store, 2).read(Window(0, 0, 2), ("future",))["future"]).all()
