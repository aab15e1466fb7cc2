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
from vadv2_training.losses.path import path_loss
from vadv2_training.losses.risks import RiskTruth, risk_labels, risk_loss
from vadv2_training.losses.road import boundary_loss, lane_direction_loss

STRIDE = 5
"""Points of a plan from one waypoint to the next."""


@dataclass(frozen=True, slots=True)
class PlanningLossConfig:
    """Weights; 0 leaves a term out.

    DiffusionDrive's own are 10 (focal) and 8 (L1). With its 10 the scores of the twenty futures stayed flat here, and
    the ego stood (docs/training.md); these are the weights of the planner that is measured there.
    """

    focal: float = parameter(100.0, "Focal classification of the nearest anchor.", minimum=0.0, maximum=1000.0)
    waypoints: float = parameter(8.0, "L1 of the nearest anchor's future.", minimum=0.0, maximum=1000.0)
    path: float = parameter(16.0, "Distance from the recorded path, whatever the speed.", minimum=0.0, maximum=100.0)
    decay: float = parameter(1.0, "The last waypoint counts exp(-decay) times the first.", minimum=0.0, maximum=5.0)
    alignment: float = parameter(0.5, "Reasoning against trajectory embedding.", minimum=0.0, maximum=100.0)
    collision: float = parameter(3.0, "Footprint in occupied space.", minimum=0.0, maximum=100.0)
    comfort: float = parameter(1.0, "Jerk, acceleration, yaw rate.", minimum=0.0, maximum=100.0)
    boundary: float = parameter(10.0, "Footprint near the road's edge.", minimum=0.0, maximum=100.0)
    direction: float = parameter(0.1, "Against the lane's direction.", minimum=0.0, maximum=100.0)
    risks: float = parameter(10.0, "What each mode's future comes to.", minimum=0.0, maximum=1000.0)

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
        signal: (b,) `SignalState` of the next signal on the way; UNKNOWN where there is none.
        stop: (b, 2) 1 where a stop line is ahead, and its distance from the front bumper.
    """

    future: Tensor
    future_known: Tensor
    others: Tensor
    others_known: Tensor
    map_points: Tensor
    map_class: Tensor
    map_known: Tensor
    signal: Tensor
    stop: Tensor

    @property
    def waypoints(self) -> Tensor:
        """(b, 16, 2) the recorded future at the anchors' times."""
        return self.future[:, STRIDE - 1 :: STRIDE, :2]

    @property
    def waypoints_known(self) -> Tensor:
        """(b, 16)."""
        return self.future_known[:, STRIDE - 1 :: STRIDE]


TERMS = ("focal", "waypoints", "path", "alignment", "collision", "comfort", "boundary", "direction", "risks")
"""Names of the terms."""


def _positive(network: PlannerNetwork, modes: int, targets: PlannerTargets) -> Tensor:
    anchors: Tensor = network.get_buffer("anchors")
    if modes == len(anchors) and not network.noises_target:
        return nearest_anchor(anchors, targets.waypoints, targets.waypoints_known)
    return torch.zeros(len(targets.future), dtype=torch.long, device=targets.future.device)


def _imitation(
    network: PlannerNetwork,
    prediction: Prediction,
    positions: Tensor,
    positive: Tensor,
    targets: PlannerTargets,
    config: PlanningLossConfig,
) -> tuple[Tensor, Tensor]:
    logits = prediction.logits.float()
    target, known = targets.future[..., :2], targets.future_known
    if network.noises_target:
        # Every copy was noised from the recorded future, so that every copy is right; there is no score to learn.
        m = positions.shape[1]
        target, known = target.repeat_interleave(m, 0), known.repeat_interleave(m, 0)
        positions = positions.flatten(0, 1).unsqueeze(1)
        logits = logits.new_zeros(len(positions), 1)
        positive = positive.repeat_interleave(m, 0)
    if not network.regresses:
        target, known = targets.waypoints, targets.waypoints_known
    return imitation_loss(
        positions,
        logits,
        positive,
        target,
        known,
        focal_weight=config.focal if network.scores else 0.0,
        waypoint_weight=config.waypoints if network.regresses else 0.0,
        decay=config.decay,
    )


def planning_losses(
    network: PlannerNetwork,
    predictions: list[Prediction],
    batch: PlannerBatch,
    targets: PlannerTargets,
    config: PlanningLossConfig,
    vehicle: VehicleConfig,
) -> dict[str, Tensor]:
    """Every term, weighted, and ``total``, their sum over the decoder's layers.

    Positions are those that are driven: the motion through the waypoints, not the waypoints themselves. A planner that
    does not regress (the vocabulary) has only its scores to learn.

    Args:
        network: Whose pass it was.
        predictions: One a layer.
        batch: The pass's inputs.
        targets: What should have come out.
        config: Weights.
        vehicle: The ego's sizes.
    """
    terms: dict[str, Tensor] = dict.fromkeys(TERMS, targets.future.new_zeros(()))

    def add(name: str, weight: float, cost: Tensor) -> None:
        terms[name] = terms[name] + weight * cost

    edges = targets.map_known * (targets.map_class == int(MapElementClass.BOUNDARY))
    lanes = targets.map_known * (targets.map_class == int(MapElementClass.LANE))
    rows = torch.arange(len(targets.future), device=targets.future.device)
    truth = RiskTruth(
        targets.others, targets.others_known, targets.map_points, edges, targets.signal.reshape(-1), targets.stop,
        batch.velocity[:, 0],
    )  # fmt: skip
    positive = _positive(network, predictions[-1].logits.shape[1], targets)
    for prediction in predictions:
        waypoints = prediction.waypoints.float()
        positions = network.positions(waypoints, batch) if network.regresses else waypoints
        focal, l1 = _imitation(network, prediction, positions, positive, targets, config)
        add("focal", 1.0, focal)
        add("waypoints", 1.0, l1)
        if not network.regresses:
            continue
        picked = positions[rows, positive]
        if config.path:
            add("path", config.path, path_loss(picked, targets.future[..., :2], targets.future_known, config.decay))
        at_knots = positions[..., STRIDE - 1 :: STRIDE, :]
        if config.collision:
            add("collision", config.collision, collision_loss(at_knots, targets.others, targets.others_known, vehicle))
        if config.risks and prediction.risks is not None and not network.noises_target:
            labels = risk_labels(positions, targets.future, truth, vehicle)
            add("risks", config.risks, risk_loss(prediction.risks, labels, edges.amax(1)))
        if config.comfort:
            add("comfort", config.comfort, comfort_loss(positions, batch.velocity))
        if config.boundary:
            add("boundary", config.boundary, boundary_loss(at_knots, targets.map_points, edges, vehicle))
        if config.direction:
            add("direction", config.direction, lane_direction_loss(at_knots[rows, positive], targets.map_points, lanes))
    reasoning = network.reasoning_embedding(batch) if config.alignment else None
    if reasoning is not None:
        trajectory = predictions[-1].features[rows, positive]
        cost = alignment_loss(reasoning.float(), trajectory.float(), batch.reasoning_valid[:, 0])
        add("alignment", config.alignment, cost)
    terms["total"] = torch.stack([terms[name] for name in TERMS]).sum()
    return terms
