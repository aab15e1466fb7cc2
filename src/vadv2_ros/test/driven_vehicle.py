"""A vehicle as an outside client: it obeys commands by the bicycle model in real time and says its state."""

from __future__ import annotations

import math
import time

from outside_client import OutsideClient
from vadv2_msgs import msg as messages

from vadv2_core.drive import DriveState
from vadv2_core.ego import EgoState
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle
from vadv2_ros import qos
from vadv2_ros.conversions import ego_state_to_message, vehicle_command_from_message

PERIOD = 0.02
VEHICLE = VehicleConfig()


class Vehicle:
    """The bicycle in real time: it obeys the newest command and says its state fifty times a second."""

    def __init__(self, client: OutsideClient) -> None:
        self.client = client
        self.state = VehicleState()
        self.egos = client.publisher(messages.EgoState, "/ego_state", qos.ODOMETRY)
        self.plans = client.collect(messages.TrajectoryCandidates, "/trajectory_candidates", qos.STAGE)
        self.commands = client.collect(messages.VehicleCommand, "/vehicle_command", qos.STAGE)
        self.statuses: list[messages.DriveStatus] = []
        self.heard: list[int] = []
        client.node.create_subscription(messages.DriveStatus, "/drive_status", self._on_status, qos.STAGE)
        self._at = self.now()

    def now(self) -> int:
        """The time it lives in, ns."""
        return time.time_ns()

    def _on_status(self, message: messages.DriveStatus) -> None:
        # A status carries its odometry's stamp; what counts is when it was said.
        self.statuses.append(message)
        self.heard.append(self.now())

    @property
    def drive_state(self) -> DriveState:
        """What control last said."""
        return DriveState(self.statuses[-1].state) if self.statuses else DriveState.INIT

    def live(self) -> bool:
        """Hear what came; move and say so where it is time. True, so that it can stand in a condition."""
        now = self.now()
        if now - self._at >= PERIOD * 1e9:
            if self.commands and self.statuses and self.statuses[-1].engaged:
                command = vehicle_command_from_message(self.commands[-1])
                self.state = step_vehicle(self.state, command, VEHICLE, (now - self._at) * 1e-9)
            self._at = now
            s = self.state
            rate = s.speed * math.tan(s.steering_angle) / VEHICLE.wheel_base
            ego = EgoState(now, s.pose, (s.speed, 0.0), (s.acceleration, s.speed * rate), rate, s.steering_angle)
            self.egos.publish(ego_state_to_message(ego))
        return True

    def wait(self, condition: object) -> None:
        """Live until a condition holds."""
        assert callable(condition)
        self.client.wait(lambda: self.live() and condition(), self._says)

    def _says(self) -> str:
        last = self.statuses[-1] if self.statuses else None
        nodes = {n: self.client.diagnostics(n).get("message") for n in ("perception", "planner", "control")}
        return f"{self.drive_state.name}: {last.cause if last else 'nothing heard'}; {nodes}"
