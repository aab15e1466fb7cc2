"""Candidate trajectories and odometry in; vehicle command and drive status out, every control period."""

from __future__ import annotations

import sys
from typing import Any

from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from vadv2_msgs import msg as messages

from vadv2_control.controller import Controller
from vadv2_control.node_configuration import ControlNodeConfig
from vadv2_core.drive import DriveState, DriveStatus, VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.stamps import Stamp
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_ros import qos
from vadv2_ros.conversions import (
    candidates_from_message,
    drive_status_to_message,
    obstacles_from_message,
    vehicle_command_to_message,
)
from vadv2_ros.diagnostics import Health, Level
from vadv2_ros.ego_listener import EgoListener
from vadv2_ros.node_process import run_node
from vadv2_ros.priority import take_priority
from vadv2_ros.vehicle_commands import OWN, CommandAdapter
from vadv2_ros.worker_node import WorkerNode

_ERRORS = (DriveState.EMERGENCY, DriveState.SOFT_STOP)
_WARNINGS = (DriveState.DEGRADED, DriveState.LAST_PLAN)


class ControlNode(WorkerNode[ControlNodeConfig, Stamp]):
    """`Controller` as a lifecycle node. A step takes well under a millisecond, so it runs where the clock ticks."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("control", ControlNodeConfig, **arguments)

    def setup(self) -> None:
        """Subscribe, advertise and start the clock."""
        config = self.config
        # Configured anew, the node is still the one that latched an emergency.
        before: Controller | None = getattr(self, "_controller", None)
        self._controller = Controller(config.controller, config.vehicle, before.machine if before else None)
        self._plan: TrajectoryCandidates | None = None
        self._answer: tuple[VehicleCommand, DriveStatus] | None = None
        self._unanswered: Stamp | None = None
        self._command_output = self.advertise(messages.VehicleCommand, "output/vehicle_command", qos.STAGE)
        self._adapter: CommandAdapter | None = None
        if config.command_type != OWN:
            self._adapter = CommandAdapter(config.command_type, config.vehicle)
            self._foreign_output = self.advertise(self._adapter.message_type, "output/command", qos.STAGE)
        self._status_output = self.advertise(messages.DriveStatus, "output/drive_status", qos.STAGE)
        self._odometry = EgoListener(self, config.odometry, self._step_when_complete).buffer
        self.listen(messages.TrajectoryCandidates, "trajectory_candidates", self._on_plan, qos.STAGE)
        self.listen(messages.Obstacles, "objects", self._on_objects, qos.STAGE)
        self.listen(Bool, "control_mode", self._on_control_mode, qos.LATCHED)
        self.serve(SetBool, "engage", self._on_engage)
        self.serve(Trigger, "clear_emergency", self._on_clear)
        if not config.in_step:
            self.every(config.controller.period, lambda: self.answer(self.now()))

    def _on_plan(self, message: Any) -> None:
        self._plan = candidates_from_message(message)
        if self.config.in_step:
            self._unanswered = self._plan.stamp
            self._step_when_complete()

    def _step_when_complete(self) -> None:
        """In step, answer a plan once odometry has come as far: topics may overtake each other."""
        newest = self._odometry.newest
        if self._unanswered is not None and newest is not None and newest.stamp >= self._unanswered:
            stamp, self._unanswered = self._unanswered, None
            self.answer(stamp)

    def _on_objects(self, message: Any) -> None:
        self._controller.obstacles = obstacles_from_message(message)

    def _on_control_mode(self, message: Bool) -> None:
        self._controller.human_takes_over(not message.data)

    def _on_engage(self, request: Any, response: Any) -> Any:
        response.message = self._controller.engage() if request.data else self._controller.disengage()
        response.success = not response.message
        return response

    def _on_clear(self, _: Any, response: Any) -> Any:
        response.message = self._controller.clear_emergency()
        response.success = not response.message
        return response

    def work(self, item: Stamp) -> None:
        """One control step at a time."""
        ego: EgoState | None = self._odometry.at(item) if self.config.in_step else self._odometry.newest
        if ego is None:
            self.counters["steps_without_odometry"] += 1
            return
        answered = self._answer
        if answered is None or not self.config.in_step or answered[0].stamp != item:
            answered = self._answer = self._controller.step(self._plan, ego, item)
        # In step a frame that is shown again gets the same answer again: a second step would say something else.
        command, status = answered
        sent = self.send(self._command_output, vehicle_command_to_message, command)
        if sent and self._adapter is not None and status.engaged:
            self._foreign_output.publish(self._adapter.message(command))
        self.send(self._status_output, drive_status_to_message, status)

    def forget(self) -> None:
        """Plans, integrals and engagement do not outlive a deactivation; an emergency does."""
        self._controller.disengage("deactivated")
        self._controller.reset()
        self._odometry.reset()
        self._plan = self._unanswered = self._answer = None

    def reconfigure(self, config: ControlNodeConfig) -> None:
        """Gains and thresholds."""
        self._controller.configure(config.controller)

    def describe(self, health: Health) -> None:
        """State of the drive and why."""
        answer = getattr(self, "_answer", None)
        if answer is None:
            return
        status = answer[1]
        health.values.update(state=status.state.name, engaged=status.engaged)
        health.values.update({f"age.{name}_s": age for name, age in status.ages.items()})
        level = Level.ERROR if status.state in _ERRORS else Level.WARN if status.state in _WARNINGS else Level.OK
        health.note(level, f"{status.state.name}: {status.cause}")


def main() -> int:
    """The process of the node."""
    return run_node(_first)


def _first() -> ControlNode:
    node = ControlNode()
    refused = take_priority(node.config.realtime_priority)
    if refused:
        node.get_logger().info(refused)
    return node


if __name__ == "__main__":
    sys.exit(main())
