"""What the expert would do at every frame of a drive that another drove, in a file beside the scene log.

A log of the expert's own drive needs none: what is to be learned there is what was driven. In a corrected drive
(DAgger: Ross, Gordon and Bagnell 2011) the states are the model's and the lesson is the expert's plan from each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.geometry import Array
from vadv2_core.scene_log import SCENE_LOG_SUFFIX
from vadv2_core.trajectory import PLAN_POINTS, PLAN_RATE_HZ, Trajectory

PLANS_SUFFIX = ".expert.safetensors"
"""Ending of the file beside a log, in place of `SCENE_LOG_SUFFIX`."""


@dataclass(frozen=True, slots=True)
class ExpertPlans:
    """The expert's plans of a drive, one a frame.

    Attributes:
        stamps: (n,) int64 of the log's frames.
        origins: (n, 3) x, y, yaw of base_link at the frame, world.
        plans: (n, 80, 3) x, y, yaw in base_link at the frame, at 0.1 s, 0.2 s, ... 8 s.
        teaches: (n,) whether the plan is one a car could drive; others are not lessons.
        model_drove: (n,) whether the model had the wheel, else the expert.
    """

    stamps: NDArray[np.int64]
    origins: Array
    plans: Array
    teaches: NDArray[np.bool_]
    model_drove: NDArray[np.bool_]

    def as_driven(self, index: int) -> tuple[Array, Array]:
        """A frame's plan in the form of a driven path: poses (81, 3) in the world and their times (81,) s.

        The first pose is the ego's at the frame. A plan that is no lesson is that pose alone, so that nothing ahead of
        it is known.
        """
        origin = self.origins[index]
        if not self.teaches[index]:
            return origin[None].copy(), np.zeros(1)
        c, s = np.cos(origin[2]), np.sin(origin[2])
        x, y, yaw = self.plans[index].T
        world = np.column_stack([origin[0] + c * x - s * y, origin[1] + s * x + c * y, origin[2] + yaw])
        return np.vstack([origin[None], world]), np.arange(PLAN_POINTS + 1) / PLAN_RATE_HZ


def plans_path(log: Path) -> Path:
    """Where the plans of a log lie."""
    return log.with_name(log.name.removesuffix(SCENE_LOG_SUFFIX) + PLANS_SUFFIX)


def write_expert_plans(log: Path, plans: Sequence[Trajectory], teaches: Sequence[bool], model: Sequence[bool]) -> None:
    """Write the plans of a log's frames; before the log itself gets its name, so that a log that is seen has them."""
    origins = [[p.origin_pose.x, p.origin_pose.y, p.origin_pose.yaw] for p in plans]
    arrays: dict[str, NDArray[np.generic]] = {
        "stamps": np.array([p.stamp for p in plans], dtype=np.int64),
        "origins": np.array(origins, dtype=np.float64).reshape(-1, 3),
        "plans": np.stack([p.points[:PLAN_POINTS, 1:4] for p in plans]).astype(np.float32),
        "teaches": np.array(teaches, dtype=np.bool_),
        "model_drove": np.array(model, dtype=np.bool_),
    }
    write_bytes_atomic(plans_path(log), save(arrays))


def read_expert_plans(log: Path) -> ExpertPlans | None:
    """The plans beside a log; None where there are none, as with every drive of the expert's own.

    Raises:
        InputError: for a file that is no such file, or whose arrays do not fit together.
    """
    path = plans_path(log)
    if not path.exists():
        return None
    try:
        arrays = load(path.read_bytes())
        plans = ExpertPlans(
            arrays["stamps"].astype(np.int64),
            arrays["origins"].astype(np.float64),
            arrays["plans"].astype(np.float64),
            arrays["teaches"].astype(np.bool_),
            arrays["model_drove"].astype(np.bool_),
        )
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"not plans of an expert: {error}", str(path), "what closed-loop correction wrote") from None
    n = len(plans.stamps)
    shapes = (plans.origins.shape, plans.plans.shape, plans.teaches.shape, plans.model_drove.shape)
    if shapes != ((n, 3), (n, PLAN_POINTS, 3), (n,), (n,)) or not np.isfinite(plans.plans).all():
        raise InputError(f"arrays of shapes {shapes}", str(path), f"{n} finite plans of {PLAN_POINTS} points")
    return plans


@lru_cache(maxsize=8)
def _cached(log: Path) -> ExpertPlans | None:
    return read_expert_plans(log)


def expert_future(log: Path, index: int) -> tuple[Array, Array] | None:
    """What is to be learned at a frame of a log that the expert did not drive: poses (n, 3), world, and times (n,) s.

    In the form that `driving_frames.future_of` takes a driven path in, the frame being the first pose (index 0). None
    where the log has no plans beside it: the lesson is then what was driven.

    Raises:
        InputError: for a broken file of plans, or a frame that it does not have.
    """
    plans = _cached(log)
    if plans is None:
        return None
    if not 0 <= index < len(plans.stamps):
        raise InputError(f"no plan of frame {index}", str(plans_path(log)), f"one of {len(plans.stamps)}")
    return plans.as_driven(index)
