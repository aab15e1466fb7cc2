"""Whether a running system is ready to drive, in words, from what its nodes say on ``/diagnostics``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vadv2_bringup.system import TOPICS, SystemDescription

if TYPE_CHECKING:
    from rclpy.node import Node

_FORGOTTEN_AFTER = 5.0
"""Seconds after which a node that says nothing is not there any more."""


def _private(name: str) -> str:
    """A private topic as diagnostics name it."""
    return name.removeprefix("~/input/").removeprefix("~/")


class Readiness:
    """Aggregates the nodes' diagnostics; knows nothing of ROS but the message it is given.

    Ready means: every node is active, and every topic between two of them is connected at both ends, so that nothing
    that is sent now is lost.
    """

    def __init__(self, system: SystemDescription) -> None:
        self._system = system
        self._said: dict[str, dict[str, str]] = {}
        self._messages: dict[str, str] = {}
        self._when: dict[str, float] = {}

    def hear(self, message: Any) -> None:
        """Take a ``diagnostic_msgs/DiagnosticArray``."""
        for status in message.status:
            name = str(status.name).partition(":")[0].rpartition("/")[2]
            if name in TOPICS:
                self._said[name] = {str(v.key): str(v.value) for v in status.values}
                self._messages[name] = str(status.message)
                self._when[name] = time.monotonic()

    def values(self, node: str) -> dict[str, str]:
        """What a node said last; empty where it never did."""
        return self._said.get(node, {})

    def message(self, node: str) -> str:
        """What a node said last, in words."""
        return self._messages.get(node, "")

    def missing(self) -> list[str]:
        """What keeps the system from being ready, in words; empty where it is."""
        lacking = []
        for node in self._system.nodes:
            said = self._said.get(node.name)
            if said is None or time.monotonic() - self._when[node.name] > _FORGOTTEN_AFTER:
                lacking.append(f"{node.name} is not heard")
            elif said.get("lifecycle") != "active":
                lacking.append(f"{node.name} is {said.get('lifecycle', 'unknown')}: {self._messages[node.name]}")
        return lacking or self._unconnected()

    def _unconnected(self) -> list[str]:
        nodes = {node.name for node in self._system.nodes}
        lacking = []
        for producer in nodes:
            for private, public in TOPICS[producer].items():
                if private.startswith("~/input/"):
                    continue
                consumers = [n for n in nodes if public in _inputs(n)]
                heard = int(self._said[producer].get(f"out.{_private(private)}", 0))
                if heard < len(consumers):
                    lacking.append(f"{public} of {producer} is heard by {heard} of {', '.join(consumers)}")
                for consumer in consumers:
                    if self._said[consumer].get(f"in.{_private(_inputs(consumer)[public])}", "0") == "0":
                        lacking.append(f"{consumer} does not hear {public}")
        return lacking

    def silent_inputs(self) -> list[str]:
        """Inputs from outside the system that nobody publishes, as ``node: topic``."""
        nodes = {node.name for node in self._system.nodes}
        produced = {public for n in nodes for private, public in TOPICS[n].items() if "/input/" not in private}
        silent = []
        for name in sorted(nodes & self._said.keys()):
            inside = {_private(private) for private, public in TOPICS[name].items() if public in produced}
            for key, count in self._said[name].items():
                topic = key.removeprefix("in.")
                if key.startswith("in.") and count == "0" and topic not in inside:
                    silent.append(f"{name}: {topic}")
        return silent


def _inputs(node: str) -> dict[str, str]:
    return {public: private for private, public in TOPICS[node].items() if private.startswith("~/input/")}


def listen_for_readiness(node: Node, system: SystemDescription) -> Readiness:
    """A `Readiness` that hears ``/diagnostics`` through a node; spin the node to keep it up to date."""
    from diagnostic_msgs.msg import DiagnosticArray

    readiness = Readiness(system)
    node.create_subscription(DiagnosticArray, "/diagnostics", readiness.hear, 20)
    return readiness
