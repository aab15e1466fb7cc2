"""What the planner says: futures with confidences, and which one is to be driven."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.geometry import Array, Pose2
from vadv2_core.stamps import Stamp

PLAN_RATE_HZ = 10.0
"""Rate of a trajectory's points."""
PLAN_POINTS = 80
"""Points of a full trajectory: 8 s."""
POINT_FIELDS = ("t", "x", "y", "yaw", "v", "a")
"""Columns of `Trajectory.points`."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One future.

    Attributes:
        stamp: Of the frame it was made from; its time zero.
        origin_pose: base_link in odom at the stamp.
        points: (n, 6) float64 rows [t s, x m, y m, yaw rad, v m/s, a m/s^2] in base_link at the stamp, first at t = dt.
        confidence: In [0, 1].
        rationale: The intent in words where a reasoning was used, else empty.
    """

    stamp: Stamp
    origin_pose: Pose2
    points: Array
    confidence: float
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class TrajectoryCandidates:
    """All modes of one plan.

    Attributes:
        stamp: Of the frame.
        origin_pose: base_link in odom at the stamp.
        points: (modes, n, 6) as in `Trajectory`.
        confidences: (modes,) float64 in [0, 1].
        chosen: Index of the mode to drive; None where the validator withheld all.
        reason: Why it was withheld, in words; empty where one is chosen.
        rationale: The intent in words; empty without a reasoning.
        sampler: ``as_intended``, ``as_released`` or the peer's name.
        steps: Denoising steps.
        ages: Seconds by input name (``tokens``, ``ego``, ``command``, ``route``, ``reasoning``); absent ones left out.
        degraded: Why the plan is less than it could be (no reasoning, untrained weights, unlike scene); may be empty.
        model_id: Name of the checkpoint.
        objections: (modes,) what perception says against each, in words, "" for nothing; empty where nobody asked.
    """

    stamp: Stamp
    origin_pose: Pose2
    points: Array
    confidences: Array
    chosen: int | None
    reason: str
    rationale: str
    sampler: str
    steps: int
    ages: dict[str, float]
    degraded: tuple[str, ...]
    model_id: str
    objections: tuple[str, ...] = ()

    def trajectory(self) -> Trajectory | None:
        """The chosen mode, or None where the plan was withheld."""
        if self.chosen is None:
            return None
        return Trajectory(
            self.stamp, self.origin_pose, self.points[self.chosen], float(self.confidences[self.chosen]), self.rationale
        )
