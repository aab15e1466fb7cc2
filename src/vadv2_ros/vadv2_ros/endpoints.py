"""What connects a node while it is configured: subscriptions, publishers, services and timers, undone together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

from vadv2_core.errors import InputError


class Endpoints:
    """A lifecycle node's topics, services and timers, from configure to cleanup.

    Args:
        node: Whose they are.
        refused: Called with the `InputError` of an input's callback, which is never raised.
    """

    def __init__(self, node: LifecycleNode, refused: Callable[[InputError], None]) -> None:
        self._node, self._refused = node, refused
        self._undo: list[Callable[[], Any]] = []
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}

    def listen(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, raw: bool = False
    ) -> None:
        """Subscribe to ``~/input/<topic>`` (a topic with a leading slash: as it is); raw hands over bytes."""
        name = topic if topic.startswith("/") else f"~/input/{topic}"

        def guarded(message: Any) -> None:
            try:
                callback(message)
            except InputError as error:
                self._refused(error)

        subscription = self._node.create_subscription(kind, name, guarded, qos, raw=raw)
        self._inputs[topic] = subscription
        self.until_closed(lambda: self._node.destroy_subscription(subscription))

    def advertise(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """A lifecycle publisher on ``~/<topic>``."""
        publisher: Any = self._node.create_lifecycle_publisher(kind, f"~/{topic}", qos)
        self._outputs[topic] = publisher
        self.until_closed(lambda: self._node.destroy_lifecycle_publisher(publisher))
        return publisher

    def serve(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Offer the service ``~/<name>``."""
        service = self._node.create_service(kind, f"~/{name}", callback)
        self.until_closed(lambda: self._node.destroy_service(service))

    def every(self, period: float, callback: Callable[[], None]) -> None:
        """Call back every ``period`` seconds of the node's clock."""
        timer = self._node.create_timer(period, callback)
        self.until_closed(lambda: self._node.destroy_timer(timer))

    def until_closed(self, undo: Callable[[], Any]) -> None:
        """Do something when everything is undone, the newest first."""
        self._undo.append(undo)

    def connections(self) -> dict[str, int]:
        """How many are at the other end: ``in.<topic>`` of `listen`, ``out.<topic>`` of `advertise`."""
        heard = {f"in.{topic}": s.get_publisher_count() for topic, s in self._inputs.items()}
        return heard | {f"out.{topic}": p.get_subscription_count() for topic, p in self._outputs.items()}

    def close(self) -> None:
        """Undo everything."""
        self._inputs.clear()
        self._outputs.clear()
        while self._undo:
            self._undo.pop()()
