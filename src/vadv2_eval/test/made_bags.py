"""Small rosbag2 folders with known content, for the tests of bag scoring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from vadv2_core.drive import DriveState, DriveStatus
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.reasoning import Reasoning
from vadv2_core.stamps import NANOSECONDS
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_ros import conversions
from vadv2_ros.bag_types import bag_typestore
from vadv2_ros.standard_messages import odometry_from_ego_state

START = 1_000 * NANOSECONDS


def serialized(message) -> tuple[str, bytes]:
    """A message of rclpy's classes as type name and CDR bytes."""
    from rclpy.serialization import serialize_message

    kind = type(message)
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}", serialize_message(message)


def plan(stamp: int, x: float, speed: float = 8.0, offset: float = 0.0, modes: int = 3, points: int = 80):
    """Straight modes: the first as driven but ``offset`` to the left, the others slower."""
    t = np.arange(1, points + 1) * 0.1
    rows = [
        np.column_stack([t, v * t, np.full(points, offset), 0 * t, np.full(points, v), 0 * t])
        for v in speed * np.array([1.0, 0.5, 0.25])[:modes]
    ]
    confidences = np.array([0.6, 0.3, 0.1])[:modes]
    return TrajectoryCandidates(
        stamp, Pose2(x, 0.0, 0.0), np.stack(rows), confidences, 0, "", "", "made", 1, {}, (), "made-untrained"
    )


def make_bag(
    path: Path,
    *,
    seconds: float = 12.0,
    offset: float = 0.0,
    storage: StoragePlugin = StoragePlugin.MCAP,
    leave_out: Sequence[str] = (),
    spoil=None,
) -> Path:
    """A drive straight on at 8 m/s at 10 Hz with plans, reasonings once a second, states, and a parked car 60 m ahead.

    ``spoil(topic, k, message)`` may change any message before it is written.
    """
    store = bag_typestore()
    writer = Writer(path, version=9, storage_plugin=storage)
    connections = {}
    with writer:
        for k in range(round(seconds * 10)):
            stamp, x = START + k * NANOSECONDS // 10, 0.8 * k
            ego = EgoState(stamp, Pose2(x, 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0)
            parked = {"id": "p", "class": "CAR", "box": [60.0, 0.0, 0.0, 4.0, 2.0, 1.5], "velocity": [0.0, 0.0]}
            truth = {"stamp": stamp, "agents": [parked], "weather": "DAY", "events": []}
            said = Reasoning(
                stamp, "", "", Cause.FREE_ROAD, np.zeros(10, np.float32), "", LongitudinalAction.KEEP, 0.9,
                LateralAction.STRAIGHT, 0.9, "made", 0.05, False,
            )  # fmt: skip
            status = DriveStatus(stamp, DriveState.DRIVING, "", True, timings={"planner": 4.0})
            messages = {
                "/odometry": odometry_from_ego_state(ego),
                "/planner/candidates": conversions.candidates_to_message(plan(stamp, x, offset=offset)),
                "/drive_status": conversions.drive_status_to_message(status),
                "/truth/scene": store.types["std_msgs/msg/String"](json.dumps(truth)),
            }
            if k % 10 == 0:
                messages["/vlm/reasoning"] = conversions.reasoning_to_message(said)
            for topic, message in messages.items():
                if topic in leave_out:
                    continue
                if spoil is not None:
                    message = spoil(topic, k, message)
                if message is None:
                    continue
                if hasattr(message, "__msgtype__"):
                    kind, data = message.__msgtype__, store.serialize_cdr(message, message.__msgtype__)
                else:
                    kind, data = serialized(message)
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=store)
                writer.write(connections[topic], stamp + 20_000_000, data)
    return path
