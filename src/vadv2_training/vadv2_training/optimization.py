"""How a module is fitted: AdamW, warm-up and cosine, clipping, an exponential moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vadv2_core.config import parameter, validate


@dataclass(frozen=True, slots=True)
class OptimizationConfig:
    """One stage of training."""

    steps: int = parameter(2000, "Optimiser steps.", minimum=1, maximum=100_000_000)
    batch_size: int = parameter(16, "Samples a step and process.", minimum=1, maximum=65536)
    learning_rate: float = parameter(6e-4, "Peak learning rate.", minimum=1e-8, maximum=1.0)
    final_learning_rate: float = parameter(1e-5, "Where the cosine ends.", minimum=0.0, maximum=1.0)
    warmup_steps: int = parameter(100, "Linear warm-up.", minimum=0, maximum=1_000_000)
    weight_decay: float = parameter(1e-2, "Of matrices; biases and norms have none.", minimum=0.0, maximum=1.0)
    clip_norm: float = parameter(1.0, "Largest norm of a step's gradient.", minimum=1e-6, maximum=1e6)
    ema_decay: float = parameter(
        0.995, "Decay a step of the averaged weights; 0 keeps none.", minimum=0.0, maximum=0.99999
    )
    precision: str = parameter("bf16", "Of the forward pass.", choices=("no", "bf16", "fp16"))
    seed: int = parameter(1, "Of weights, order, noise and dropout.", minimum=0, maximum=2**31 - 1)
    save_every: int = parameter(200, "Steps between checkpoints of the run.", minimum=1, maximum=1_000_000)

    def __post_init__(self) -> None:
        validate(self, "optimization")


def learning_rate_at(step: int, config: OptimizationConfig) -> float:
    """Linear warm-up from 0, then a half cosine to the final rate at ``config.steps``."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    span = max(config.steps - config.warmup_steps, 1)
    progress = min((step - config.warmup_steps) / span, 1.0)
    low, high = config.final_learning_rate, config.learning_rate
    return low + 0.5 * (high - low) * (1.0 + math.cos(math.pi * progress))


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimizationConfig) -> torch.optim.AdamW:
    """AdamW over what trains; weight decay on matrices only."""
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate)


class WeightAverage:
    """Exponential moving average of a module's trained weights, in float32.

    The decay grows with the step, ``min(decay, (1 + n) / (10 + n))``, so that early weights are forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.tensors = {n: p.detach().float().clone() for n, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move a step toward the module's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.named_parameters():
            if name in self.tensors:
                self.tensors[name].lerp_(value.detach().float(), 1.0 - decay)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Put the averaged weights into a module."""
        for name, value in module.named_parameters():
            if name in self.tensors:
                value.copy_(self.tensors[name].to(value.dtype))

    def state(self) -> dict[str, Tensor]:
        """The averaged weights by name."""
        return self.tensors
