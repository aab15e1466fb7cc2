"""The ring recorder keeps and cuts; the shadow finds where two drivers differ."""

import json
import resource
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import yaml
from outside_client import OutsideClient
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.cli import main
from vadv2_bringup.ring_recorder import RecorderConfig, RingRecorder
from vadv2_bringup.shadow import ShadowConfig, ShadowFrame, compare, done_in_words, stretches, way_ahead
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import SystemOptions, describe_system
from vadv2_core.ego import EgoState
from vadv2_core.errors import EXIT_BAD_INPUT
from vadv2_core.geometry import Pose2
from vadv2_ros import qos
from vadv2_ros.images import image_from_rgb

SECOND = 1_000_000_000


def told(text):
    from rclpy.serialization import serialize_message

    return serialize_message(String(data=text))


def texts(path):
    with BagReader(path, without_cameras=True) as reader:
        return [(topic, stamp, message.data) for topic, stamp, message in reader.messages("/a", "/map")]


def push_seconds(recorder, begin, end):
    for i in range(begin * 10, end * 10):
        recorder.push("/a", "std_msgs/msg/String", told(str(i)), i * SECOND // 10)


def test_a_clip_holds_what_was_around_the_event(tmp_path):
    recorder = RingRecorder(RecorderConfig(directory=str(tmp_path), before=5.0, after=2.0))
    recorder.push("/map", "std_msgs/msg/String", told("said once"), 0, latched=True)
    push_seconds(recorder, 0, 40)
    recorder.cut("emergency: odometry is 0.40 s old", 40 * SECOND)
    assert not recorder.written, "what comes after belongs to it too"
    push_seconds(recorder, 40, 43)
    recorder.finish()
    (path,) = recorder.written
    heard = texts(path)
    stamps = [s for topic, s, _ in heard if topic == "/a"]
    assert stamps[0] == 35 * SECOND and stamps[-1] == 42 * SECOND
    assert ("/map", 35 * SECOND, "said once") in heard, "latched topics are in every clip"
    assert json.loads(path.with_suffix(".json").read_text())["reason"] == "emergency: odometry is 0.40 s old"


def test_two_events_close_together_make_one_clip(tmp_path):
    recorder = RingRecorder(RecorderConfig(directory=str(tmp_path), before=5.0, after=2.0))
    push_seconds(recorder, 0, 10)
    recorder.cut("disengaged", 10 * SECOND)
    push_seconds(recorder, 10, 11)
    recorder.cut("asked for", 11 * SECOND)
    push_seconds(recorder, 11, 15)
    recorder.finish()
    (path,) = recorder.written
    assert json.loads(path.with_suffix(".json").read_text())["reason"] == "disengaged; asked for"


def test_the_ring_is_bounded_in_time_and_bytes(tmp_path):
    recorder = RingRecorder(RecorderConfig(directory=str(tmp_path), before=5.0, after=2.0, max_megabytes=16))
    push_seconds(recorder, 0, 60)
    assert recorder._ring[0].stamp >= 52 * SECOND
    for i in range(40):
        recorder.push("/b", "x/msg/Y", bytes(1_000_000), 60 * SECOND + i)
    assert recorder._bytes <= 16_000_000


def test_a_disk_that_takes_nothing_is_counted_and_borne(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    recorder = RingRecorder(RecorderConfig(directory=str(blocked / "clips"), before=2.0, after=0.0))
    push_seconds(recorder, 0, 3)
    recorder.cut("emergency", 3 * SECOND)
    push_seconds(recorder, 3, 5)
    recorder.finish()
    assert not recorder.written and len(recorder.failures) == 1


@contextmanager
def limited_files(folder):
    """No file beyond a megabyte, as on a disk that has just filled up; anybody may do this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        yield folder
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder):
    """A file system of two megabytes."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("full", [limited_files, small_disk])
def test_a_disk_that_fills_up_while_writing_leaves_nothing_half_written(full, tmp_path):
    with full(tmp_path) as folder:
        recorder = RingRecorder(RecorderConfig(directory=str(folder), before=5.0, after=1.0))
        rng = np.random.default_rng(0)
        for i in range(4):
            noise = rng.integers(0, 256, 1_000_000, np.uint8).tobytes()
            recorder.push("/b", "std_msgs/msg/String", noise, SECOND + i)
        recorder.cut("asked for", SECOND)
        recorder.push("/a", "std_msgs/msg/String", told("later"), 2 * SECOND)
        recorder.finish()
        assert not recorder.written and len(recorder.failures) == 1
        assert recorder.failures[0].startswith("clip_1000000000: ") and "\n" not in recorder.failures[0]
        assert list(folder.iterdir()) == []
    recorder.cut("asked for again", 2 * SECOND)
    recorder.push("/a", "std_msgs/msg/String", told("there is room"), 4 * SECOND)
    recorder.finish()
    assert len(recorder.written) == 1


def test_the_recorders_node_lives_on_with_a_full_disk_and_says_so(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    parameters = tmp_path / "parameters.yaml"
    recorder = {"directory": str(folder), "before": 5.0, "after": 0.0}
    parameters.write_text(yaml.safe_dump({"recorder": {"ros__parameters": recorder}}))
    full = describe_system(options=SystemOptions(recorder=True, params_file=str(parameters)))
    system = replace(full, nodes=tuple(n for n in full.nodes if n.name == "recorder"))
    noise = np.random.default_rng(0).integers(0, 256, (450, 800, 3), dtype=np.uint8)

    with OutsideClient(timeout=120.0) as client, Supervisor(system) as supervisor:
        camera = client.publisher(Image, "/camera/front/image", qos.IMAGE)

        def shows(name, value):
            camera.publish(image_from_rgb(noise, client.node.get_clock().now().nanoseconds, "front"))
            return supervisor.ended() == {} and client.diagnostics("recorder").get(name) == value

        client.wait(lambda: shows("lifecycle", "active") and camera.get_subscription_count() > 0)
        with small_disk(folder):
            began = time.monotonic()
            client.wait(lambda: shows("clips", "0") and time.monotonic() - began > 1.0)
            assert client.call(Trigger, "/recorder/trigger", Trigger.Request()).success
            client.wait(lambda: shows("failures", "1"))
            assert "No space left" in client.diagnostics("recorder")["message"]
            assert list(folder.iterdir()) == [], "nothing half-written"
        assert client.call(Trigger, "/recorder/trigger", Trigger.Request()).success
        client.wait(lambda: shows("clips", "1"))
        assert client.diagnostics("recorder")["lifecycle"] == "active"


def test_a_command_on_a_full_disk_ends_in_one_line(tmp_path, capfd):
    with small_disk(tmp_path) as folder:
        (folder / "other").write_bytes(bytes(2_090_000))
        assert main(["tune", "stop", "--out", str(folder / "tune")]) == EXIT_BAD_INPUT
        said = capfd.readouterr().err
        assert "No space left on device" in said and "Traceback" not in said
        assert [p.name for p in folder.rglob("*") if p.is_file()] == ["other"], "nothing half-written"


def test_clips_are_not_without_end(tmp_path):
    recorder = RingRecorder(RecorderConfig(directory=str(tmp_path), before=1.0, after=0.0, max_clips=1))
    for event in (2, 10):
        push_seconds(recorder, event - 2, event)
        recorder.cut("asked for", event * SECOND)
        push_seconds(recorder, event, event + 1)
        recorder.finish()
    assert len(recorder.written) == 1 and "max_clips" in recorder.failures[0]


def driven(speed=10.0, turn=0.0, seconds=6.0):
    states = []
    for i in range(round(seconds * 10)):
        t = 0.1 * i
        yaw = turn * t
        states.append(
            EgoState(i * SECOND // 10, Pose2(speed * t, 0.5 * turn * t * speed * t, yaw), (speed, 0.0), (0, 0), turn)
        )
    return states


def output(points, rationale=""):
    from vadv2_core.drive import DriveState, DriveStatus, VehicleCommand
    from vadv2_core.trajectory import TrajectoryCandidates
    from vadv2_driver import DriverOutput

    pose = Pose2(0.0, 0.0, 0.0)
    chosen = None if points is None else 0
    rows = np.zeros((1, 2, 6)) if points is None else points[None]
    plan = TrajectoryCandidates(0, pose, rows, np.ones(1), chosen, "curvature", rationale, "t", 0, {}, (), "m")
    command = VehicleCommand(0, 0, 0.0, 0.0, 0.0, 0.0)
    return DriverOutput(0, None, None, None, plan, command, DriveStatus(0, DriveState.READY, "", False), {})


def plan(speed=10.0, lateral=0.0):
    t = 0.1 * np.arange(1, 81)
    return np.column_stack([t, speed * t, np.full_like(t, lateral), 0 * t, 0 * t + speed, 0 * t])


@pytest.mark.parametrize(
    ("points", "lateral", "longitudinal"),
    [(plan(), 0.0, 0.0), (plan(lateral=1.5), 1.5, 0.0), (plan(speed=7.0), 0.0, -6.0)],
)
def test_differences_are_measured_at_the_horizon(points, lateral, longitudinal):
    config = ShadowConfig()
    frame = compare(output(points), way_ahead(driven(), 0, config.horizon), config, "")
    assert frame.lateral == pytest.approx(lateral, abs=1e-6)
    assert frame.longitudinal == pytest.approx(longitudinal, abs=1e-6)


def test_a_withheld_plan_cannot_be_compared_and_says_why():
    config = ShadowConfig()
    frame = compare(output(None), way_ahead(driven(), 0, config.horizon), config, "")
    assert np.isnan(frame.lateral) and frame.ours == "no plan: curvature"


def test_only_lasting_differences_count():
    def frames(*values):
        return [ShadowFrame(i, v, 0.0, "", "") for i, v in enumerate(values)]

    config = ShadowConfig(lateral=1.0, frames=3)
    assert stretches(frames(0, 2, 2, 0, 2, 0), config) == []
    (run,) = stretches(frames(0, 2, -2, 2, 0), config)
    assert [f.stamp for f in run] == [1, 2, 3]
    assert len(stretches(frames(2, 2, 2), config)) == 1, "one that lasts to the end"


def test_the_other_driver_is_described_by_what_it_did():
    assert done_in_words(driven(), 0, 2.0).startswith("keep, straight")
    assert done_in_words(driven(turn=0.2), 0, 2.0).startswith("keep, left_turn")
    assert done_in_words(driven(speed=0.0), 0, 2.0).startswith("stop")


def test_shadow_sends_nothing_to_the_vehicle():
    system = describe_system(options=SystemOptions(shadow=True))
    control = next(n for n in system.nodes if n.name == "control")
    outputs = {public for private, public in control.remappings if private.startswith("~/output")}
    assert "vehicle_command" not in outputs and "shadow/vehicle_command" in outputs
    assert "controller.drive.engage_automatically" not in control.parameters
    assert "recorder" in {n.name for n in system.nodes}
    assert "recorder" not in {n.name for n in describe_system().nodes}
