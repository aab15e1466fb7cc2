"""The ego's states as a node hears them: from odometry, or from the CAN bus where it speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from vadv2_msgs import msg as messages

from vadv2_core.odometry import OdometryBuffer, OdometryConfig, is_finite
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_ros import qos
from vadv2_ros.conversions import ego_state_from_message
from vadv2_ros.standard_messages import ego_state_from_odometry
from vadv2_ros.worker_node import WorkerNode

_CAN_SPEAKS_WITHIN = 1.0
"""Seconds of odometry that a CAN bus, where one is connected, is given to say its first state."""


class EgoListener:
    """Subscribes a node to ``~/input/odometry`` and ``~/input/ego_state`` and keeps what they say.

    Odometry has no acceleration, which is then fitted. Once a CAN state came, the CAN's states alone are used. Where
    somebody publishes CAN states, the first second of odometry is not used: otherwise the first answers would hang on
    which of the two topics came first.

    Args:
        node: Whose inputs they are.
        config: Of the buffer.
        heard: Called after every state.
    """

    def __init__(
        self, node: WorkerNode[Any, Any], config: OdometryConfig, heard: Callable[[], None] = lambda: None
    ) -> None:
        self.buffer = OdometryBuffer(config)
        self._heard = heard
        self._node = node
        self._has_can = False
        self._first: Stamp | None = None
        node.listen(Odometry, "odometry", self._on_odometry, qos.ODOMETRY)
        node.listen(messages.EgoState, "ego_state", self._on_ego_state, qos.ODOMETRY)

    def _on_odometry(self, message: Odometry) -> None:
        if self._has_can:
            return
        state = ego_state_from_odometry(message)
        if not self._awaits_can(state.stamp):
            self.buffer.push(state, has_acceleration=False)
            self._heard()

    def _awaits_can(self, stamp: Stamp) -> bool:
        self._first = stamp if self._first is None else self._first
        young = abs(seconds_between(self._first, stamp)) < _CAN_SPEAKS_WITHIN
        return young and self._node.connections().get("in.ego_state", 0) > 0

    def _on_ego_state(self, message: Any) -> None:
        state = ego_state_from_message(message)
        if not self._has_can and is_finite(state):
            # Not before a state that can be used: until then odometry is better than nothing.
            self._has_can = True
            self.buffer.reset()
        self.buffer.push(state)
        self._heard()
