"""From nothing to a model directory: data, features, perception and planner, the reasoner, both together.

Every step leaves a mark when it is done and can be interrupted at any moment; running the recipe again goes on.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vadv2_core.config import parameter, to_mapping, validate
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
    start: str = parameter(
        "", "Directory of a model whose weights are gone on with, in place of the step driving; empty for none."
    )
    window: int = parameter(4, "Frames in a row a sample is made of.", minimum=1, maximum=64)
    architecture: str = parameter("tiny", "Sizes of the encoder and the planner.", choices=("tiny", "base", "mobile"))
    corrections: int = parameter(
        2, "Rounds in which the model drives and the expert says what it should have done.", minimum=0, maximum=20
    )
    correction_drives: int = parameter(24, "Drives of such a round.", minimum=1, maximum=100_000)
    workers: int = parameter(2, "Processes that record and render.", minimum=1, maximum=256)
    seed: int = parameter(1, "Of drives, weights and order.", minimum=0, maximum=2**31 - 1)
    driving: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=1800, batch_size=4, learning_rate=6e-4, warmup_steps=180)
    )
    perception: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=4000, batch_size=4, learning_rate=6e-4, warmup_steps=100)
    )
    planning: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=4000, batch_size=32, learning_rate=1e-3, warmup_steps=100)
    )
    decision: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=3000, batch_size=128, learning_rate=1e-3, warmup_steps=100)
    )
    language: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=4000, batch_size=16, learning_rate=8e-4, warmup_steps=200)
    )
    joint: OptimizationConfig = field(
        default_factory=lambda: OptimizationConfig(steps=1000, batch_size=32, learning_rate=2e-4, warmup_steps=100)
    )

    def __post_init__(self) -> None:
        validate(self, "recipe")


RECIPES: dict[str, Recipe] = {
    "tiny-cpu": Recipe(),
    "tiny-gpu": Recipe(
        name="tiny-gpu",
        hours=40.0,
        correction_drives=400,
        variants=2,
        workers=16,
        driving=OptimizationConfig(steps=60_000, batch_size=64, learning_rate=1e-3, warmup_steps=1000),
        perception=OptimizationConfig(steps=60_000, batch_size=64, learning_rate=1e-3, warmup_steps=500),
        planning=OptimizationConfig(steps=60_000, batch_size=256, learning_rate=1e-3, warmup_steps=500),
        decision=OptimizationConfig(steps=20_000, batch_size=512, learning_rate=1e-3, warmup_steps=500),
        language=OptimizationConfig(steps=40_000, batch_size=128, learning_rate=1e-3, warmup_steps=1000),
        joint=OptimizationConfig(steps=20_000, batch_size=256, learning_rate=3e-4, warmup_steps=500),
    ),
}
"""Recipes by name."""


def step_facts(recipe: Recipe, step: str) -> dict[str, Any]:
    """What of a recipe decides what a step leaves: its own numbers and those of the steps before it.

    A part of a step is named by the step and a number, as in ``correct 2``.
    """
    values = to_mapping(recipe)
    facts: dict[str, Any] = {}
    for name, fields in _DECIDES.items():
        facts |= {field_: values[field_] for field_ in fields}
        if name == step.split()[0]:
            return facts
    raise KeyError(step)


_DECIDES: dict[str, tuple[str, ...]] = {
    "record": ("hours", "seed"),
    "cache": ("variants", "architecture"),
    "driving": ("start", "window", "driving"),
    "perception": ("perception",),
    "planning": ("planning",),
    "correct": ("corrections", "correction_drives"),
    "perceive": (),
    "language": ("decision", "language"),
    "embed": (),
    "joint": ("joint",),
}
"""Fields of a recipe that each step reads first; how many processes do the work changes nothing."""

STEPS = tuple(_DECIDES)
"""Steps of a recipe, in order."""


class Journal:
    """Which steps of a run are done, from what, and what they cost; one JSON file, written whole."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe
        self.entries: dict[str, dict[str, Any]] = read_json(path) if path.exists() else {}

    def done(self, step: str) -> bool:
        """Whether a step was finished by an earlier run from the same numbers."""
        return bool(self.entries.get(step, {}).get("facts") == step_facts(self.recipe, step))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and mark it done."""
        wall, cpu = time.monotonic(), _cpu_seconds()
        yield
        costs = {"wall_s": round(time.monotonic() - wall, 1), "cpu_s": round(_cpu_seconds() - cpu, 1)}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.entries[name] = {"facts": step_facts(self.recipe, name), **costs, "memory_mb": round(memory)}
        write_json_atomic(self.path, self.entries)


def _cpu_seconds() -> float:
    """Of this process and its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
