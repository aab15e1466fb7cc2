"""The vocabulary: configs, geometry, cameras, files, checkpoints, the vehicle model."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vadv2_core.camera import CameraModel, CameraRig, load_rig, rig_from_mapping
from vadv2_core.checkpoint import load_checkpoint, require_tensors, save_checkpoint
from vadv2_core.config import from_mapping, parameter, parameter_table, parameters_of, to_mapping, validate
from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic, write_json_atomic
from vadv2_core.geometry import (
    Pose2,
    arc_length,
    box_corners,
    heading_at,
    point_at,
    project_to_polyline,
    quaternion_from_yaw,
    wrap_angle,
    yaw_from_quaternion,
)
from vadv2_core.stamps import seconds_between, stamp_from_seconds
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle

coordinate = st.floats(-1e4, 1e4)
angle = st.floats(-math.pi, math.pi)
poses = st.builds(Pose2, coordinate, coordinate, angle)


@dataclass(frozen=True)
class Inner:
    gain: float = parameter(1.0, "A gain.", unit="1/s", minimum=0.0, maximum=2.0, live=True)

    def __post_init__(self):
        validate(self, "inner")


@dataclass(frozen=True)
class Outer:
    name: str = parameter("a", "A name.", choices=("a", "b"))
    speeds: tuple[float, ...] = parameter((1.0, 2.0), "Speeds.", minimum=0.0)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        validate(self, "outer")


def test_a_config_goes_to_a_mapping_and_back():
    config = Outer("b", (3.0,), Inner(0.5))
    assert from_mapping(Outer, to_mapping(config)) == config
    assert from_mapping(Outer, {"inner.gain": 2, "speeds": [1, 2]}) == Outer("a", (1.0, 2.0), Inner(2.0))


def test_parameters_are_listed_with_dotted_names():
    listed = {p.name: p for p in parameters_of(Outer)}
    assert list(listed) == ["name", "speeds", "inner.gain"]
    assert listed["inner.gain"].default == 1.0 and not listed["inner.gain"].spec.read_only
    assert "| `inner.gain` | float | `1.0` | 0 .. 2 1/s | A gain. |" in parameter_table(Outer)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nmae": "a"}, "unknown key 'nmae'"),
        ({"name": "c"}, "name is 'c' (expected one of a, b)"),
        ({"inner.gain": 3.0}, "gain is 3.0 (expected 0 .. 2 1/s)"),
        ({"inner.gain": math.nan}, "gain is nan"),
        ({"inner": {"gain": "fast"}}, "gain is 'fast' of type str (expected float)"),
        ({"speeds": [1.0, -1.0]}, "speeds is -1.0"),
        ({"inner.gain": True}, "gain is True of type bool"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(values, words):
    with pytest.raises(InputError) as error:
        from_mapping(Outer, values, "file.yaml")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@given(poses, poses)
def test_compose_undoes_relative(a, b):
    back = a.compose(a.relative(b))
    assert back.x == pytest.approx(b.x, abs=1e-6)
    assert back.y == pytest.approx(b.y, abs=1e-6)
    assert abs(float(wrap_angle(back.yaw - b.yaw))) < 1e-9


@given(poses, st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=5))
def test_transform_is_its_matrix(pose, points):
    p = np.array(points)
    homogeneous = np.c_[p, np.ones(len(p))] @ pose.to_matrix().T
    np.testing.assert_allclose(pose.transform(p), homogeneous[:, :2], atol=1e-6)
    np.testing.assert_allclose(pose.inverse_transform(pose.transform(p)), p, atol=1e-6)


@given(angle)
def test_quaternions_keep_yaw(yaw):
    assert abs(float(wrap_angle(yaw_from_quaternion(*quaternion_from_yaw(yaw)) - yaw))) < 1e-9


@given(st.floats(-1e6, 1e6))
def test_wrapped_angles_are_in_range_and_equal(value):
    wrapped = float(wrap_angle(value))
    assert -math.pi <= wrapped < math.pi
    assert math.isclose(math.cos(wrapped), math.cos(value), abs_tol=1e-6)


def test_box_corners_start_front_left():
    corners = box_corners(1.0, 2.0, math.pi / 2, 4.0, 2.0)
    np.testing.assert_allclose(corners, [[0, 4], [0, 0], [2, 0], [2, 4]], atol=1e-12)


def test_polylines_project_where_they_point():
    line = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    assert arc_length(line)[-1] == 20.0
    s, lateral = project_to_polyline(line, [[5.0, 1.0], [9.0, 5.0], [-3.0, -1.0], [11.0, 20.0]])
    np.testing.assert_allclose(s, [5.0, 15.0, 0.0, 20.0])
    assert lateral[0] == pytest.approx(1.0) and lateral[1] == pytest.approx(1.0)
    np.testing.assert_allclose(point_at(line, [15.0, 99.0]), [[10.0, 5.0], [10.0, 10.0]])
    np.testing.assert_allclose(heading_at(line, [5.0, 15.0]), [0.0, math.pi / 2])


FORWARD = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])


def camera(**changes):
    values = {"name": "front", "width": 480, "height": 224, "k": [[300, 0, 240], [0, 300, 112], [0, 0, 1]]}
    return CameraModel(**(values | {"t_base_camera": FORWARD} | changes))


def test_projection_follows_rep_103():
    pixels, depth = camera().project([[11.5, 0.0, 1.6], [11.5, 1.0, 1.6], [11.5, 0.0, 0.6], [-5.0, 0.0, 1.6]])
    np.testing.assert_allclose(pixels[:3], [[240, 112], [210, 112], [240, 142]])
    np.testing.assert_allclose(depth, [10.0, 10.0, 10.0, -6.5])


@given(st.floats(0, 480), st.floats(0, 224), st.floats(1.0, 80.0))
def test_rays_go_back_through_their_pixel(u, v, distance):
    cam = camera()
    ray = cam.rays([u, v])
    pixels, _ = cam.project(cam.t_base_camera[:3, 3] + distance * ray)
    np.testing.assert_allclose(pixels, [u, v], atol=1e-6)


def test_scaling_keeps_pixels_on_their_points():
    big = camera(width=1600, height=900, k=[[1266, 0, 816], [0, 1260, 491], [0, 0, 1]])
    small = big.scaled(480, 224)
    point = [30.0, 4.0, 0.5]
    (u, v), _ = big.project(point)
    scale = 480 / 1600
    expected = [(u + 0.5) * scale - 0.5, (v + 0.5) * scale - 0.5 - (round(900 * scale) - 224)]
    np.testing.assert_allclose(small.project(point)[0], expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": np.zeros((3, 3))}, "camera 'front': K is singular"),
        ({"k": [[300, 0, 240], [0, math.nan, 112], [0, 0, 1]]}, "not finite"),
        ({"t_base_camera": np.eye(4) * 2}, "does not hold a rotation"),
        ({"t_base_camera": np.diag([1.0, 1, -1, 1])}, "right-handed"),
        ({"width": 0}, "image size is 0x224"),
    ],
)
def test_impossible_cameras_are_refused_by_name(changes, words):
    with pytest.raises(InputError, match=words):
        camera(**changes)


def test_rig_files_name_what_they_lack(tmp_path):
    entry = {"K": camera().k.tolist(), "T_base_camera": FORWARD.tolist(), "size": [480, 224]}
    path = tmp_path / "rig.json"
    path.write_text(json.dumps({"cameras": {"front": entry, "back": entry}}))
    assert load_rig(path).names == ("front", "back")
    for key in entry:
        with pytest.raises(InputError, match=f"camera 'front' has no {key}"):
            rig_from_mapping({"cameras": {"front": {k: v for k, v in entry.items() if k != key}}}, "rig.json")
    with pytest.raises(InputError, match=r"missing\.yaml: cannot be read"):
        load_rig(tmp_path / "missing.yaml")
    with pytest.raises(InputError, match="names repeat"):
        CameraRig((camera(), camera()))


def test_stamps_are_exact():
    assert seconds_between(1_533_280_036_162_460_000, 1_533_280_036_262_460_001) == 0.100000001
    assert stamp_from_seconds(1.5) == 1_500_000_000


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    write_json_atomic(path, {"n": 1})
    code = (
        "import os,signal,pathlib,vadv2_core.files as f\n"
        "f.os.fsync=lambda h: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"f.write_bytes_atomic(pathlib.Path({str(path)!r}), b'half')"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": ":".join(sys.path)})
    assert killed.returncode == -signal.SIGKILL
    assert json.loads(path.read_text()) == {"n": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(path, {"n": math.nan})
    assert json.loads(path.read_text()) == {"n": 1}


TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, dtype=np.float16)}


def saved(directory):
    return save_checkpoint(directory, kind="planner", model_id="t-1", config={"d": 4}, tensors=TENSORS)


def test_checkpoints_round_trip(tmp_path):
    written = saved(tmp_path)
    read = load_checkpoint(tmp_path, "planner")
    assert (read.model_id, read.config, read.sha256) == ("t-1", {"d": 4}, written.sha256)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor)
        assert read.tensors[name].dtype == tensor.dtype
    require_tensors(read, {"a": (2, 3), "b": (4,)}, "planner")


def test_checkpoints_refuse_what_does_not_fit(tmp_path):
    saved(tmp_path)
    with pytest.raises(InputError, match=r"is a 'planner' model .*expected kind 'vlm'"):
        load_checkpoint(tmp_path, "vlm")
    header = json.loads((tmp_path / "config.json").read_text())
    write_json_atomic(tmp_path / "config.json", header | {"format": [2, 0]})
    with pytest.raises(InputError, match=r"format version \[2, 0\]"):
        load_checkpoint(tmp_path, "planner")
    write_json_atomic(tmp_path / "config.json", header)
    data = (tmp_path / "model.safetensors").read_bytes()
    write_bytes_atomic(tmp_path / "model.safetensors", data[:-1] + b"\x01")
    with pytest.raises(InputError, match="SHA-256"):
        load_checkpoint(tmp_path, "planner")
    with pytest.raises(InputError, match="tensor 'c' is missing"):
        require_tensors(saved(tmp_path), {"a": (2, 3), "b": (4,), "c": (1,)}, "planner")
    with pytest.raises(InputError, match="tensor 'b' is not part"):
        require_tensors(saved(tmp_path), {"a": (2, 3)}, "planner")
    with pytest.raises(InputError, match="'a' has shape"):
        require_tensors(saved(tmp_path), {"a": (3, 2), "b": (4,)}, "planner")


def command(steering=0.0, acceleration=0.0):
    return VehicleCommand(0, 0, steering, 0.0, acceleration, 0.0)


def test_the_bicycle_drives_its_circle():
    config = VehicleConfig(steering_lag=0.0, max_steering_rate=5.0)
    state = VehicleState(speed=5.0, steering_angle=0.2)
    radius = config.wheel_base / math.tan(0.2)
    for _ in range(round(2 * math.pi * radius / 5.0 / 0.02)):
        state = step_vehicle(state, command(0.2), config, 0.02)
    assert math.hypot(state.pose.x, state.pose.y) < 0.1
    half = VehicleState(speed=5.0, steering_angle=0.2)
    for _ in range(round(math.pi * radius / 5.0 / 0.02)):
        half = step_vehicle(half, command(0.2), config, 0.02)
    assert half.pose.y == pytest.approx(2 * radius, rel=0.01)


def test_the_lags_are_first_order_and_independent_of_the_step():
    config = VehicleConfig(max_steering_rate=5.0)
    fine = coarse = VehicleState(speed=10.0)
    for _ in range(20):
        fine = step_vehicle(fine, command(0.1, 2.0), config, 0.01)
    for _ in range(2):
        coarse = step_vehicle(coarse, command(0.1, 2.0), config, 0.1)
    assert fine.steering_angle == pytest.approx(0.1 * (1 - math.exp(-1)), rel=1e-6)
    assert fine.acceleration == pytest.approx(2.0 * (1 - math.exp(-0.2 / 0.3)), rel=1e-6)
    assert coarse.pose.x == pytest.approx(fine.pose.x, abs=0.01)


def test_braking_ends_at_standstill_and_limits_hold():
    config = VehicleConfig()
    state = VehicleState(speed=3.0)
    for _ in range(200):
        state = step_vehicle(state, command(9.0, -50.0), config, 0.05)
    assert state.speed == 0.0 and state.acceleration == 0.0
    assert state.steering_angle <= config.max_steering_angle
    at_rest = state.pose
    assert step_vehicle(state, command(0.0, -1.0), config, 0.1).pose == at_rest
