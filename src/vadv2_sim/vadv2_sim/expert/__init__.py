"""The teacher: a privileged driver that reads the truth of a Scene and drives every scenario."""

from vadv2_sim.expert.driver import Expert, ExpertConfig, ExpertPlan

__all__ = ["Expert", "ExpertConfig", "ExpertPlan"]
