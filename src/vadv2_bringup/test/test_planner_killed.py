"""The planner's process is killed with -9 while the vehicle drives: control notices in time and stops it softly."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import plan_publisher
import pytest
from driven_vehicle import Vehicle
from outside_client import OutsideClient
from std_srvs.srv import SetBool

from vadv2_bringup.environment import runtime_environment, workspace_python
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, SystemOptions, describe_system
from vadv2_control.configuration import ControlConfig
from vadv2_core.drive import DriveState
from vadv2_core.stamps import seconds_between
from vadv2_core.vehicle import VehicleConfig
from vadv2_ros.conversions import stamp_from_time, vehicle_command_from_message

DRIVE, VEHICLE = ControlConfig().drive, VehicleConfig()
NOTICED = 0.5
"""Seconds after the last plan became too old within which control has said so."""
pytestmark = pytest.mark.long


@pytest.fixture
def vehicle() -> Iterator[Vehicle]:
    full = describe_system(options=SystemOptions(rig_file=str(CONFIG / "rig" / "surround6.yaml")))
    control = next(n for n in full.nodes if n.name == "control")
    with OutsideClient() as client, Supervisor(replace(full, nodes=(control,))) as supervisor:
        client.wait(lambda: not supervisor.ended() and client.state("control") == "active")
        # The vehicle shares the machine with whatever else runs on it; its own pauses are not what is tested.
        assert client.set_parameter("control", "controller.drive.max_odometry_age", 2.0) == ""
        yield Vehicle(client)


def test_control_stops_the_vehicle_softly_when_the_planner_is_killed(vehicle: Vehicle) -> None:
    script = str(plan_publisher.__file__)
    planner = subprocess.Popen([workspace_python(), script], env=runtime_environment())
    try:
        vehicle.wait(lambda: vehicle.drive_state is DriveState.READY)
        engaged = vehicle.client.node.create_client(SetBool, "/control/engage")
        vehicle.wait(engaged.service_is_ready)
        # On a busy machine a plan may be too old at the very moment; whoever engages asks again.
        while True:
            answer = engaged.call_async(SetBool.Request(data=True))
            vehicle.wait(answer.done)
            if answer.result().success:
                break
        vehicle.wait(
            lambda: vehicle.state.speed > 0.8 * plan_publisher.CRUISE and vehicle.drive_state is DriveState.DRIVING
        )
        planner.send_signal(signal.SIGKILL)
        planner.wait(timeout=10)
        killed = time.time_ns()
        vehicle.wait(lambda: vehicle.drive_state is DriveState.STOPPED)
    finally:
        planner.kill()
        planner.wait()

    last_plan = max(stamp_from_time(m.header.stamp) for m in vehicle.plans)
    assert seconds_between(last_plan, killed) < 2.0
    after = [(when, m) for when, m in zip(vehicle.heard, vehicle.statuses, strict=True) if when > killed]
    noticed = (
        seconds_between(last_plan, next(w for w, m in after if m.state != DriveState.DRIVING)) - DRIVE.max_plan_age
    )
    softly = seconds_between(last_plan, next(w for w, m in after if m.state == DriveState.SOFT_STOP))
    seen = [DriveState(s).name for s, _ in itertools.groupby(m.state for _, m in after)]
    print(f"\nnoticed {noticed:.3f} s after the plan became too old, soft stop {softly:.3f} s after it; {seen}")
    assert noticed < NOTICED
    assert softly < DRIVE.max_plan_age + DRIVE.max_last_plan + NOTICED
    assert [s for s in seen if s != "DRIVING"] == ["LAST_PLAN", "SOFT_STOP", "STOPPED"]
    assert all(m.cause for _, m in after) and vehicle.state.speed < 0.1

    commands = [vehicle_command_from_message(m) for m in vehicle.commands]
    rows = np.array([(c.steering_angle, c.steering_rate, c.acceleration, c.speed) for c in commands])
    assert np.isfinite(rows).all()
    assert np.abs(rows[:, 0]).max() <= VEHICLE.max_steering_angle + 1e-9
    assert np.abs(rows[:, 1]).max() <= VEHICLE.max_steering_rate + 1e-9
    assert rows[:, 2].max() <= VEHICLE.max_acceleration + 1e-9
    stop = rows[[c.stamp > killed for c in commands]]
    print(f"hardest braking {stop[:, 2].min():.2f} m/s^2 of {len(stop)} commands")
    assert stop[:, 2].min() >= -DRIVE.soft_stop_deceleration - 0.5
