"""What the planner's networks read, as tensors with a batch axis; and how a frame becomes one."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, inverse_transform3
from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES, route_ahead
from vadv2_core.tokens import SceneTokens
from vadv2_planner.motion import present_motion
from vadv2_planner.text import TEXT_LENGTH, command_ids

EGO_FEATURES = 5
"""vx, ax, v * yaw rate, yaw rate, steering angle; about unit size."""


@dataclass(frozen=True, slots=True)
class PlannerBatch:
    """Inputs of b samples.

    Attributes:
        tokens: (b, cameras, h, w, c) image tokens, zero where a camera is not valid.
        projection: (b, cameras, 3, 4) base_link at the anchor stamp to homogeneous token pixels, ego motion included.
        camera_valid: (b, cameras) float, 1 where valid.
        queries: (b, q, dq) scene queries.
        aux: (b, a, da) ego tokens.
        ego: (b, EGO_FEATURES) ego state, scaled.
        velocity: (b, 2) of the rear axle now, m/s: the motion begins with it.
        acceleration: (b, 2) likewise, m/s^2.
        action: (b,) int64 `DrivingAction`.
        distance: (b, 1) m to where the command applies, / 50.
        text: (b, TEXT_LENGTH) int64 token ids of the command's text, 0 for none.
        route: (b, len(ROUTE_DISTANCES), ROUTE_FEATURES) scaled; zero without one.
        route_valid: (b, 1) float.
        reasoning: (b, dr) embedding; zero without one.
        reasoning_valid: (b, 1) float.
        reasoning_age: (b, 1) s.
    """

    tokens: Tensor
    projection: Tensor
    camera_valid: Tensor
    queries: Tensor
    aux: Tensor
    ego: Tensor
    velocity: Tensor
    acceleration: Tensor
    action: Tensor
    distance: Tensor
    text: Tensor
    route: Tensor
    route_valid: Tensor
    reasoning: Tensor
    reasoning_valid: Tensor
    reasoning_age: Tensor

    def to(self, device: torch.device | str) -> PlannerBatch:
        """The same batch on a device."""
        return PlannerBatch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @classmethod
    def stack(cls, batches: list[PlannerBatch]) -> PlannerBatch:
        """Join batches along the batch axis."""
        return cls(**{f.name: torch.cat([getattr(b, f.name) for b in batches]) for f in fields(cls)})


def camera_projections(k: Array, t_base_camera: Array, t_anchor_camera_time: Array) -> Array:
    """(cameras, 3, 4) matrices from base_link at the anchor's stamp to homogeneous token pixels.

    Args:
        k: (cameras, 3, 3) at token resolution.
        t_base_camera: (cameras, 4, 4).
        t_anchor_camera_time: (cameras, 3, 3) SE(2), base_link at the camera's stamp to base_link at the anchor's.
    """
    out = np.zeros((len(k), 3, 4))
    for i in range(len(k)):
        motion = np.eye(4)
        motion[:2, :2] = t_anchor_camera_time[i][:2, :2]
        motion[:2, 3] = t_anchor_camera_time[i][:2, 2]
        out[i] = k[i] @ (inverse_transform3(t_base_camera[i]) @ inverse_transform3(motion))[:3]
    return out


def ego_features(ego: EgoState) -> Array:
    """(EGO_FEATURES,) of an ego state, scaled to about one."""
    v = ego.speed
    steering = 0.0 if ego.steering_angle is None else ego.steering_angle
    scaled = np.array([v / 10.0, ego.acceleration[0] / 3.0, v * ego.yaw_rate / 3.0, ego.yaw_rate, steering * 2.0])
    return np.clip(scaled, -5.0, 5.0)


def make_batch(
    tokens: SceneTokens | None,
    ego: EgoState,
    command: DrivingCommand,
    route: Route | None,
    embedding: Array | None,
    embedding_age: float,
    reasoning_channels: int,
) -> PlannerBatch:
    """One frame as a batch of one, float32.

    Args:
        tokens: The frame; None for planners that need no pictures (their picture tensors are empty).
        ego: At the frame's stamp.
        command: What to do next.
        route: In odom; None for none.
        embedding: (reasoning_channels,) of the VLM; None for none.
        embedding_age: Its age, s.
        reasoning_channels: Length of the embedding that the network expects.
    """

    def tensor(values: object) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.asarray(values, dtype=np.float32)))[None]

    velocity, acceleration = present_motion(ego)
    points = route_ahead(route, ego.pose)
    if tokens is None:
        picture = {
            "tokens": torch.zeros(1, 0, 1, 1, 1),
            "projection": torch.zeros(1, 0, 3, 4),
            "camera_valid": torch.zeros(1, 0),
            "queries": torch.zeros(1, 0, 1),
            "aux": torch.zeros(1, 0, 1),
        }
    else:
        picture = {
            # Zero times a NaN of a dead camera would still be a NaN.
            "tokens": tensor(np.where(tokens.camera_valid[:, None, None, None], tokens.tokens, 0.0)),
            "projection": tensor(camera_projections(tokens.k, tokens.t_base_camera, tokens.t_anchor_camera_time)),
            "camera_valid": tensor(tokens.camera_valid),
            "queries": tensor(tokens.queries),
            "aux": tensor(tokens.aux),
        }
    return PlannerBatch(
        **picture,
        ego=tensor(ego_features(ego)),
        velocity=tensor(velocity),
        acceleration=tensor(acceleration),
        action=torch.tensor([int(command.action)]),
        distance=tensor([np.clip(command.distance, 0.0, 200.0) / 50.0]),
        text=torch.from_numpy(command_ids(command.text))[None, :TEXT_LENGTH],
        route=tensor(np.zeros((len(ROUTE_DISTANCES), ROUTE_FEATURES)) if points is None else points),
        route_valid=tensor([float(points is not None)]),
        reasoning=tensor(np.zeros(reasoning_channels) if embedding is None else embedding),
        reasoning_valid=tensor([float(embedding is not None)]),
        reasoning_age=tensor([0.0 if embedding is None else embedding_age]),
    )
