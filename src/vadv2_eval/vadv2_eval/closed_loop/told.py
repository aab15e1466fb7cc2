"""What reasoning is worth while driving: the planner is told its own, none, another scene's, or the truth."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from vadv2_core.errors import InputError
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.tokens import SceneTokens
from vadv2_core.vehicle import VehicleConfig

REASONINGS = ("on", "off", "shuffled", "true")
"""The reasoner's own embedding; none (the learned null); its embedding of a scene of another drive, drawn anew every
`HOLD` frames; its state once it has said what the narrator says (`vadv2_eval.scenes.seen.true_embedding`)."""
HOLD = 10
"""Frames that a shuffled reasoning is kept: one that changed at every frame would shake the plan by that alone."""


class Teller(Protocol):
    """Who tells the planner what to think of a scene."""

    def tell(self, scene: Scene, tokens: SceneTokens) -> ReasoningEmbedding:
        """The embedding for a scene that the encoder saw as these tokens."""
        ...


class ShuffledTeller:
    """The model's own embeddings of other scenes.

    Args:
        folder: ``embeddings`` of an `eval scenes` run with the same model, one file a drive below its town.
        reasoner: Of the stack; says what an embedding comes to.
        town: Of this drive; its own scenes are not drawn.
        seed: Of the draw.

    Raises:
        InputError: for a folder without embeddings of another town, or with those of several models.
    """

    def __init__(self, folder: Path, reasoner: Any, town: str, seed: int) -> None:
        self._bank = _bank(folder, Path(town).name)
        self._reasoner = reasoner
        self._rng = np.random.default_rng(seed)
        self._frame = 0
        self._kept = self._bank[0]

    def tell(self, scene: Scene, tokens: SceneTokens) -> ReasoningEmbedding:
        """See `Teller.tell`."""
        if self._frame % HOLD == 0:
            self._kept = self._bank[int(self._rng.integers(len(self._bank)))]
        self._frame += 1
        told: ReasoningEmbedding = self._reasoner.opinion(self._kept, tokens.stamp)
        return told


@lru_cache(maxsize=4)
def _bank(folder: Path, town: str) -> NDArray[np.float32]:
    paths = [p for p in sorted(folder.rglob("*.safetensors")) if p.parent.name != town]
    if len({p.parent.parent for p in paths}) > 1:
        raise InputError("holds embeddings of several models", str(folder), "one of its folders")
    if not paths:
        raise InputError(f"holds no embeddings of another town than {town}", str(folder), "what `eval scenes` leaves")
    return np.concatenate([load(path.read_bytes())["said"] for path in paths])


class TrueTeller:
    """The reasoner's state after the narrator's words.

    Args:
        reasoner: Of the stack.
        renderer: Says what the cameras see.
        road: Of the town.
        vehicle: The ego.
    """

    def __init__(self, reasoner: Any, renderer: Any, road: RoadMap, vehicle: VehicleConfig) -> None:
        from vadv2_sim.drivers import make_scene_driver

        self._reasoner, self._renderer, self._road = reasoner, renderer, road
        self._expert: Any = make_scene_driver("expert", road, vehicle)

    def tell(self, scene: Scene, tokens: SceneTokens) -> ReasoningEmbedding:
        """See `Teller.tell`."""
        from vadv2_eval.scenes.seen import true_embedding, true_opinion

        self._expert.plan(scene)
        seen = self._renderer.visibility(scene)
        visible = seen.visible_agents(), seen.visible_signals()
        vector = true_embedding(self._reasoner, tokens, scene, self._expert.last_decision, self._road, visible)
        return true_opinion(self._reasoner, vector, tokens.stamp, self._expert.last_decision)
