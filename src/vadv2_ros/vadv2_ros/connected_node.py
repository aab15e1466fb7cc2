"""A lifecycle node's connections: what it hears, sends and says, until it is cleaned up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile

from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp
from vadv2_ros.endpoints import Endpoints
from vadv2_ros.finite import first_not_finite

_LOG_PERIOD = 5.0


class ConnectedNode(LifecycleNode):
    """Topics, services and timers that end at cleanup; nothing is sent before the node is active, or not finite.

    Args:
        name: Node name; a launch file may remap it.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self.counters: Counter[str] = Counter()
        self.is_active = False
        self._said: dict[str, float] = {}
        self._endpoints = Endpoints(self, self.count_bad_input)

    def listen(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, raw: bool = False
    ) -> None:
        """`Endpoints.listen`, until cleanup; an `InputError` of the callback is counted, not raised."""
        self._endpoints.listen(kind, topic, callback, qos, raw=raw)

    def advertise(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """`Endpoints.advertise`, until cleanup."""
        return self._endpoints.advertise(kind, topic, qos)

    def serve(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """`Endpoints.serve`, until cleanup."""
        self._endpoints.serve(kind, name, callback)

    def every(self, period: float, callback: Callable[[], None]) -> None:
        """`Endpoints.every`, until cleanup."""
        self._endpoints.every(period, callback)

    def until_cleanup(self, undo: Callable[[], Any]) -> None:
        """Undo something of the stage's own at cleanup."""
        self._endpoints.until_closed(undo)

    def connections(self) -> dict[str, int]:
        """`Endpoints.connections`: who is at the other end of every topic."""
        return self._endpoints.connections()

    def send(self, publisher: Any, convert: Callable[[Any], Any], value: Any) -> bool:
        """Publish a dataclass as its message; one with a number that is not finite is counted and held back."""
        if not self.is_active:
            return False
        field = first_not_finite(value)
        if field:
            self.counters["not_finite"] += 1
            self.say(f"{type(value).__name__}.{field} is not finite: held back")
            return False
        publisher.publish(convert(value))
        return True

    def now(self) -> Stamp:
        """The node's clock, ns: simulated time where ``use_sim_time`` is set."""
        return int(self.get_clock().now().nanoseconds)

    def say(self, words: str) -> None:
        """Warn, each message at most every five seconds."""
        now = time.monotonic()
        if now - self._said.get(words, -_LOG_PERIOD) >= _LOG_PERIOD:
            self._said = {w: t for w, t in self._said.items() if now - t < _LOG_PERIOD}
            self._said[words] = now
            self.get_logger().warning(words)

    def count_bad_input(self, error: InputError) -> None:
        """An input that cannot be used: counted, said, survived."""
        self.counters["bad_input"] += 1
        self.say(str(error))
