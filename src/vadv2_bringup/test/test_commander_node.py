"""The commander as a node: a route that ends is announced as it comes nearer, and an unchanged command only once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from vadv2_msgs import msg as messages

from vadv2_core.command import Route
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.commander_node import CommanderNode
from vadv2_ros import qos
from vadv2_ros.conversions import driving_command_from_message, route_to_message
from vadv2_ros.standard_messages import odometry_from_ego_state

SECOND = 1_000_000_000
END = 60.0


class Bench:
    """The node and a vehicle beside it, in one context."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = CommanderNode(
            context=self.context, parameter_overrides=[Parameter("period", Parameter.Type.DOUBLE, 0.05)]
        )
        self.vehicle = Node("vehicle", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.node, self.vehicle):
            self.executor.add_node(node)
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.heard: list[messages.DrivingCommand] = []
        self.odometry = self.vehicle.create_publisher(Odometry, "/commander/input/odometry", qos.ODOMETRY)
        self.route = self.vehicle.create_publisher(messages.Route, "/commander/input/route", qos.LATCHED)
        self.vehicle.create_subscription(
            messages.DrivingCommand, "/commander/output/driving_command", self.heard.append, qos.LATCHED
        )
        self.wait(lambda: self.odometry.get_subscription_count() and self.route.get_subscription_count())

    def wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < end, f"heard {[(m.text, m.distance) for m in self.heard]}"
            self.executor.spin_once(timeout_sec=0.02)

    def at(self, seconds: float, x: float) -> None:
        self.odometry.publish(
            odometry_from_ego_state(
                EgoState(round(seconds * SECOND), Pose2(x, 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0, None)
            )
        )

    def close(self) -> None:
        self.executor.shutdown()
        self.node.trigger_deactivate()
        self.node.destroy_node()
        self.vehicle.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_the_stop_at_the_routes_end_is_announced_as_it_comes_nearer(bench: Bench) -> None:
    bench.route.publish(route_to_message(Route(SECOND, np.array([[0.0, 0.0], [END, 0.0]]))))
    for step, x in enumerate((10.0, 36.0, 43.0, 50.0, 57.0)):
        before = len(bench.heard)
        bench.at(10.0 + 0.8 * step, x)
        bench.wait(lambda before=before: len(bench.heard) > before)
    said = [driving_command_from_message(message) for message in bench.heard]
    assert said[0].action is DrivingAction.LANE_FOLLOW
    assert [c.action for c in said[1:]] == [DrivingAction.STOP] * 4
    assert [c.distance for c in said[1:]] == pytest.approx([END - 36.0, END - 43.0, END - 50.0, END - 57.0], abs=0.1)
    bench.at(14.0, 57.5)  # no news
    bench.at(14.5, 20.0)  # far from the end again
    bench.wait(lambda: len(bench.heard) > len(said))
    assert driving_command_from_message(bench.heard[-1]).action is DrivingAction.LANE_FOLLOW
    assert len(bench.heard) == len(said) + 1
