"""A route, or a person's words, and odometry in; the next driving command out."""

from __future__ import annotations

import sys
from typing import Any

from std_msgs.msg import String
from vadv2_msgs import msg as messages

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_planner.commander import Commander
from vadv2_planner.node_configuration import CommanderNodeConfig
from vadv2_ros import qos
from vadv2_ros.conversions import driving_command_to_message, route_from_message
from vadv2_ros.ego_listener import EgoListener
from vadv2_ros.node_process import run_node
from vadv2_ros.worker_node import WorkerNode

_NEARER = 5.0
"""m by which a manoeuvre is nearer when it is announced again."""


class CommanderNode(WorkerNode[CommanderNodeConfig, EgoState]):
    """`Commander` as a lifecycle node; it speaks when the command changes, and as it comes nearer."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("commander", CommanderNodeConfig, **arguments)

    def setup(self) -> None:
        """Subscribe and advertise."""
        self._commander = Commander(self.config.commander)
        self._route: Route | None = None
        self._words = ""
        self._announced: DrivingCommand | None = None
        self._output = self.advertise(messages.DrivingCommand, "output/driving_command", qos.LATCHED)
        self.listen(messages.Route, "route", self._on_route, qos.LATCHED)
        self.listen(String, "instruction", self._on_words, qos.LATCHED)
        self._odometry = EgoListener(self, self.config.odometry).buffer
        self.every(self.config.period, self._look)

    def _on_route(self, message: Any) -> None:
        self._route = route_from_message(message)

    def _on_words(self, message: String) -> None:
        self._words = message.data

    def _look(self) -> None:
        if self._odometry.newest is not None:
            self.offer(self._odometry.newest)

    def work(self, item: EgoState) -> None:
        """Say the next manoeuvre where it is another than before, or `_NEARER`; between, the planner counts the way."""
        route = self._route
        if route is None and not self._words.strip():
            return
        self.follow_time(item.stamp)
        known = route or Route(item.stamp, _straight_ahead(item))
        command = self._commander.command(known, item, self._words or None)
        said = self._announced
        changed = said is None or (command.text, command.action) != (said.text, said.action)
        if said is None or changed or abs(command.distance - said.distance) >= _NEARER:
            self._announced = command
            self.send(self._output, driving_command_to_message, command)

    def forget(self) -> None:
        """Say it anew after a jump of time."""
        self._announced = None


def _straight_ahead(ego: EgoState) -> Any:
    return ego.pose.transform([[0.0, 0.0], [100.0, 0.0]])


def main() -> int:
    """The process of the node."""
    return run_node(CommanderNode)


if __name__ == "__main__":
    sys.exit(main())
