"""Questions about a frame as a training task: the slots, the question, and its answer to learn (DriveLM's graph)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vadv2_core.command import DrivingCommand
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import DrivingAction
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.language_task import LanguageModule
from vadv2_training.perceived_frames import ego_states, read_slots
from vadv2_vlm import prompt
from vadv2_vlm.language_model import LanguageModel
from vadv2_vlm.model import IGNORED, TextBatch, VlmModel, stack_texts
from vadv2_vlm.samples import ReasoningTruth, training_text
from vadv2_vlm.slots import SceneSlots, TokenBatch, token_batch

QUESTION_HEADER, ANSWER_HEADER = "question:", "answer:"


def question_text(language: LanguageModel, slots: int, truth: ReasoningTruth, question: str, answer: str) -> TextBatch:
    """The prompt of a frame, a question after it, and the answer to learn.

    The prompt is the road's, so that asking does not change what a frame's embedding means.
    """
    told = replace(truth, decision=None, flags=(None,) * len(truth.flags))
    base = training_text(language, slots, told)
    asked = [*language.encode(f"{prompt.LINE_END}{QUESTION_HEADER} {question}{prompt.LINE_END}{ANSWER_HEADER}")]
    said = [*language.encode(f" {answer}"), *language.encode(prompt.LINE_END)]
    ids = torch.cat([base.ids, torch.tensor([asked + said])], dim=1)
    labels = torch.cat([base.labels, torch.tensor([[IGNORED] * len(asked) + said])], dim=1)
    return replace(base, ids=ids, mask=torch.ones_like(ids), labels=labels, weights=(labels != IGNORED).float())


class QuestionTask:
    """Every question of a store's frames.

    Args:
        model: What is fitted.
        store: Frames whose texts hold questions.
        slots: Folder of `perceived_frames.write_slots`.

    Raises:
        InputError: for a store without a question.
    """

    def __init__(self, model: VlmModel, store: FrameStore, slots: Path) -> None:
        self.module: nn.Module = LanguageModule(model)
        self._model = model
        self._slots: list[SceneSlots] = []
        self._asked: list[tuple[int, ReasoningTruth, str, str]] = []
        for shard, name in enumerate(store.names):
            window = Window(shard, 0, store.count(shard))
            rows = store.read(window, ("stamps", "pose", "aux", "velocity", "acceleration"))
            states, perceived = ego_states(rows), read_slots(slots, name)
            for index, said in enumerate(store.texts(window)):
                command = DrivingCommand(
                    states[index].stamp, said["command"], DrivingAction(said["action"]), said["distance"]
                )
                truth = ReasoningTruth(command, states[index], None)
                for question, answer in said.get("questions", ()):
                    self._asked.append((len(self._slots), truth, question, answer))
                self._slots.append(perceived[index])
        if not self._asked:
            raise InputError("holds no questions", str(store.directory), "a store of DriveLM's frames")

    def __len__(self) -> int:
        return len(self._asked)

    def batch(self, indices: Tensor) -> tuple[TokenBatch, TextBatch]:
        """Slots and texts of these questions."""
        picked = [self._asked[int(i)] for i in indices]
        texts = [
            question_text(self._model.language, self._model.slots.count, truth, question, answer)
            for _, truth, question, answer in picked
        ]
        return token_batch([self._slots[place] for place, *_ in picked]), stack_texts(texts, 0)
