"""What the reasoner decided, held against every future: one that does something else is less sure.

The embedding tells the planner the same through attention, and the planner hardly listens: on the frames that it
learns from its own tokens know already. The decision is an opinion of its own, learned from other labels through other
slots; on drives that neither has seen the two are right together more often than either alone (docs/training.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_core.meta_action import HORIZON, longitudinal_of
from vadv2_core.trajectory import PLAN_RATE_HZ

_LEAST = 0.01
"""Probability below which no action falls: the reasoner is never that sure."""


def longitudinal_actions(points: Array, speed: float) -> NDArray[np.int64]:
    """(modes,) `LongitudinalAction` of futures, by the rule of `vadv2_core.meta_action.driven_action`.

    Args:
        points: (modes, n, 6) [t, x, y, yaw, v, a].
        speed: Of the ego now, m/s.
    """
    end = min(round(HORIZON * PLAN_RATE_HZ), points.shape[1]) - 1
    return longitudinal_of(speed, points[:, end, 4])


def heeded(points: Array, speed: float, decision: Array, weight: float) -> Array:
    """(modes,) in (0, 1]: what each future's confidence is multiplied by, 1 for the likeliest action.

    ``(p(action) / max p) ** weight``: two opinions, the second raised to a power because it is not independent.

    Args:
        points: As above.
        speed: As above.
        decision: (len(LongitudinalAction),) probabilities.
        weight: 0 heeds nothing.
    """
    likely = np.maximum(decision, _LEAST)
    share: Array = (likely / likely.max())[longitudinal_actions(points, speed)] ** weight
    return share
