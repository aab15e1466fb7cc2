"""The interface of every learned planner's network."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vadv2_planner.anchors import AnchorSet
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.config import ModelConfig
from vadv2_planner.decoder import Prediction
from vadv2_planner.motion import motion_matrices
from vadv2_planner.noise import SamplerPlan


class PlannerNetwork(nn.Module, ABC):
    """A batched network with gradients.

    ``model(batch, generator)`` is a training pass and gives one `Prediction` a supervised layer; `propose` is
    inference. Neither takes the recorded future; a network that must be noised from it says so by `noises_target` and
    takes it in a training pass as ``model(batch, generator, target)``. `regresses` says whether waypoints learn,
    `scores` whether logits do.
    """

    needs_pictures = True
    noises_target = False
    regresses = True
    scores = True
    reads_reasoning = True
    default_steps = 1

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("anchors", torch.tensor(anchors.anchors, dtype=torch.float32))
        self.register_buffer("offset", torch.tensor(anchors.offset, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(anchors.scale, dtype=torch.float32))

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(modes, knots, 2) of the noise that `propose` begins with; (0, knots, 2) where it needs none."""
        return (0, self.config.knots, 2)

    @abstractmethod
    def plan_of(self, sampler: str, steps: int) -> SamplerPlan:
        """The passes that `propose` makes under a sampler and a number of steps."""

    @abstractmethod
    def propose(self, batch: PlannerBatch, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """Futures of a batch.

        Args:
            batch: Inputs of b samples.
            noise: (b, *noise_shape) standard normal.
            plan: Of `plan_of`.
        """

    def reasoning_embedding(self, batch: PlannerBatch) -> Tensor | None:
        """The reasoning (b, width) in the space of trajectory embeddings; None where the network reads none."""
        del batch
        return None

    def normalise(self, waypoints: Tensor) -> Tensor:
        """Metres (..., knots, 2) to units in which the data lies in [-1, 1]."""
        return (waypoints - self.get_buffer("offset")) / self.get_buffer("scale")

    def denormalise(self, waypoints: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return waypoints * self.get_buffer("scale") + self.get_buffer("offset")

    def positions(self, waypoints: Tensor, batch: PlannerBatch) -> Tensor:
        """Waypoints (b, m, knots, 2) to the positions (b, m, 5 knots, 2) at 10 Hz that are driven, with gradients."""
        a, bv, ba = (
            torch.as_tensor(v, dtype=waypoints.dtype, device=waypoints.device)
            for v in motion_matrices(self.config.knots, 5 * self.config.knots)
        )
        start = bv[:, None] * batch.velocity[:, None] + ba[:, None] * batch.acceleration[:, None]
        return torch.matmul(a, waypoints) + start.unsqueeze(1)

    @property
    def unit(self) -> Tensor:
        """(knots, 2) m: one unit of a regressed offset, a tenth of the data's half range."""
        return 0.1 * self.get_buffer("scale")
