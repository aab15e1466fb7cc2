"""The noise schedule and its two samplers. Nothing else in the stack knows a beta.

Denoising diffusion implicit models (Song et al. 2021) with eta = 0, scaled-linear betas from 1e-4 to 0.02 over 1000
steps, prediction of the clean sample, clipping to [-1, 1], "leading" spacing and a final alpha of one: what the
``diffusers`` DDIMScheduler does under the settings of DiffusionDrive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array

TRAIN_STEPS = 1000
"""Steps of the whole schedule."""
TRAIN_TRUNCATION = 50
"""Anchors are noised at t in [0, 50) in training (DiffusionDrive, NAVSIM)."""
SAMPLE_SPAN = 20
"""Sampling passes are spread over t in [0, 20)."""
RELEASED_START = 8
"""The released code noises anchors at t = 8, whatever its first pass is labelled."""

TensorOrArray = TypeVar("TensorOrArray", Tensor, Array)


def _alphas_cumprod() -> Array:
    # In float32, as the networks that this schedule comes from were trained with it.
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, TRAIN_STEPS, dtype=torch.float32) ** 2
    return np.asarray(torch.cumprod(1.0 - betas, dim=0).double().numpy())


class NoiseSchedule:
    """Forward noising and the DDIM step, on tensors or arrays of any shape, normalised to [-1, 1].

    `set_timesteps` chooses how many inference steps the whole schedule is walked in; `step` then goes from ``t`` to
    ``t - TRAIN_STEPS // n`` unless it is told where to go.
    """

    def __init__(self) -> None:
        self.alphas_cumprod = _alphas_cumprod()
        self._alphas = tuple(float(a) for a in self.alphas_cumprod)
        self.timesteps: tuple[int, ...] = ()
        self._stride = 1
        self.set_timesteps(TRAIN_STEPS)

    def set_timesteps(self, steps: int) -> None:
        """Walk the whole schedule in ``steps`` (1 .. 1000) passes, "leading" spacing: 100 -> 990, 980, ..., 0."""
        if not 1 <= steps <= TRAIN_STEPS:
            raise InputError(f"{steps} inference steps", "noise schedule", f"1 .. {TRAIN_STEPS}")
        self._stride = TRAIN_STEPS // steps
        self.timesteps = tuple(int(t) for t in (np.arange(steps) * self._stride)[::-1])

    def alpha(self, t: int) -> float:
        """Cumulated alpha at ``t``; one before the first step."""
        return 1.0 if t < 0 else self._alphas[t]

    def add_noise(self, clean: TensorOrArray, noise: TensorOrArray, t: int) -> TensorOrArray:
        """``sqrt(alpha_t) clean + sqrt(1 - alpha_t) noise`` for one t."""
        a = self.alpha(t)
        return clean * math.sqrt(a) + noise * math.sqrt(1.0 - a)

    def add_noise_batch(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """`add_noise` with one t a sample: clean and noise (B, ...), t (B,) int64."""
        a = torch.as_tensor(self.alphas_cumprod, dtype=clean.dtype, device=clean.device)[t]
        a = a.reshape(-1, *[1] * (clean.ndim - 1))
        return a.sqrt() * clean + (1.0 - a).sqrt() * noise

    def step(self, clean: TensorOrArray, t: int, sample: TensorOrArray, previous: int | None = None) -> TensorOrArray:
        """One DDIM step.

        Args:
            clean: The network's clean sample at ``t``. It is clipped to [-1, 1]; the noise that it implies is taken
                before clipping.
            t: The timestep of ``sample``.
            sample: The noisy sample.
            previous: The timestep to go to; -1 for the clean end. By default one stride of `set_timesteps`.
        """
        a = self.alpha(t)
        b = self.alpha(t - self._stride if previous is None else previous)
        noise = (sample - clean * math.sqrt(a)) * (1.0 / math.sqrt(1.0 - a))
        return clean.clip(-1.0, 1.0) * math.sqrt(b) + noise * math.sqrt(1.0 - b)

    def step_batch(self, clean: Tensor, t: Tensor, sample: Tensor, previous: Tensor) -> Tensor:
        """`step` with one t and one previous, both >= 0, a sample: clean and sample (b, ...), t and previous (b,)."""
        alphas = torch.as_tensor(self.alphas_cumprod, dtype=clean.dtype, device=clean.device)
        shape = (-1, *[1] * (clean.ndim - 1))
        a, b = alphas[t].reshape(shape), alphas[previous].reshape(shape)
        noise = (sample - a.sqrt() * clean) / (1.0 - a).sqrt()
        return b.sqrt() * clean.clamp(-1.0, 1.0) + (1.0 - b).sqrt() * noise


@dataclass(frozen=True, slots=True)
class SamplerPlan:
    """The passes of one sampler: where the anchors are noised, and (t, where the step goes) of every pass."""

    start: int
    passes: tuple[tuple[int, int], ...]


def truncated_plan(sampler: str, steps: int) -> SamplerPlan:
    """The passes of the truncated sampler.

    ``as_released`` does what DiffusionDrive's released code does: anchors noised at t = 8, passes labelled
    ``round(i * 20 / steps)`` from the last to 0, and each step going only from t to t - 1, because that code
    configures 1000 inference steps. ``as_intended`` noises at the first pass's own t and steps to the next pass's t.
    The last step of both ends clean. More than 20 passes repeat timesteps.

    Raises:
        InputError: for another sampler or steps outside 1 .. 100.
    """
    if not 1 <= steps <= 100:
        raise InputError(f"{steps} denoising steps", "sampler", "1 .. 100")
    labels = [int(v) for v in np.round(np.arange(steps) * (SAMPLE_SPAN / steps))[::-1]]
    if sampler == "as_released":
        return SamplerPlan(RELEASED_START, tuple((t, t - 1) for t in labels))
    if sampler == "as_intended":
        return SamplerPlan(labels[0], tuple(zip(labels, [*labels[1:], -1], strict=True)))
    raise InputError(f"sampler {sampler!r}", "sampler", "as_intended or as_released")


def vanilla_plan(steps: int) -> SamplerPlan:
    """The passes of plain diffusion: from pure noise at the schedule's end through ``steps`` leading timesteps."""
    schedule = NoiseSchedule()
    schedule.set_timesteps(steps)
    stride = TRAIN_STEPS // steps
    return SamplerPlan(TRAIN_STEPS - 1, tuple((t, t - stride) for t in schedule.timesteps))
