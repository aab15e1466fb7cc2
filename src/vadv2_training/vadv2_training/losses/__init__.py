"""Losses, each one a function with its formula, units and source."""

from vadv2_training.losses.alignment import alignment_loss
from vadv2_training.losses.collision import collision_loss, footprint_circles
from vadv2_training.losses.comfort import comfort_loss
from vadv2_training.losses.imitation import focal_loss, imitation_loss, nearest_anchor, waypoint_loss
from vadv2_training.losses.path import path_distance, path_loss
from vadv2_training.losses.planning import PlannerTargets, PlanningLossConfig, planning_losses
from vadv2_training.losses.queries import QueryLossConfig, query_losses
from vadv2_training.losses.road import boundary_loss, lane_direction_loss
from vadv2_training.losses.stages import STAGES, trains

__all__ = [
    "STAGES",
    "PlannerTargets",
    "PlanningLossConfig",
    "QueryLossConfig",
    "alignment_loss",
    "boundary_loss",
    "collision_loss",
    "comfort_loss",
    "focal_loss",
    "footprint_circles",
    "imitation_loss",
    "lane_direction_loss",
    "nearest_anchor",
    "path_distance",
    "path_loss",
    "planning_losses",
    "query_losses",
    "trains",
    "waypoint_loss",
]
