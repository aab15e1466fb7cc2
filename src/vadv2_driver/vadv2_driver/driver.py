"""The four stages as one object: their order, rates, ages and resets are decided here and nowhere else.

Rollouts, evaluation and training drive with it; a replay through the nodes gives the same numbers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from vadv2_control import Controller
from vadv2_core.camera import CameraFrame
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.meta_action import planned_action
from vadv2_core.reasoning import Reasoning, ReasoningEmbedding
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.tokens import SceneTokens
from vadv2_core.trajectory import Trajectory
from vadv2_driver.configuration import DriverConfig
from vadv2_driver.output import DriverOutput, system_model_id
from vadv2_perception import SceneEncoder
from vadv2_planner import make_planner
from vadv2_vlm.reasoner import Reasoner

T = TypeVar("T")


class Driver:
    """Encode, reason, plan, control: one frame in, one command out.

    Args:
        config: Model, rates and the stages' configurations; the model's size chooses the stages' architectures.

    Raises:
        InputError: for a model directory that does not load, naming the file.
    """

    def __init__(self, config: DriverConfig) -> None:
        self.config = config = config.for_model()
        self.encoder = SceneEncoder(config.directory("perception"), config.perception)
        self.reasoner = Reasoner(config.directory("vlm"), config.vlm) if config.reasons else None
        self.planner = make_planner(config.directory("planner"), config.planner)
        self.controller = Controller(config.control, config.vehicle)
        self._past: deque[Reasoning] = deque(maxlen=max(config.vlm.past_traces, 1))
        self._plan: Trajectory | None = None
        self._last: Stamp | None = None
        self._frames = 0

    @property
    def model_ids(self) -> dict[str, str]:
        """Checkpoint names by stage."""
        ids = {"perception": self.encoder.model_id, "planner": self.planner.model_id}
        return ids if self.reasoner is None else {**ids, "vlm": self.reasoner.model_id}

    @property
    def model_id(self) -> str:
        """One name for the system; ends in ``-untrained`` where a part of it is."""
        return system_model_id(self.model_ids.get(s, "") for s in ("perception", "vlm", "planner"))

    def reset(self) -> None:
        """Forget history, past reasonings and the last plan; engagement stays."""
        self.encoder.reset()
        self.planner.reset()
        self.controller.reset()
        self._past.clear()
        self._plan = None
        self._last = None
        self._frames = 0

    def step(
        self,
        frame: CameraFrame | None,
        ego: EgoState,
        command: DrivingCommand,
        route: Route | None = None,
        *,
        reason: bool | None = None,
        told: Callable[[SceneTokens], ReasoningEmbedding] | None = None,
    ) -> DriverOutput:
        """Drive one frame.

        Args:
            frame: The images; None drives a planner that needs none.
            ego: At the frame's stamp.
            command: What is asked of the ego.
            route: The way ahead, where there is one.
            reason: Say the reasoning in words for this frame; by default every `DriverConfig.reason_every` frames.
            told: Gives the planner an embedding in place of the reasoner's own, as an evaluation of its worth does.

        Returns:
            Every stage's answer, all with the frame's stamp.
        """
        stamp = ego.stamp if frame is None else frame.stamp
        if self._last is not None and not 0.0 < seconds_between(self._last, stamp) <= self.config.max_gap:
            self.reset()
        self._last = stamp
        timings: dict[str, float] = {}
        tokens: SceneTokens | None = None
        embedding: ReasoningEmbedding | None = None
        reasoning: Reasoning | None = None
        if frame is not None:
            tokens = self._timed(timings, "perception", lambda: self.encoder.encode(frame, ego))
            if self.reasoner is not None:
                embedding, reasoning = self._timed(timings, "vlm", lambda: self._reason(tokens, command, route, reason))
            if told is not None:
                embedding = told(tokens)
        self._frames += 1
        rationale = self._rationale(stamp)
        candidates = self._timed(
            timings, "planner", lambda: self.planner.plan(tokens, ego, command, route, embedding, rationale)
        )
        self._plan = candidates.trajectory() or self._plan
        action, status = self._timed(timings, "control", lambda: self.controller.step(candidates, ego, stamp))
        status = replace(status, timings={**status.timings, **timings})
        return DriverOutput(stamp, tokens, embedding, reasoning, candidates, action, status, timings)

    @staticmethod
    def _timed(timings: dict[str, float], stage: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        answer = work()
        timings[stage] = 1e3 * (time.perf_counter() - began)
        return answer

    def _reason(
        self, tokens: SceneTokens, command: DrivingCommand, route: Route | None, reason: bool | None
    ) -> tuple[ReasoningEmbedding, Reasoning | None]:
        assert self.reasoner is not None, "called with a reasoner only"
        embedding = self.reasoner.embed(tokens, command, route)
        every = self.config.reason_every
        due = bool(every) and self._frames % every == 0 if reason is None else reason
        if not due:
            return embedding, None
        planned = planned_action(self._plan, tokens.stamp, tokens.ego.speed, command.action)
        reasoning = self.reasoner.reason(tokens, command, tuple(self._past), planned=planned, route=route)
        self._past.append(reasoning)
        return embedding, reasoning

    def _rationale(self, stamp: Stamp) -> str:
        """The newest intent in words, while it is young enough to be the reason of a plan."""
        if not self._past:
            return ""
        newest = self._past[-1]
        young = seconds_between(newest.stamp, stamp) <= self.config.planner.max_reasoning_age
        return newest.intent if young else ""
