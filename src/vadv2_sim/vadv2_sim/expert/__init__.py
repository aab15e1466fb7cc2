"""A privileged driver on the Scene: right of way, predicted motion, sampled and scored jerk-limited trajectories."""

from vadv2_sim.expert.config import ExpertConfig
from vadv2_sim.expert.expert import Expert

__all__ = ["Expert", "ExpertConfig"]
