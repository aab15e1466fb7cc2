"""All losses of a planner's training pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vadv2_core.config import parameter, validate
from vadv2_core.taxonomy import MapElementClass
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.decoder import Prediction
from vadv2_planner.networks import PlannerNetwork
from vadv2_training.losses.alignment import alignment_loss
from vadv2_training.losses.collision import collision_loss
from vadv2_training.losses.comfort import comfort_loss
from vadv2_training.losses.imitation import imitation_loss, nearest_anchor
from vadv2_training.losses.road import boundary_loss, lane_direction_loss

STRIDE = 5
"""Points of a plan from one waypoint to the next."""


@dataclass(frozen=True, slots=True)
class PlanningLossConfig:
    """Weights; 0 leaves a term out."""

    focal: float = parameter(10.0, "Focal classification of the nearest anchor.", minimum=0.0, maximum=1000.0)
    waypoints: float = parameter(8.0, "L1 of the nearest anchor's future.", minimum=0.0, maximum=1000.0)
    decay: float = parameter(1.0, "The last waypoint counts exp(-decay) times the first.", minimum=0.0, maximum=5.0)
    alignment: float = parameter(0.5, "Reasoning against trajectory embedding.", minimum=0.0, maximum=100.0)
    collision: float = parameter(1.0, "Footprint in occupied space.", minimum=0.0, maximum=100.0)
    comfort: float = parameter(0.1, "Jerk, acceleration, yaw rate.", minimum=0.0, maximum=100.0)
    boundary: float = parameter(0.5, "Footprint near the road's edge.", minimum=0.0, maximum=100.0)
    direction: float = parameter(0.1, "Against the lane's direction.", minimum=0.0, maximum=100.0)

    def __post_init__(self) -> None:
        validate(self, "planning losses")


@dataclass(frozen=True, slots=True)
class PlannerTargets:
    """What should have been planned; b samples, base_link, m, rad.

    Attributes:
        future: (b, 80, 2 or more) recorded x, y (and what else) at 10 Hz from 0.1 s on.
        future_known: (b, 80) 1 where it was driven.
        others: (b, 16, a, 5) boxes of others at 0.5 s, 1 s, ...: x, y, yaw, length, width.
        others_known: (b, 16, a).
        map_points: (b, e, p, 2) map elements.
        map_class: (b, e) `MapElementClass`.
        map_known: (b, e).
    """

    future: Tensor
    future_known: Tensor
    others: Tensor
    others_known: Tensor
    map_points: Tensor
    map_class: Tensor
    map_known: Tensor

    @property
    def waypoints(self) -> Tensor:
        """(b, 16, 2) the recorded future at the anchors' times."""
        return self.future[:, STRIDE - 1 :: STRIDE, :2]

    @property
    def waypoints_known(self) -> Tensor:
        """(b, 16)."""
        return self.future_known[:, STRIDE - 1 :: STRIDE]


def _positive(network: PlannerNetwork, prediction: Prediction, targets: PlannerTargets) -> Tensor:
    anchors: Tensor = network.get_buffer("anchors")
    if prediction.logits.shape[1] == len(anchors) and not network.noises_target:
        return nearest_anchor(anchors, targets.waypoints, targets.waypoints_known)
    return torch.zeros(len(targets.future), dtype=torch.long, device=targets.future.device)


def planning_losses(
    network: PlannerNetwork,
    predictions: list[Prediction],
    batch: PlannerBatch,
    targets: PlannerTargets,
    config: PlanningLossConfig,
    vehicle: VehicleConfig,
) -> dict[str, Tensor]:
    """Every term, weighted, and ``total``, their sum; layers are summed, the terms of a layer only see its own output.

    Positions are those that are driven: the motion through the waypoints, not the waypoints themselves.

    Args:
        network: Whose pass it was.
        predictions: One a layer.
        batch: The pass's inputs.
        targets: What should have come out.
        config: Weights.
        vehicle: The ego's sizes.
    """
    zero = targets.future.new_zeros(())
    names = ("focal", "waypoints", "alignment", "collision", "comfort", "boundary", "direction")
    terms: dict[str, Tensor] = dict.fromkeys(names, zero)
    target, known = targets.future[..., :2], targets.future_known
    edges = targets.map_known * (targets.map_class == int(MapElementClass.BOUNDARY))
    lanes = targets.map_known * (targets.map_class == int(MapElementClass.LANE))
    rows = torch.arange(len(target), device=target.device)
    positive = _positive(network, predictions[-1], targets)
    for prediction in predictions:
        if network.regresses:
            positions = network.positions(prediction.waypoints.float(), batch)
        else:
            # A vocabulary cannot move; only its scores learn.
            positions = prediction.waypoints[rows, positive].unsqueeze(1).float()
        logits = prediction.logits.float()
        if not network.regresses:
            focal, _ = imitation_loss(
                positions.expand(-1, logits.shape[1], -1, -1),
                logits,
                positive,
                targets.waypoints,
                targets.waypoints_known,
            )
            terms["focal"] = terms["focal"] + focal * config.focal / 10.0
            continue
        if network.noises_target:
            # Every sample was noised from the recorded future; there is no score to learn.
            flat = positions.flatten(0, 1)
            m = positions.shape[1]
            _, waypoint = imitation_loss(
                flat.unsqueeze(1),
                logits.new_zeros(len(flat), 1),
                torch.zeros(len(flat), dtype=torch.long, device=flat.device),
                target.repeat_interleave(m, 0),
                known.repeat_interleave(m, 0),
                decay=config.decay,
            )
            terms["waypoints"] = terms["waypoints"] + waypoint * config.waypoints / 8.0
        else:
            focal, waypoint = imitation_loss(positions, logits, positive, target, known, decay=config.decay)
            if network.scores:
                terms["focal"] = terms["focal"] + focal * config.focal / 10.0
            terms["waypoints"] = terms["waypoints"] + waypoint * config.waypoints / 8.0
        at_knots = positions[..., STRIDE - 1 :: STRIDE, :]
        driven = at_knots[rows, positive]
        if config.collision:
            cost = collision_loss(at_knots, targets.others, targets.others_known, vehicle)
            terms["collision"] = terms["collision"] + config.collision * cost
        if config.comfort:
            terms["comfort"] = terms["comfort"] + config.comfort * comfort_loss(positions, batch.velocity)
        if config.boundary:
            cost = boundary_loss(at_knots, targets.map_points, edges, vehicle)
            terms["boundary"] = terms["boundary"] + config.boundary * cost
        if config.direction:
            cost = lane_direction_loss(driven, targets.map_points, lanes)
            terms["direction"] = terms["direction"] + config.direction * cost
    reasoning = network.reasoning_embedding(batch) if config.alignment else None
    if reasoning is not None:
        features = predictions[-1].features
        trajectory = features[rows, positive.clamp(max=features.shape[1] - 1)]
        cost = alignment_loss(reasoning.float(), trajectory.float(), batch.reasoning_valid[:, 0])
        terms["alignment"] = config.alignment * cost
    terms["total"] = torch.stack([terms[name] for name in names]).sum()
    return terms
