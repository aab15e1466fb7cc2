"""The reasoner: scene tokens and a command in, an embedding and a reason in words out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from vadv2_core.camera import CameraFrame
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.meta_action import MetaAction
from vadv2_core.reasoning import Reasoning, ReasoningEmbedding
from vadv2_core.route_ahead import route_ahead
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import EdgeCaseFlag
from vadv2_core.tokens import SceneTokens
from vadv2_vlm import prompt
from vadv2_vlm.config import SlotConfig, VlmConfig
from vadv2_vlm.decoding import AnswerDecoder, Budget, Grounds
from vadv2_vlm.language_model import Continuation, load_language_model
from vadv2_vlm.lora import load_adapter
from vadv2_vlm.model import VlmModel, flag_query_ids, normalise, yes_log_odds
from vadv2_vlm.parser import whole_sentences
from vadv2_vlm.perceived import SURE, Perceived, perceived
from vadv2_vlm.slots import SceneSlots, scene_slots, token_batch
from vadv2_vlm.store import is_checkpoint, load_vlm
from vadv2_vlm.tiny import untrained_directory


class Reasoner:
    """Says what is there, what to do and why.

    The **reasoning embedding** is the hidden state of the language model's last layer (after its final norm) over the
    last token of the prefill (``<reason>`` where the tokenizer knows it), scaled to root mean square 1. It sees the
    scene, the command and the ego state; the words, which also see the ego's own earlier intents, go on from it.

    Args:
        directory: A VLM checkpoint of this project, or any image-text-to-text model's directory (its token projector is
            then untrained); None for the tiny model with weights from the config's seed.
        config: How it runs.

    Raises:
        InputError: for a directory that does not load.
    """

    def __init__(self, directory: Path | None, config: VlmConfig) -> None:
        self._config = config
        self._model: VlmModel | None = None
        self._encoder_hash = ""
        self._decides = False
        if directory is not None and not directory.is_dir():
            raise InputError("no such directory", str(directory), "a model directory")
        if directory is None and config.language_model:
            directory = Path(config.language_model)  # A hub name is a path that is not there.
        if directory is not None and is_checkpoint(directory):
            loaded = load_vlm(directory, precision=config.precision, device=config.device, adapter=config.adapter)
            self._model, self.model_id, self._encoder_hash = loaded.model.eval(), loaded.model_id, loaded.encoder_hash
            self.language = loaded.model.language
            self._decides = not self.model_id.endswith("-untrained")
        else:
            source = directory or untrained_directory(Path(config.cache), config.seed)
            self.language = load_language_model(str(source), precision=config.precision, device=config.device)
            if config.adapter:
                load_adapter(self.language.model, Path(config.adapter))
            self.model_id = f"vlm-{source.name.removesuffix('-untrained')}-untrained"
        self.language.freeze(config.precision)
        self.decoder = AnswerDecoder(self.language, grammar=config.sentences != "free")
        self._flag_ids, self._flag_ends = flag_query_ids(self.language)

    @property
    def embedding_size(self) -> int:
        """Length of a reasoning embedding."""
        return self.language.hidden_size

    @property
    def slots(self) -> SlotConfig | None:
        """Sizes of the token door; None for an untrained one before its first frame, whose sizes it takes."""
        return None if self._model is None else self._model.slots

    def own_parts(self) -> tuple[nn.Module, ...]:
        """The modules beside the language model: projector and heads; none before an untrained door's first frame."""
        return () if self._model is None else tuple(self._model.own_parts().values())

    def describe(self) -> dict[str, str | int | float]:
        """What this model is, in plain values."""
        language = self.language
        text = {p.data_ptr(): p.numel() for part in (language.decoder, language.head) for p in part.parameters()}
        return {
            "model_id": self.model_id,
            "class": type(language.model).__name__,
            "source": language.source,
            "licence": language.licence,
            "parameters": sum(p.numel() for p in language.model.parameters()),
            "parameters_text": sum(text.values()),
            "embedding_size": self.embedding_size,
            "vocabulary": len(language.tokenizer),
            "trained_on_our_form": str(language.knows_form),
            "encoder_hash": self._encoder_hash or "any",
        }

    @property
    def licence(self) -> str:
        """The language model's licence, as its files state it."""
        return self.language.licence

    @torch.inference_mode()
    def embed(self, tokens: SceneTokens, command: DrivingCommand, route: Route | None = None) -> ReasoningEmbedding:
        """The embedding of one frame, at the cost of one prefill.

        Args:
            tokens: Of the frame.
            command: What is asked.
            route: In odom; None for none.

        Raises:
            InputError: for tokens of other channels or of another encoder than it was trained with.
        """
        return self._embedding(self.begin(tokens, command, route), tokens.stamp)

    @torch.inference_mode()
    def reason(
        self,
        tokens: SceneTokens,
        command: DrivingCommand,
        past: Sequence[Reasoning] = (),
        seconds: float | None = None,
        planned: MetaAction | None = None,
        route: Route | None = None,
    ) -> Reasoning:
        """The words for one frame.

        Args:
            tokens: Of the frame.
            command: What is asked.
            past: Own earlier reasonings, oldest first; the last few condition this one.
            seconds: Bound on the time it may take; None for none, so that the answer depends on its inputs alone.
            planned: What the plan in force comes to; None for none.
            route: In odom; None for none.

        Raises:
            InputError: as `embed`.
        """
        started = time.monotonic()
        slots = self._slots(tokens, route)
        state = self._begin(slots, tokens.ego, command)
        seen = (perceived(slots), command) if self._config.sentences == "seen" else None
        before = (self._past_words(past), prompt.plan_words(planned))
        return self._answer(state, tokens.stamp, before, self._budget(started, seconds), started, seen)

    @torch.inference_mode()
    def embed_frame(self, frame: CameraFrame, ego: EgoState, command: DrivingCommand) -> ReasoningEmbedding:
        """`embed` through the pixel door: the model's own vision tower reads the frame's images, frozen as it comes."""
        return self._embedding(self._begin_frame(frame, ego, command), frame.stamp)

    @torch.inference_mode()
    def reason_frame(
        self,
        frame: CameraFrame,
        ego: EgoState,
        command: DrivingCommand,
        past: Sequence[Reasoning] = (),
        seconds: float | None = None,
    ) -> Reasoning:
        """`reason` through the pixel door."""
        started = time.monotonic()
        state, budget = self._begin_frame(frame, ego, command), self._budget(started, seconds)
        return self._answer(state, frame.stamp, (self._past_words(past),), budget, started, None)

    def _begin_frame(self, frame: CameraFrame, ego: EgoState, command: DrivingCommand) -> Continuation:
        text = prompt.user_text(command, ego, instructions=not self.language.knows_form)
        chat = self.language.prompt_text(text, len(frame.images))
        images = [Image.fromarray(image) for image in frame.images]
        inputs = self.language.processor(images=images, text=[chat], return_tensors="pt")
        return self.language.begin_pixels({k: v.to(self.language.device) for k, v in inputs.items()})

    @torch.inference_mode()
    def begin(self, tokens: SceneTokens, command: DrivingCommand, route: Route | None = None) -> Continuation:
        """The prefill that `embed` and `reason` share; the sequence then stands on the embedding's token."""
        return self._begin(self._slots(tokens, route), tokens.ego, command)

    def _slots(self, tokens: SceneTokens, route: Route | None) -> SceneSlots:
        return scene_slots(tokens, self._ready(tokens).slots, route_ahead(route, tokens.ego.pose))

    def _begin(self, slots: SceneSlots, ego: EgoState, command: DrivingCommand) -> Continuation:
        model = self._model
        assert model is not None, "called for a model that is ready"
        text = prompt.user_text(command, ego, instructions=not self.language.knows_form)
        ids = self.language.prompt_ids(text, model.slots.count)
        batch = token_batch([slots]).to(self.language.device)
        return self.language.begin(model.embed_inputs(torch.tensor([ids], device=self.language.device), batch))

    @torch.inference_mode()
    def flags(self, state: Continuation) -> NDArray[np.float32]:
        """Probability of each `EdgeCaseFlag`, by its value: all queries in one pass appended to a sequence."""
        hidden = self.language.proceed(state, self._flag_ids)
        probabilities = torch.sigmoid(yes_log_odds(self.language, hidden[list(self._flag_ends)]))
        return np.nan_to_num(probabilities.cpu().numpy().astype(np.float32), nan=0.5)

    def _ready(self, tokens: SceneTokens) -> VlmModel:
        if self._encoder_hash and tokens.encoder_hash != self._encoder_hash:
            raise InputError(
                f"made by encoder {tokens.encoder_hash[:12]}",
                "scene tokens",
                f"{self._encoder_hash[:12]} as in training",
            )
        if self._model is None:
            # An untrained door takes the size of the first tokens it sees.
            slots = SlotConfig(image_channels=tokens.tokens.shape[-1], query_channels=tokens.queries.shape[-1])
            with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
                torch.manual_seed(self._config.seed)
                self._model = VlmModel(self.language, slots).eval().requires_grad_(False).to(self.language.device)
        return self._model

    def _embedding(self, state: Continuation, stamp: Stamp) -> ReasoningEmbedding:
        vector = normalise(state.hidden)[0].cpu().numpy()
        if not np.isfinite(vector).all():
            return ReasoningEmbedding(stamp, np.zeros_like(vector), self.model_id)
        return self.opinion(vector, stamp)

    @torch.inference_mode()
    def opinion(self, vector: NDArray[np.float32], stamp: Stamp) -> ReasoningEmbedding:
        """An embedding (embedding_size,) with the decision that the heads read in it; none where they are untrained."""
        if self._model is None or not self._decides:
            return ReasoningEmbedding(stamp, vector, self.model_id)
        head = self._model.longitudinal_head
        likely = head(torch.from_numpy(vector).to(head.weight)[None]).float().softmax(-1)[0].cpu().numpy()
        return ReasoningEmbedding(stamp, vector, self.model_id, likely if np.isfinite(likely).all() else likely[:0])

    def _past_words(self, past: Sequence[Reasoning]) -> str:
        return prompt.past_words([r.intent for r in past], self._config.past_traces)

    def _budget(self, started: float, seconds: float | None) -> Budget:
        return Budget(self._config.max_tokens, None if seconds is None else started + seconds)

    def _answer(
        self,
        state: Continuation,
        stamp: Stamp,
        before: Sequence[str],
        budget: Budget,
        started: float,
        seen: tuple[Perceived, DrivingCommand] | None,
    ) -> Reasoning:
        language = self.language
        for words in filter(None, before):
            language.proceed(state, language.encode(words))
        flags = self.flags(state)
        yes = tuple(flag for flag in EdgeCaseFlag if flags[flag] >= SURE)
        answer = self.decoder.decode(state, budget, None if seen is None else Grounds(*seen, yes))

        def text(header: str) -> str:
            said = answer.texts.get(header, "")
            return whole_sentences(said) if answer.truncated else said

        return Reasoning(
            stamp=stamp,
            scene_description=text(prompt.SCENE_HEADER),
            intent=text(prompt.INTENT_HEADER),
            cause=answer.cause,
            flag_probabilities=flags,
            trace=text(prompt.TRACE_HEADER),
            longitudinal=answer.longitudinal,
            longitudinal_confidence=answer.longitudinal_confidence,
            lateral=answer.lateral,
            lateral_confidence=answer.lateral_confidence,
            model_id=self.model_id,
            inference_time=time.monotonic() - started,
            truncated=answer.truncated,
        )
