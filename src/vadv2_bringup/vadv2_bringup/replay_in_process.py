"""A bag through the driver in this process: no nodes, no topics, the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.drive_record import DriveRecord, way_driven
from vadv2_driver import Driver, DriverOutput
from vadv2_ros import conversions
from vadv2_ros.standard_messages import path_from_trajectory

_TOPICS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tokens": ("/perception/scene_tokens", conversions.scene_tokens_to_message),
    "embedding": ("/vlm/embedding", conversions.embedding_to_message),
    "reasoning": ("/vlm/reasoning", conversions.reasoning_to_message),
    "candidates": ("/planner/candidates", conversions.candidates_to_message),
    "command": ("/control/vehicle_command", conversions.vehicle_command_to_message),
    "status": ("/control/drive_status", conversions.drive_status_to_message),
}


def _write_outputs(record: DriveRecord, output: DriverOutput) -> None:
    for field, (topic, convert) in _TOPICS.items():
        value = getattr(output, field)
        if value is not None:
            record.bag.write(topic, convert(value), output.stamp)
    trajectory = output.candidates.trajectory()
    if trajectory is not None:
        record.bag.write("/planner/trajectory", conversions.trajectory_to_message(trajectory), output.stamp)
        record.bag.write("/planner/path", path_from_trajectory(trajectory), output.stamp)


def replay_in_process(
    reader: BagReader,
    driver: Driver,
    record: DriveRecord,
    *,
    limit: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Drive every frame of a bag and record it.

    Args:
        reader: The bag.
        driver: The stages.
        record: Takes the outputs.
        limit: At most so many frames.
        progress: Called after every frame.
    """
    ahead = way_driven(reader.odometry())
    for i, given in enumerate(reader.frames()):
        if limit is not None and i >= limit:
            break
        output = driver.step(given.frame, given.ego, given.command, given.route, reason=driver.reasoner is not None)
        _write_outputs(record, output)
        record.add(given, output, ahead(given.frame.stamp, given.ego.pose))
        progress()
