"""Teaching the reasoner to speak: perceived slots and the narrator's words as a training task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.language.commands import command_text
from vadv2_core.language.sentences import in_usual_words
from vadv2_core.meta_action import MetaAction
from vadv2_core.taxonomy import Cause, DrivingAction, LateralAction, LongitudinalAction
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.liveliness import worth_using
from vadv2_training.perceived_frames import ego_states, read_slots
from vadv2_training.planned_frames import read_planned
from vadv2_vlm.grounding import held_to, told_who_goes_on
from vadv2_vlm.model import TextBatch, VlmModel, stack_texts
from vadv2_vlm.perceived import perceived
from vadv2_vlm.samples import ReasoningTruth, training_text
from vadv2_vlm.slots import SceneSlots, TokenBatch, token_batch

PAST_INTENTS = 2
"""Earlier intents a sample may be conditioned on."""
PAST_SPACING = 1.0
"""Seconds between reasonings on the road; a past that is nearer would be copied instead of looking."""
RAREST = 4.0
"""Most that the words of a rare cause count beside those of the commonest."""
REPHRASED, PLANNED, ROUTELESS = 0.5, 0.7, 0.25
"""Shares of the samples whose command is given in other words alone, its action unknown, of those that are told the
plan in force, and of those that are not shown the route, which a vehicle may not have."""


def rarities(truths: Sequence[ReasoningTruth]) -> dict[Cause, float]:
    """What the words of a cause count: the rarer, the more, as the root of how rare it is; at most `RAREST`.

    Every cause counts the same where a reasoner is judged by its mean over causes; half of the frames are of two.
    """
    counts = Counter(t.decision.cause for t in truths if t.decision is not None)
    common = max(counts.values(), default=1)
    return {cause: min((common / count) ** 0.5, RAREST) for cause, count in counts.items()}


class LanguageModule(nn.Module):
    """The reasoner with its losses: ``forward((slots, texts))`` gives language, flags, action and ``total``."""

    def __init__(self, model: VlmModel, flag_weight: float = 2.0, action_weight: float = 0.5) -> None:
        super().__init__()
        self.model = model
        self.flag_weight, self.action_weight = flag_weight, action_weight

    def forward(self, batch: tuple[TokenBatch, TextBatch]) -> dict[str, Tensor]:
        """Losses by name."""
        losses = self.model(*batch).losses
        total = losses["language"] + self.flag_weight * losses["flags"] + self.action_weight * losses["action"]
        return {**losses, "total": total}


def truth_of(
    said: dict[str, Any],
    decision: tuple[int, int, int],
    ego: EgoState,
    past: tuple[str, ...],
    planned: MetaAction | None = None,
) -> ReasoningTruth:
    """What there is to learn of a frame.

    A decision whose cause the cameras do not show is left out: the model could only guess it.
    """
    command = DrivingCommand(ego.stamp, said["command"], DrivingAction(said["action"]), said["distance"])
    known = said["grounded"] and all(decision)
    made = Decision(LongitudinalAction(decision[0]), LateralAction(decision[1]), Cause(decision[2])) if known else None
    return ReasoningTruth(
        command, ego, made, tuple(said["flags"]), said["intent"] if known else "", said["scene"], said["trace"], past,
        planned,
    )  # fmt: skip


def worded(said: dict[str, Any], draw: np.random.Generator, slots: SceneSlots) -> dict[str, Any]:
    """The narrator's texts as a sample learns them, in usual words: they are learned faster, and none other are spoken.

    Scene and trace are held to what the slots bear out; the command is often given in other words alone.
    """
    seen = perceived(slots)
    out = dict(said) | {"intent": in_usual_words(said["intent"])}
    out |= {"scene": told_who_goes_on(held_to(said["scene"], seen), seen), "trace": held_to(said["trace"], seen)}
    action = DrivingAction(said["action"])
    if draw.random() < REPHRASED and action is not DrivingAction.UNKNOWN:
        out |= {"command": command_text(action, 0.0, draw), "action": int(DrivingAction.UNKNOWN)}
    return out


def earlier_intents(texts: list[dict[str, Any]], stamps: Tensor, index: int) -> tuple[str, ...]:
    """Intents of `PAST_SPACING` and twice that before a frame, oldest first, as far as the shard goes back."""
    said = []
    for back in range(PAST_INTENTS, 0, -1):
        age = (int(stamps[index]) - stamps[:index].long()).double() * 1e-9
        near = (age - back * PAST_SPACING).abs()
        if len(near) and float(near.min()) < 0.5 * PAST_SPACING:
            intent = texts[int(near.argmin())]["intent"]
            said += [in_usual_words(intent)] if intent else []
    return tuple(said)


class LanguageTask:
    """Frames of a store with slots as a training task.

    Args:
        module: What is fitted.
        store: Frames with the narrator's texts.
        slots: Folder of `write_slots`.
        share: Every so many frames are used (neighbours say the same).
        planned: Folder of `write_planned`; without one no sample is told a plan.
        lively: Leave out what `vadv2_training.liveliness` does.

    Attributes:
        slots: Of every sample.
        truths: Likewise.
    """

    def __init__(
        self,
        module: LanguageModule,
        store: FrameStore,
        slots: Path,
        share: int = 1,
        *,
        planned: Path | None = None,
        lively: bool = False,
    ) -> None:
        self.module: nn.Module = module
        self._model = module.model
        self.slots: list[SceneSlots] = []
        self.truths: list[ReasoningTruth] = []
        self._texts: dict[int, TextBatch] = {}
        for shard, name in enumerate(store.names):
            window = Window(shard, 0, store.count(shard))
            rows = store.read(window, ("stamps", "pose", "aux", "velocity", "acceleration", "decision"))
            texts, shown, states = store.texts(window), read_slots(slots, name), ego_states(rows)
            plans = None if planned is None else read_planned(planned, name)
            used = worth_using(store, shard) if lively else np.ones(window.count, dtype=bool)
            for i in np.flatnonzero(used)[::share].tolist():
                draw = np.random.default_rng([shard, i])
                # Half of the samples come without a past, as the first frame of a drive does.
                past = earlier_intents(texts, rows["stamps"], i) if draw.random() < 0.5 else ()
                decision = tuple(int(v) for v in rows["decision"][i])
                said = worded(texts[i], draw, shown[i])
                plan = plans[i] if plans is not None and draw.random() < PLANNED else None
                routeless = draw.random() < ROUTELESS
                self.slots.append(replace(shown[i], way=np.zeros_like(shown[i].way)) if routeless else shown[i])
                self.truths.append(truth_of(said, (decision[0], decision[1], decision[2]), states[i], past, plan))

        self._rarities = rarities(self.truths)

    def __len__(self) -> int:
        return len(self.slots)

    def batch(self, indices: Tensor) -> tuple[TokenBatch, TextBatch]:
        """Slots and texts of these frames."""
        picked = [int(i) for i in indices]
        return token_batch([self.slots[i] for i in picked]), stack_texts([self._text(i) for i in picked], 0)

    def _text(self, index: int) -> TextBatch:
        if index not in self._texts:
            truth = self.truths[index]
            rarity = 1.0 if truth.decision is None else self._rarities[truth.decision.cause]
            model = self._model
            self._texts[index] = training_text(model.language, model.slots.count, truth, rarity=rarity)
        return self._texts[index]
