"""QoS profiles, one a kind of data."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _newest(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)


IMAGE = _newest(1, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
"""Images and camera_info: the newest or none; a late one is worth nothing."""

ODOMETRY = _newest(50, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
"""Odometry and CAN: interpolated between, so the last half second is kept."""

STAGE = _newest(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
"""What one stage says to the next."""

LATCHED = _newest(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
"""Driving command, route and ``/tf_static``: said once, heard by whoever comes later."""
