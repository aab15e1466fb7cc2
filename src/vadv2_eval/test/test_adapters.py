"""The benchmark agents against stand-ins of the interfaces they plug into, and their conversions."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vadv2_core.camera import load_rig
from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import DrivingAction
from vadv2_eval.adapters.frames import (
    carla_control,
    carla_ego,
    carla_position,
    carla_route,
    carla_sensors,
    navsim_command,
    plan_poses,
)

RIG = Path(__file__).resolve().parents[3] / "config" / "rig" / "surround6.yaml"


def _module(name: str, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return module


class _Recorder:
    """Stands in for Driver: keeps what it is given and plans straight on at the ego's speed."""

    def __init__(self, config):
        self.config, self.calls, self.resets = config, [], 0

    def reset(self):
        self.resets += 1

    def step(self, frame, ego, command, route):
        self.calls.append((frame, ego, command, route))
        t = np.arange(1, 81) * 0.1
        points = np.column_stack([t, ego.speed * t, 0 * t, 0 * t, 0 * t + ego.speed, 0 * t])
        candidates = SimpleNamespace(points=points[None], confidences=np.ones(1), chosen=0)
        return SimpleNamespace(candidates=candidates, command=VehicleCommand(ego.stamp, 0, 0.1, 0.0, 1.0, ego.speed))


@pytest.fixture
def driver(monkeypatch):
    import vadv2_driver

    made = []

    def make(config):
        made.append(_Recorder(config))
        return made[-1]

    monkeypatch.setattr(vadv2_driver, "Driver", make)
    return made


@pytest.fixture
def navsim_agent(monkeypatch, driver):
    class AbstractAgent:
        def __init__(self, trajectory_sampling, requires_scene=False):
            self._trajectory_sampling = trajectory_sampling

    class TrajectorySampling:
        def __init__(self, time_horizon, interval_length):
            self.time_horizon, self.interval_length = time_horizon, interval_length
            self.num_poses = round(time_horizon / interval_length)

    dataclasses = _module(
        "navsim.common.dataclasses",
        AgentInput=object,
        SensorConfig=lambda **k: SimpleNamespace(**k),
        Trajectory=lambda poses, sampling: SimpleNamespace(poses=poses, trajectory_sampling=sampling),
    )
    stand_ins = {
        "navsim": _module("navsim"),
        "navsim.agents": _module("navsim.agents"),
        "navsim.agents.abstract_agent": _module("navsim.agents.abstract_agent", AbstractAgent=AbstractAgent),
        "navsim.common": _module("navsim.common"),
        "navsim.common.dataclasses": dataclasses,
    }
    last = "nuplan.planning.simulation.trajectory.trajectory_sampling"
    names = last.split(".")
    for i in range(1, len(names)):
        stand_ins[".".join(names[:i])] = _module(".".join(names[:i]))
    stand_ins[last] = _module(last, TrajectorySampling=TrajectorySampling)
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "vadv2_eval.adapters.navsim_agent", raising=False)
    module = importlib.import_module("vadv2_eval.adapters.navsim_agent")
    yield module.VADv2NavsimAgent()
    sys.modules.pop("vadv2_eval.adapters.navsim_agent", None)


def _navsim_input(frames=4, command=(1, 0, 0, 0)):
    rotation = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    camera = SimpleNamespace(
        image=np.full((108, 192, 3), 90, np.uint8),
        sensor2lidar_rotation=rotation,
        sensor2lidar_translation=np.array([1.5, 0, 1.5]),
        intrinsics=np.array([[150.0, 0, 95.5], [0, 150.0, 53.5], [0, 0, 1]]),
        distortion=np.array([-0.1, 0.01, 0, 0, 0]),
    )
    cameras = SimpleNamespace(**{n: camera for n in ("cam_f0", "cam_l0", "cam_r0", "cam_b0", "cam_l2", "cam_r2")})
    statuses = [
        SimpleNamespace(
            ego_pose=np.array([-5.0 * (frames - 1 - i), 0.0, 0.0]),
            ego_velocity=np.array([10.0, 0.0]),
            ego_acceleration=np.array([0.5, 0.0]),
            driving_command=np.array(command),
        )
        for i in range(frames)
    ]
    return SimpleNamespace(ego_statuses=statuses, cameras=[cameras] * frames)


def test_the_navsim_agent_plans_eight_poses_from_four_frames(navsim_agent, driver):
    navsim_agent.initialize()
    config = navsim_agent.get_sensor_config()
    assert config.cam_f0 == [0, 1, 2, 3] and config.cam_l1 is False and config.lidar_pc is False
    trajectory = navsim_agent.compute_trajectory(_navsim_input())
    assert trajectory.poses.shape == (8, 3) and trajectory.poses.dtype == np.float32
    assert np.allclose(trajectory.poses[:, 0], 5.0 * np.arange(1, 9))
    calls = driver[0].calls
    assert len(calls) == 4 and driver[0].resets == 1
    stamps = [ego.stamp for _, ego, _, _ in calls]
    assert np.diff(stamps).tolist() == [500_000_000] * 3
    assert calls[-1][2].action is DrivingAction.LEFT and calls[-1][0].rig.names[0] == "front"
    assert navsim_agent.name() == "vadv2_tiny" and navsim_agent.requires_scene is False


def test_navsim_commands_are_one_hot():
    assert navsim_command([0, 0, 1, 0], 0).action is DrivingAction.RIGHT
    with pytest.raises(InputError, match="one-hot"):
        navsim_command([1, 1, 0, 0], 0)


@pytest.fixture
def carla_module(monkeypatch, driver):
    class AutonomousAgent:
        pass

    stand_ins = {
        "carla": _module("carla", VehicleControl=lambda **k: SimpleNamespace(**k)),
        "leaderboard": _module("leaderboard"),
        "leaderboard.autoagents": _module("leaderboard.autoagents"),
        "leaderboard.autoagents.autonomous_agent": _module(
            "leaderboard.autoagents.autonomous_agent",
            AutonomousAgent=AutonomousAgent,
            Track=SimpleNamespace(SENSORS="SENSORS"),
        ),
    }
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "vadv2_eval.adapters.carla_agent", raising=False)
    yield importlib.import_module("vadv2_eval.adapters.carla_agent")
    sys.modules.pop("vadv2_eval.adapters.carla_agent", None)


def _carla_input(rig, x=0.0, y=0.0, speed=6.0):
    image = np.zeros((224, 480, 4), np.uint8)
    image[:, :, 2] = 200
    data = {name: (1, image) for name in rig.names}
    latitude, longitude = np.rad2deg(np.array([y, x]) / 6378137.0)
    imu = np.array([0.5, 0.2, 9.8, 0.0, 0.0, 0.1, np.pi / 2])
    return data | {"gps": (1, np.array([latitude, longitude, 0.0])), "imu": (1, imu), "speed": (1, {"speed": speed})}


def test_the_carla_agent_drives_a_plan(carla_module, driver, tmp_path):
    agent = getattr(carla_module, carla_module.get_entry_point())()
    config = tmp_path / "vadv2.yaml"
    config.write_text(f"rig: {RIG}\n")
    agent.setup(str(config))
    assert agent.track == "SENSORS"
    locations = [
        SimpleNamespace(location=SimpleNamespace(x=2.0 * i, y=0.0 if i < 15 else 2.0 * (i - 15))) for i in range(30)
    ]
    options = [SimpleNamespace(value=4 if i < 15 else 2) for i in range(30)]
    agent._global_plan_world_coord = list(zip(locations, options, strict=True))
    control = agent.run_step(_carla_input(agent.rig), 1.0)
    assert control.steer == pytest.approx(-0.1 / 1.2217) and control.throttle > 0.0 and control.brake == 0.0
    frame, ego, command, route = driver[0].calls[0]
    assert frame.images[0][0, 0].tolist() == [200, 0, 0] and ego.speed == 6.0
    assert (ego.pose.yaw, ego.yaw_rate, ego.acceleration) == (pytest.approx(0.0), -0.1, (0.5, -0.2))
    assert command.action is DrivingAction.RIGHT and command.distance == pytest.approx(30.0)
    assert route.points[-1, 1] < 0.0, "CARLA's right is our negative y"
    assert agent.run_step(_carla_input(agent.rig), 1.05) is control and len(driver[0].calls) == 1
    agent.run_step(_carla_input(agent.rig, x=1.0), 1.1)
    assert len(driver[0].calls) == 2
    agent.destroy()
    assert driver[0].resets == 1


def test_the_carla_agent_names_an_unknown_key(carla_module, tmp_path):
    config = tmp_path / "bad.yaml"
    config.write_text("colour: red\n")
    with pytest.raises(InputError, match="unknown key 'colour'"):
        carla_module.VADv2CarlaAgent().setup(str(config))


def test_carla_mounts_the_rig_where_it_is():
    rig = load_rig(RIG)
    sensors = {s["id"]: s for s in carla_sensors(rig, 1.42)}
    assert sensors["front"]["yaw"] == pytest.approx(0.0) and sensors["front"]["x"] == pytest.approx(1.75 - 1.42)
    assert sensors["front_left"]["yaw"] == pytest.approx(-55.0) and sensors["front_left"]["y"] == pytest.approx(-0.45)
    assert abs(sensors["back"]["yaw"]) == pytest.approx(180.0) and sensors["back"]["fov"] == pytest.approx(
        110.0, abs=0.5
    )
    assert {"imu", "gps", "speed"} < set(sensors) and sensors["front"]["fov"] == pytest.approx(70.0, abs=0.2)


def test_carla_frames_and_controls():
    assert carla_position(0.0, 0.0) == (0.0, pytest.approx(0.0, abs=1e-6))
    x, y = carla_position(np.rad2deg(100.0 / 6378137.0), np.rad2deg(50.0 / 6378137.0))
    assert (x, y) == (pytest.approx(50.0, abs=1e-6), pytest.approx(100.0, abs=1e-3))
    rig = load_rig(RIG)
    north = _carla_input(rig)
    north["imu"][1][6] = 0.0
    assert carla_ego(north, 2.0).pose.yaw == pytest.approx(np.pi / 2)
    north["imu"][1][6] = np.nan
    assert np.isfinite(carla_ego(north, 2.0).pose.yaw)
    ego = carla_ego(_carla_input(rig), 2.0)
    line = np.column_stack([np.arange(0.0, 200.0), np.zeros(200)])
    assert carla_route(line, ego).points[-1, 0] == pytest.approx(80.0)
    assert carla_route(line[:1], ego) is None
    stop = carla_control(VehicleCommand(0, 0, 0.0, 0.0, 0.0, 0.0), 0.2, 1.2)
    assert stop == {"steer": 0.0, "throttle": 0.0, "brake": 1.0}
    brake = carla_control(VehicleCommand(0, 0, -2.0, 0.0, -5.0, 2.0), 8.0, 1.2)
    assert brake["brake"] == 1.0 and brake["throttle"] == 0.0 and brake["steer"] == 1.0


def test_plan_poses_start_at_the_ego():
    points = np.column_stack(
        [np.arange(1, 81) * 0.1, np.arange(1, 81) * 1.0, np.zeros(80), np.full(80, 3.2), np.zeros((80, 2))]
    )
    poses = plan_poses(points, [0.05, 0.5, 20.0])
    assert poses[:, 0].tolist() == pytest.approx([0.5, 5.0, 80.0])
