"""Which of odometry and CAN a node believes does not hang on which came first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from scaling_node import ScalingConfig
from vadv2_msgs.msg import EgoState as EgoStateMessage

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.odometry import OdometryConfig
from vadv2_ros import qos
from vadv2_ros.conversions import ego_state_to_message
from vadv2_ros.ego_listener import EgoListener
from vadv2_ros.standard_messages import odometry_from_ego_state
from vadv2_ros.worker_node import WorkerNode

MILLISECOND = 1_000_000


class Listening(WorkerNode[ScalingConfig, Any]):
    """A node that only listens for the ego."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("listening", ScalingConfig, **arguments)

    def setup(self) -> None:
        self.heard: list[int] = []
        self.states = EgoListener(self, OdometryConfig(), lambda: self.heard.append(1)).buffer

    def work(self, item: Any) -> None:
        raise AssertionError("nothing is offered")


class Bench:
    """The node under test and a vehicle beside it, in one context."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node, self.vehicle = Listening(context=self.context), Node("vehicle", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.node, self.vehicle):
            self.executor.add_node(node)
        self.node.trigger_configure()
        self.odometry = self.vehicle.create_publisher(Odometry, "/listening/input/odometry", qos.ODOMETRY)

    def wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < end, f"connections {self.node.connections()}, heard {len(self.node.heard)}"
            self.executor.spin_once(timeout_sec=0.02)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.executor.shutdown()
    bench.node.destroy_node()
    bench.vehicle.destroy_node()
    rclpy.shutdown(context=bench.context)


def state(milliseconds: int, acceleration: float = 0.0) -> EgoState:
    return EgoState(
        milliseconds * MILLISECOND, Pose2(0.005 * milliseconds, 0.0, 0.0), (5.0, 0.0), (acceleration, 0.0), 0.0
    )


def test_odometry_alone_is_used_at_once(bench: Bench) -> None:
    bench.wait(lambda: bench.node.connections()["in.odometry"])
    bench.odometry.publish(odometry_from_ego_state(state(1000)))
    bench.wait(lambda: bench.node.states.newest)
    assert bench.node.states.newest.stamp == 1000 * MILLISECOND


def test_a_connected_can_speaks_first_and_then_alone(bench: Bench) -> None:
    can = bench.vehicle.create_publisher(EgoStateMessage, "/listening/input/ego_state", qos.ODOMETRY)
    bench.wait(lambda: min(bench.node.connections().values()))
    bench.odometry.publish(odometry_from_ego_state(state(1000)))
    can.publish(ego_state_to_message(state(1000, acceleration=0.7)))
    bench.wait(lambda: bench.node.states.newest)
    assert bench.node.states.newest.acceleration == (0.7, 0.0)
    bench.odometry.publish(odometry_from_ego_state(state(1100)))
    can.publish(ego_state_to_message(state(1200, acceleration=0.8)))
    bench.wait(lambda: len(bench.node.heard) == 2)
    assert len(bench.node.states) == 2 and bench.node.states.newest.acceleration == (0.8, 0.0)


def test_a_can_that_says_nothing_usable_does_not_silence_odometry(bench: Bench) -> None:
    can = bench.vehicle.create_publisher(EgoStateMessage, "/listening/input/ego_state", qos.ODOMETRY)
    bench.wait(lambda: min(bench.node.connections().values()))
    can.publish(ego_state_to_message(state(1000, acceleration=float("nan"))))
    bench.wait(lambda: len(bench.node.heard) == 1)
    assert bench.node.states.newest is None
    for milliseconds in range(0, 1300, 100):
        bench.odometry.publish(odometry_from_ego_state(state(1000 + milliseconds)))
    bench.wait(lambda: bench.node.states.newest)
    can.publish(ego_state_to_message(state(2400, acceleration=0.7)))
    bench.wait(lambda: bench.node.states.newest.acceleration == (0.7, 0.0))
    assert len(bench.node.states) == 1, "from the first usable one on the CAN speaks alone"


def test_a_silent_can_is_not_waited_for_longer_than_a_second(bench: Bench) -> None:
    can = bench.vehicle.create_publisher(EgoStateMessage, "/listening/input/ego_state", qos.ODOMETRY)
    bench.wait(lambda: min(bench.node.connections().values()))
    for milliseconds in range(0, 1300, 100):
        bench.odometry.publish(odometry_from_ego_state(state(1000 + milliseconds)))
    bench.wait(lambda: len(bench.node.heard) == 3)
    assert bench.node.states.newest.stamp == 2200 * MILLISECOND
    bench.vehicle.destroy_publisher(can)
