"""What one step of the driver says, and one digest of everything it decided."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from vadv2_core.drive import DriveStatus, VehicleCommand
from vadv2_core.reasoning import Reasoning, ReasoningEmbedding
from vadv2_core.stamps import Stamp
from vadv2_core.tokens import SceneTokens
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates

UNTRAINED = "-untrained"


@dataclass(frozen=True, slots=True)
class DriverOutput:
    """Everything said of one frame.

    Attributes:
        stamp: The frame's.
        tokens: What perception saw; None without images.
        embedding: The VLM's for the planner; None without a VLM.
        reasoning: In words, on the frames that were reasoned about.
        candidates: The plan.
        command: To the vehicle.
        status: Of the drive.
        timings: Wall time by stage, ms.
    """

    stamp: Stamp
    tokens: SceneTokens | None
    embedding: ReasoningEmbedding | None
    reasoning: Reasoning | None
    candidates: TrajectoryCandidates
    command: VehicleCommand
    status: DriveStatus
    timings: dict[str, float] = field(default_factory=dict)


def system_model_id(stage_ids: Iterable[str]) -> str:
    """One name for a system of several models: their names in order, ``-untrained`` at the end where any of them is."""
    ids = [i for i in stage_ids if i]
    names = list(dict.fromkeys(i.removesuffix(UNTRAINED) for i in ids))
    return "+".join(names) + (UNTRAINED if any(i.endswith(UNTRAINED) for i in ids) else "")


def outputs_sha256(trajectories: Iterable[Trajectory], commands: Iterable[VehicleCommand]) -> str:
    """SHA-256 over the exact numbers of all trajectories and commands, each in order of stamp.

    Integers little-endian 64 bit, floats as IEEE 754 binary64; text, timings and ids are left out, so that it says
    whether two drives decided the same.
    """
    digest = hashlib.sha256()
    for trajectory in sorted(trajectories, key=lambda t: t.stamp):
        points = np.ascontiguousarray(trajectory.points, dtype="<f8")
        pose = trajectory.origin_pose
        digest.update(
            struct.pack("<qqdddd", trajectory.stamp, len(points), pose.x, pose.y, pose.yaw, trajectory.confidence)
        )
        digest.update(points.tobytes())
    for command in sorted(commands, key=lambda c: c.stamp):
        numbers = (command.steering_angle, command.steering_rate, command.acceleration, command.speed)
        digest.update(struct.pack("<qqdddd", command.stamp, command.trajectory_stamp, *numbers))
    return digest.hexdigest()
