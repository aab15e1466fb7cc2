"""A node that is killed while it drives is ridden out, started again, and taken up again; control never is."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from driven_vehicle import Vehicle
from outside_client import OutsideClient
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from vadv2_msgs import msg as messages

from vadv2_bringup.readiness import listen_for_readiness
from vadv2_bringup.shared_memory import remove_stale_segments
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, RESPAWNED, SystemDescription, SystemOptions, describe_system, driver_for
from vadv2_control.configuration import ControlConfig
from vadv2_core.camera import load_rig
from vadv2_core.command import DrivingCommand
from vadv2_core.drive import DriveState
from vadv2_core.errors import EXIT_BAD_INPUT
from vadv2_core.taxonomy import DrivingAction
from vadv2_ros import qos
from vadv2_ros.conversions import driving_command_to_message, vehicle_command_from_message
from vadv2_ros.fields import time_from_stamp
from vadv2_ros.images import image_from_rgb

RIG = CONFIG / "rig" / "surround6.yaml"
UNDERWAY = (DriveState.DRIVING, DriveState.DEGRADED)
WORSE = (DriveState.EMERGENCY, DriveState.STOPPED, DriveState.SOFT_STOP, DriveState.LAST_PLAN)
CRUISE = 6.0
SECOND = 1_000_000_000
PACE = 0.08
"""Simulated seconds in a second."""


def light(*names: str) -> SystemDescription:
    full = describe_system(options=SystemOptions(rig_file=str(RIG), commander=True))
    return replace(full, nodes=tuple(n for n in full.nodes if n.name in names))


def wait_for(supervisor: Supervisor, condition: object) -> None:
    end = time.monotonic() + 90.0
    assert callable(condition)
    while not condition():
        assert time.monotonic() < end, supervisor.ended()
        supervisor.ended()
        time.sleep(0.05)


def test_a_dead_node_is_started_again_and_said_but_not_control() -> None:
    lines: list[str] = []
    with Supervisor(light("commander", "control"), lines.append, respawn=RESPAWNED) as supervisor:
        before = dict(supervisor.pids)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(supervisor, lambda: supervisor.pids["commander"] != before["commander"])
        assert supervisor.ended() == {"control": -9} and supervisor.pids["control"] == before["control"]
        environment = Path(f"/proc/{supervisor.pids['commander']}/environ").read_bytes().decode().split("\0")
        assert "VADV2_STARTS=2" in environment
    assert "[commander] ended with status -9; start 2 follows in 1 s" in lines
    assert "[control] ended with status -9" in lines


def test_a_node_with_a_wrong_parameter_is_not_started_again(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("commander:\n  ros__parameters:\n    period: -1.0\n")
    system = light("commander")
    system = replace(system, options=replace(system.options, params_file=str(wrong)))
    lines: list[str] = []
    with Supervisor(system, lines.append, respawn=RESPAWNED) as supervisor:
        wait_for(supervisor, lambda: supervisor.ended() == {"commander": EXIT_BAD_INPUT})
    assert not any("follows" in line for line in lines)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="shared memory is a folder on Linux")
def test_segments_without_a_user_are_removed(tmp_path: Path) -> None:
    for name in ("fastdds_port7411", "fastdds_port7411_el", "sem.fastdds_port7411_mutex", "other_port7411_el"):
        (tmp_path / name).touch()
    used = tmp_path / "fastdds_0123456789abcdef_el"
    (tmp_path / "fastdds_0123456789abcdef").touch()
    assert remove_stale_segments(tmp_path, settled=60.0) == 0
    with used.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert remove_stale_segments(tmp_path, settled=0.0) == 1
        assert {p.name for p in tmp_path.iterdir()} == {used.name, used.name[:-3], "other_port7411_el"}
    assert remove_stale_segments(tmp_path, settled=0.0) == 1
    assert remove_stale_segments(tmp_path / "nowhere") == 0


class Seeing(Vehicle):
    """The vehicle with six cameras at 10 Hz, in simulated time slow enough for a machine that does other work."""

    def __init__(self, client: OutsideClient) -> None:
        self._began = time.monotonic()
        super().__init__(client)
        self.state = replace(self.state, speed=CRUISE)
        self.rig = load_rig(RIG)
        self.clock = client.publisher(Clock, "/clock", qos.STAGE)
        self.cameras = {n: client.publisher(Image, f"/camera/{n}/image", qos.IMAGE) for n in self.rig.names}
        self.command = client.publisher(messages.DrivingCommand, "/driving_command", qos.LATCHED)
        action = DrivingCommand(1, "follow the lane", DrivingAction.LANE_FOLLOW)
        self.command.publish(driving_command_to_message(action))
        rng = np.random.default_rng(3)
        self.images = [rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in self.rig.cameras]
        self._frames, self._next = 0, 0

    def now(self) -> int:
        return SECOND + round((time.monotonic() - self._began) * SECOND * PACE)

    def live(self) -> bool:
        self.clock.publish(Clock(clock=time_from_stamp(self.now())))
        super().live()
        if self.now() >= self._next:
            self._next = self.now() + SECOND // 10
            self._frames += 1
            for camera, image in zip(self.rig.cameras, self.images, strict=True):
                shown = np.roll(image, self._frames, axis=1)
                self.cameras[camera.name].publish(image_from_rgb(shown, self._at, camera.name))
        return True


@pytest.fixture
def driving() -> Iterator[tuple[Seeing, Supervisor, list[str]]]:
    settings = {
        "planner.planner": "constant_velocity",
        "vlm.max_tokens": 8,
        "control.drive.engage_automatically": True,
    }
    options = SystemOptions(rig_file=str(RIG), recorder=True, use_sim_time=True)
    system = describe_system(driver_for("tiny", settings=settings), options)
    lines: list[str] = []
    with OutsideClient(timeout=200.0) as client, Supervisor(system, lines.append, respawn=RESPAWNED) as supervisor:
        vehicle = Seeing(client)
        readiness = listen_for_readiness(client.node, system)
        vehicle.wait(lambda: supervisor.ended() == {} and not readiness.missing())
        vehicle.wait(lambda: supervisor.ended() == {} and vehicle.drive_state in UNDERWAY)
        yield vehicle, supervisor, lines
        print(*lines[-12:], sep="\n")


def outcome_of_killing(name: str, vehicle: Seeing, supervisor: Supervisor) -> dict[str, object]:
    """Kill a node's process, and say what control and the vehicle did until it was back."""
    said, killed = len(vehicle.statuses), time.monotonic()
    os.kill(supervisor.pids[name], signal.SIGKILL)

    def is_back() -> bool:
        alive = supervisor.ended() == {} and vehicle.client.diagnostics(name)
        return bool(alive) and alive.get("starts") == "2" and alive.get("lifecycle") == "active"

    if name in ("perception", "planner"):
        vehicle.wait(lambda: supervisor.ended() == {} and vehicle.drive_state not in UNDERWAY)
    vehicle.wait(is_back)
    vehicle.wait(lambda: vehicle.drive_state in UNDERWAY)
    back = time.monotonic() - killed
    states = [DriveState(m.state) for m in vehicle.statuses[said:]]
    worst = next((s for s in WORSE if s in states), states[0])
    cause = next((m.cause for m in vehicle.statuses[said:] if m.state == worst), "")
    return {"node": name, "worst": worst.name, "cause": cause, "driving again after s": round(back, 1)}


@pytest.mark.long
def test_nodes_find_each_other_after_every_kill() -> None:
    full = describe_system(options=SystemOptions(rig_file=str(RIG), recorder=True))
    system = replace(full, nodes=tuple(n for n in full.nodes if n.name in ("control", "recorder")))
    waited = []
    for _ in range(10):
        with OutsideClient(timeout=90.0) as client, Supervisor(system) as supervisor:
            readiness = listen_for_readiness(client.node, system)
            began = time.monotonic()
            while readiness.missing():
                assert supervisor.ended() == {} and time.monotonic() - began < 90.0, readiness.missing()
                client.spin()
            waited.append(time.monotonic() - began)
            for pid in supervisor.pids.values():
                os.kill(pid, signal.SIGKILL)
    print(f"\nconnected {len(waited)} of 10 times, after {min(waited):.1f} to {max(waited):.1f} s")


@pytest.mark.long
def test_every_killed_node_but_control_is_ridden_out_and_taken_up_again(
    driving: tuple[Seeing, Supervisor, list[str]],
) -> None:
    vehicle, supervisor, lines = driving
    rows = {}
    for name in ("recorder", "vlm", "perception", "planner"):
        rows[name] = outcome_of_killing(name, vehicle, supervisor)
        print(rows[name])
        assert any(f"[{name}] ended with status -9; start 2 follows" in line for line in lines)
        assert "started 2 times" in vehicle.client.diagnostics(name)["message"]
    for name in ("recorder", "vlm"):
        assert rows[name]["worst"] in ("DRIVING", "DEGRADED", "LAST_PLAN")
    for name in ("perception", "planner"):
        assert rows[name]["worst"] in ("LAST_PLAN", "SOFT_STOP", "STOPPED")
    os.kill(supervisor.pids["control"], signal.SIGKILL)
    vehicle.wait(lambda: supervisor.ended() == {"control": -9})
    last = len(vehicle.commands)
    end = time.monotonic() + 3.0
    vehicle.wait(lambda: time.monotonic() > end)
    assert supervisor.ended() == {"control": -9} and len(vehicle.commands) - last <= 2
    commands = [vehicle_command_from_message(m) for m in vehicle.commands]
    assert np.isfinite([(c.steering_angle, c.steering_rate, c.acceleration, c.speed) for c in commands]).all()
    hardest = min(c.acceleration for c in commands)
    print(f"{len(commands)} commands, hardest braking {hardest:.2f} m/s^2")
    assert hardest >= -ControlConfig().drive.soft_stop_deceleration - 0.5
