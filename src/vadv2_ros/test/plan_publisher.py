"""A planner reduced to its topic: straight plans that speed up and cruise, ten a second, until it is killed."""

from __future__ import annotations

import sys

import numpy as np
import rclpy
from rclpy.node import Node
from vadv2_msgs import msg as messages

from vadv2_core.ego import EgoState
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_ros import qos
from vadv2_ros.conversions import candidates_to_message, ego_state_from_message

ACCELERATION, CRUISE = 2.0, 6.0


class PlanPublisher(Node):
    """Plans from the newest ego state."""

    def __init__(self) -> None:
        super().__init__("planner")
        self._ego: EgoState | None = None
        self._plans = self.create_publisher(messages.TrajectoryCandidates, "/trajectory_candidates", qos.STAGE)
        self.create_subscription(messages.EgoState, "/ego_state", self._on_ego, qos.ODOMETRY)
        self.create_timer(0.1, self._plan)

    def _on_ego(self, message: messages.EgoState) -> None:
        self._ego = ego_state_from_message(message)

    def _plan(self) -> None:
        if self._ego is None:
            return
        t = np.arange(1, 81) * 0.1
        v = np.minimum(self._ego.speed + ACCELERATION * t, CRUISE)
        a = np.where(v < CRUISE, ACCELERATION, 0.0)
        points = np.column_stack([t, np.cumsum(v) * 0.1, 0 * t, 0 * t, v, a])[None]
        ego = self._ego
        plan = TrajectoryCandidates(
            ego.stamp, ego.pose, points, np.ones(1), 0, "", "", "as_intended", 2, {}, (), "test-1"
        )
        self._plans.publish(candidates_to_message(plan))


def main() -> int:
    """Publish until killed."""
    rclpy.init()
    rclpy.spin(PlanPublisher())
    return 0


if __name__ == "__main__":
    sys.exit(main())
