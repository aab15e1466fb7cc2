"""Planners without a network or without pictures: the floor that every table needs."""

from __future__ import annotations

import numpy as np

from vadv2_core.trajectory import PLAN_POINTS, PLAN_RATE_HZ
from vadv2_planner.planner import Observation, Proposal, Proposer


class ConstantVelocity(Proposer):
    """Straight on at the present speed; its only future, confidence 1."""

    model_id = "constant_velocity"
    sampler = "constant_velocity"
    steps = 0
    needs_pictures = False

    def propose(self, seen: Observation, seed: int) -> Proposal:
        """See `Proposer.propose`."""
        del seed
        t = np.arange(1, PLAN_POINTS + 1) / PLAN_RATE_HZ
        positions = np.stack([max(seen.ego.speed, 0.0) * t, np.zeros_like(t)], axis=-1)
        return Proposal(positions[None], np.ones(1))
