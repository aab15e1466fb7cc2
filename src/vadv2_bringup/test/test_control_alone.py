"""Control when every other process is dead: a vehicle outside obeys it, the plans stop, and it stops the vehicle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from outside_client import OutsideClient
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool
from vadv2_msgs import msg as messages

from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, SystemOptions, describe_system
from vadv2_core.drive import DriveState, VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle
from vadv2_ros import qos
from vadv2_ros.conversions import candidates_to_message, stamp_from_time, vehicle_command_from_message
from vadv2_ros.fields import time_from_stamp
from vadv2_ros.standard_messages import odometry_from_ego_state

STEP = 30_000_000
ACCELERATION, CRUISE = 2.0, 6.0


class Road:
    """A vehicle on a straight road, its clock and its odometry; control is a process somewhere else."""

    def __init__(self, client: OutsideClient) -> None:
        self.client = client
        self.clock = client.publisher(Clock, "/clock", qos.ODOMETRY)
        self.odometry = client.publisher(Odometry, "/odometry", qos.ODOMETRY)
        self.plans = client.publisher(messages.TrajectoryCandidates, "/trajectory_candidates", qos.STAGE)
        self.commands = client.collect(messages.VehicleCommand, "/vehicle_command", qos.STAGE)
        self.statuses = client.collect(messages.DriveStatus, "/drive_status", qos.STAGE)
        self.vehicle, self.now = VehicleState(), 10 * 10**9

    def plan(self) -> None:
        """A plan that speeds up and cruises, from where the vehicle is."""
        t = np.arange(1, 81) * 0.1
        v = np.minimum(self.vehicle.speed + ACCELERATION * t, CRUISE)
        x = np.cumsum(v) * 0.1
        a = np.where(v < CRUISE, ACCELERATION, 0.0)
        points = np.column_stack([t, x, 0 * t, 0 * t, v, a])[None]
        plan = TrajectoryCandidates(
            self.now, self.vehicle.pose, points, np.ones(1), 0, "", "", "as_intended", 2, {}, (), "test-1"
        )
        self.plans.publish(candidates_to_message(plan))

    def step(self) -> VehicleCommand:
        """Advance the clock by one control period and obey what is said about it."""
        self.now += STEP
        pose = self.vehicle.pose
        velocity, acceleration = (self.vehicle.speed, 0.0), (self.vehicle.acceleration, 0.0)
        ego = EgoState(self.now, Pose2(pose.x, pose.y, pose.yaw), velocity, acceleration, 0.0)

        def answered() -> bool:
            said = (self.commands, self.statuses)
            return all(m and stamp_from_time(m[-1].header.stamp) == self.now for m in said)

        end = time.monotonic() + 30.0
        while not answered():
            assert time.monotonic() < end, "control does not answer"
            self.odometry.publish(odometry_from_ego_state(ego))
            self.clock.publish(Clock(clock=time_from_stamp(self.now)))
            again = time.monotonic() + 0.3
            while not answered() and time.monotonic() < again:
                self.client.spin()
        command = vehicle_command_from_message(self.commands[-1])
        # What is said while nothing is engaged is for displays: the vehicle stands on its brake.
        obeyed = command if self.statuses[-1].engaged else replace(command, acceleration=-1.0, steering_angle=0.0)
        self.vehicle = step_vehicle(self.vehicle, obeyed, VehicleConfig(), STEP * 1e-9)
        return command


@pytest.fixture
def road() -> Iterator[Road]:
    full = describe_system(options=SystemOptions(rig_file=str(CONFIG / "rig" / "surround6.yaml"), use_sim_time=True))
    with OutsideClient() as client, Supervisor(replace(full, nodes=(full.nodes[-1],))) as supervisor:
        road = Road(client)
        client.wait(lambda: not supervisor.ended() and client.state("control") == "active")
        heard = (road.clock, road.odometry, road.plans)
        client.wait(lambda: all(p.get_subscription_count() for p in heard))
        yield road


def test_the_plans_end_and_the_vehicle_stops(road: Road) -> None:
    for _ in range(12):
        road.plan()
        road.step()
    assert not road.statuses[-1].engaged and road.vehicle.speed == 0.0
    answer = road.client.call(SetBool, "/control/engage", SetBool.Request(data=True))
    assert answer.success, answer.message
    for _ in range(140):
        road.plan()
        road.step()
    assert road.statuses[-1].state == DriveState.DRIVING and road.vehicle.speed > 0.8 * CRUISE
    assert road.client.set_parameter("control", "controller.drive.speed_cap", 15.0) == ""
    assert "read-only" in road.client.set_parameter("control", "controller.period", 0.02)

    # Perception, planner and VLM die: nothing comes any more but odometry.
    before = len(road.statuses)
    hardest = 0.0
    for _ in range(400):
        hardest = min(hardest, road.step().acceleration)
        if road.statuses[-1].state == DriveState.STOPPED:
            break
    seen = [DriveState(s) for s, _ in groupby(m.state for m in road.statuses[before:])]
    assert seen == [DriveState.DRIVING, DriveState.LAST_PLAN, DriveState.SOFT_STOP, DriveState.STOPPED]
    assert road.vehicle.speed < 0.1 and hardest > -2.5
    assert all(m.cause for m in road.statuses)
