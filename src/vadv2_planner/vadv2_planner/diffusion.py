"""Truncated diffusion over anchors (DiffusionDrive, Liao et al. 2025), and plain diffusion beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vadv2_planner.anchors import AnchorSet
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.config import ModelConfig
from vadv2_planner.decoder import Prediction, SceneMemory, SceneReader, careful
from vadv2_planner.layers import sinusoid
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.noise import TRAIN_STEPS, TRAIN_TRUNCATION, NoiseSchedule, SamplerPlan, truncated_plan, vanilla_plan


class TruncatedDiffusion(PlannerNetwork):
    """A little noise on every anchor, two passes of a small decoder, one future and one logit an anchor.

    What is noised is the anchor, never the recorded future, and the network predicts the clean sample. The output is
    what the last layer of the last pass regresses, not the sampler's state.
    """

    default_steps = 2

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__(config, anchors)
        self.reader = SceneReader(config)
        self.anchor_embed = nn.Sequential(
            nn.Linear(64 * config.knots, config.width), nn.ReLU(), nn.Linear(config.width, config.width)
        )
        self.schedule = NoiseSchedule()

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(modes, knots, 2)."""
        return (self.config.modes, self.config.knots, 2)

    def plan_of(self, sampler: str, steps: int) -> SamplerPlan:
        """See `truncated_plan`."""
        return truncated_plan(sampler, steps)

    def reasoning_embedding(self, batch: PlannerBatch) -> Tensor | None:
        """See `Context.reasoning_embedding`."""
        return self.reader.context.reasoning_embedding(batch.reasoning)

    def _pass(
        self, sample: Tensor, t: Tensor, memory: SceneMemory, anchored: tuple[Tensor, Tensor] | None
    ) -> list[Prediction]:
        points = self.denormalise(sample.clamp(-1.0, 1.0))
        base, identity = anchored if anchored is not None else (None, None)
        return self.reader.denoiser.predict(points, t, memory, self.unit, base, identity)

    def _anchored(self) -> tuple[Tensor, Tensor] | None:
        # With the residual on noisy points the released head knows the anchor by them alone.
        if self.config.residual == "points":
            return None
        anchors = self.get_buffer("anchors").unsqueeze(0)
        return anchors, self.anchor_embed(sinusoid(anchors))

    def remember(self, batch: PlannerBatch) -> SceneMemory:
        """What every pass reads; once a frame."""
        return self.reader.remember(batch)

    def forward(self, batch: PlannerBatch, generator: torch.Generator | None = None) -> list[Prediction]:
        """A training pass: one t in [0, 50) a sample, shared by its anchors; independent noise a coordinate.

        A share of passes (``unroll``) goes one step of the sampler on, to a lower t, before it is supervised: later
        passes of `denoise` begin from such samples, and a network that has only seen noisy anchors is led astray.
        """
        b = batch.ego.shape[0]
        anchors = self.get_buffer("anchors")
        clean = self.normalise(anchors).unsqueeze(0).expand(b, -1, -1, -1)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        t = torch.randint(0, TRAIN_TRUNCATION, (b,), generator=generator).to(clean.device)
        noisy = self.schedule.add_noise_batch(clean, noise, t)
        memory = self.remember(batch)
        if self.config.unroll > 0.0 and float(torch.rand((), generator=generator)) < self.config.unroll:
            with torch.no_grad():
                said = self.normalise(self._pass(noisy, t, memory, self._anchored())[-1].waypoints)
                lower = (torch.rand(b, generator=generator).to(clean.device) * t).long()
                noisy, t = self.schedule.step_batch(said, t, noisy, lower), lower
        return self._pass(noisy, t, memory, self._anchored())

    def propose(self, batch: PlannerBatch, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """See `PlannerNetwork.propose`."""
        return self.denoise(self.remember(batch), noise, plan)

    def denoise(self, memory: SceneMemory, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """The passes of a plan over a remembered scene; noise (b, modes, knots, 2)."""
        clean = self.normalise(self.get_buffer("anchors")).unsqueeze(0)
        sample = self.schedule.add_noise(clean.expand_as(noise), noise, plan.start)
        anchored = self._anchored()
        prediction: Prediction | None = None
        for t, after in plan.passes:
            label = torch.full((noise.shape[0],), float(t), device=noise.device)
            prediction = self._pass(sample, label, memory, anchored)[-1]
            sample = self.schedule.step(self.normalise(prediction.waypoints), t, sample, after)
        assert prediction is not None
        return careful(prediction)


class VanillaDiffusion(PlannerNetwork):
    """Plain diffusion: the recorded future is noised over the whole schedule; futures grow out of pure noise.

    It has no scores of its own: the confidence of a future is its share of a softmax over minus its mean distance to
    the others, so that the most typical one (the medoid) is chosen.
    """

    default_steps = 100
    noises_target = True
    scores = False

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__(config, anchors)
        self.reader = SceneReader(config)
        self.schedule = NoiseSchedule()

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(modes, knots, 2)."""
        return (self.config.modes, self.config.knots, 2)

    def plan_of(self, sampler: str, steps: int) -> SamplerPlan:
        """See `vanilla_plan`; it has one sampler."""
        del sampler
        return vanilla_plan(steps)

    def _pass(self, sample: Tensor, t: Tensor, memory: SceneMemory) -> list[Prediction]:
        points = self.denormalise(sample.clamp(-1.0, 1.0))
        base = self.get_buffer("offset").reshape(1, 1, -1, 2)
        return self.reader.denoiser.predict(points, t, memory, 10.0 * self.unit, base, None)

    def forward(self, batch: PlannerBatch, generator: torch.Generator | None, target: Tensor) -> list[Prediction]:
        """A training pass: ``modes`` noisy copies of the recorded waypoints (b, knots, 2), one t a sample."""
        clean = self.normalise(target).unsqueeze(1).expand(-1, self.config.modes, -1, -1)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        t = torch.randint(0, TRAIN_STEPS, (clean.shape[0],), generator=generator).to(clean.device)
        return self._pass(self.schedule.add_noise_batch(clean, noise, t), t, self.reader.remember(batch))

    def propose(self, batch: PlannerBatch, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """See `PlannerNetwork.propose`."""
        memory = self.reader.remember(batch)
        sample = noise
        prediction: Prediction | None = None
        for t, after in plan.passes:
            label = torch.full((noise.shape[0],), float(t), device=noise.device)
            prediction = self._pass(sample, label, memory)[-1]
            sample = self.schedule.step(self.normalise(prediction.waypoints), t, sample, after)
        assert prediction is not None
        w = prediction.waypoints
        apart = (w.unsqueeze(1) - w.unsqueeze(2)).norm(dim=-1).mean((-1, -2))
        return prediction._replace(logits=-apart)
