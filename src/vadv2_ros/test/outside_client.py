"""A client that knows nodes only by their topics, parameters and lifecycle services."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}


class OutsideClient:
    """A node of its own context, spun by whoever waits."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = Node("outside_client", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._health: dict[str, dict[str, str]] = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def __enter__(self) -> OutsideClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.partition(":")[0].rpartition("/")[2]
            self._health[name] = {v.key: v.value for v in status.values} | {"message": status.message}

    def spin(self) -> None:
        """Hear what has come."""
        self._executor.spin_once(timeout_sec=0.02)

    def wait(self, condition: Callable[[], Any], lacking: Callable[[], object] = lambda: "waited in vain") -> None:
        """Spin until the condition holds; fail where it never does, with what was lacking."""
        end = time.monotonic() + self.timeout
        while not condition():
            assert time.monotonic() < end, f"after {self.timeout:g} s: {lacking()}"
            self.spin()

    def diagnostics(self, node: str) -> dict[str, str]:
        """The last thing a node said about itself."""
        return self._health.get(node, {})

    def publisher(self, kind: type, topic: str, profile: QoSProfile) -> Any:
        """A publisher."""
        return self.node.create_publisher(kind, topic, profile)

    def collect(self, kind: type, topic: str, profile: QoSProfile) -> list[Any]:
        """A list that grows with every message of a topic."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, profile)
        return received

    def call(self, kind: type, service: str, request: Any) -> Any:
        """Call a service and wait for its answer."""
        client = self.node.create_client(kind, service)
        self.wait(client.service_is_ready)
        future = client.call_async(request)
        self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def state(self, node: str) -> str:
        """A node's lifecycle state."""
        return str(self.call(GetState, f"/{node}/get_state", GetState.Request()).current_state.label)

    def transition(self, node: str, name: str) -> bool:
        """Ask for a transition; whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[name]
        return bool(self.call(ChangeState, f"/{node}/change_state", request).success)

    def set_parameter(self, node: str, name: str, value: Any) -> str:
        """Set a parameter; empty, or why not."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self.call(SetParameters, f"/{node}/set_parameters", request).results
        return "" if result.successful else str(result.reason)
