"""From nothing to a model directory: data, features, perception and planner, the reasoner, both together.

Every step leaves a mark when it is done and can be interrupted at any moment; running the recipe again goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadv2_core.config import parameter, validate
from vadv2_core.files import read_json, write_json_atomic
from vadv2_training.optimization import OptimizationConfig

TRAINING_TOWNS = ("town_a", "town_b", "town_c", "town_d")

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called with the step's name, how much is done, of how much, and the losses."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make a model; the numbers that decide what comes out."""

    name: str = parameter("tiny-cpu", "Names the model it makes.")
    hours: float = parameter(2.0, "Hours of expert driving recorded.", unit="h", minimum=0.01, maximum=1000.0)
    variants: int = parameter(1, "Renderings of every drive.", minimum=1, maximum=100)
    window: int = parameter(4, "Frames in a row a sample is made of.", minimum=1, maximum=64)
    architecture: str = parameter("tiny", "Sizes of the encoder and the planner.", choices=("tiny", "base", "mobile"))
    workers: int = parameter(2, "Processes that record and render.", minimum=1, maximum=256)
    seed: int = parameter(1, "Of drives, weights and order.", minimum=0, maximum=2**31 - 1)
    driving: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=6000, batch_size=4, learning_rate=6e-4, warmup_steps=200)
    )
    language: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=4000, batch_size=16, learning_rate=8e-4, warmup_steps=200)
    )
    joint: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=2000, batch_size=4, learning_rate=2e-4, warmup_steps=100)
    )

    def __post_init__(self) -> None:
        validate(self, "recipe")


RECIPES: dict[str, Recipe] = {
    "tiny-cpu": Recipe(),
    "tiny-gpu": Recipe(
        name="tiny-gpu",
        hours=40.0,
        variants=2,
        workers=16,
        driving=OptimizationConfig(steps=60_000, batch_size=64, learning_rate=1e-3, warmup_steps=1000),
        language=OptimizationConfig(steps=40_000, batch_size=128, learning_rate=1e-3, warmup_steps=1000),
        joint=OptimizationConfig(steps=20_000, batch_size=64, learning_rate=3e-4, warmup_steps=500),
    ),
}
"""Recipes by name."""


class Journal:
    """Which steps of a run are done, and what they cost; one JSON file, written whole."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.entries: dict[str, dict[str, float]] = {}
        if path.exists():
            told = read_json(path)
            if told.get("facts") == facts:
                self.entries = told["steps"]
        self._facts = facts

    def done(self, step: str) -> bool:
        """Whether a step was finished by an earlier run."""
        return step in self.entries

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, float]]:
        """Time a step and mark it done; what the caller puts into the mapping is kept with it."""
        facts: dict[str, float] = {}
        wall, cpu = time.monotonic(), time.process_time()
        yield facts
        facts |= {"wall_s": round(time.monotonic() - wall, 1), "cpu_s": round(time.process_time() - cpu, 1)}
        self.entries[name] = facts
        write_json_atomic(self.path, {"facts": self._facts, "steps": self.entries})
