"""Scene tokens and command in; an embedding for every frame and, at its own rate, reasoning in words out."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from std_msgs.msg import String
from vadv2_msgs import msg as messages

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.errors import InputError
from vadv2_core.meta_action import MetaAction, planned_action
from vadv2_core.reasoning import Reasoning
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.tokens import SceneTokens
from vadv2_core.trajectory import Trajectory
from vadv2_ros import qos
from vadv2_ros.conversions import (
    driving_command_from_message,
    embedding_to_message,
    reasoning_to_message,
    route_from_message,
    scene_tokens_from_message,
    trajectory_from_message,
)
from vadv2_ros.diagnostics import Health
from vadv2_ros.mailbox import Mailbox
from vadv2_ros.node_process import run_node
from vadv2_ros.worker_node import WorkerNode
from vadv2_vlm.node_configuration import VlmNodeConfig
from vadv2_vlm.priority import step_back
from vadv2_vlm.reasoner import Reasoner

Page = tuple[SceneTokens, MetaAction | None]
"""A frame to be spoken of, and the plan in force when it came."""


def in_words(reasoning: Reasoning) -> String:
    """A reasoning as one text for people and their tools."""
    parts = (reasoning.scene_description, reasoning.intent, reasoning.trace)
    return String(data="\n".join(part for part in parts if part))


class VlmNode(WorkerNode[VlmNodeConfig, SceneTokens]):
    """`Reasoner` as a lifecycle node. The worker embeds; words take seconds and have a thread of their own."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("vlm", VlmNodeConfig, **arguments)

    def setup(self) -> None:
        """Load the model; subscribe and advertise."""
        config = self.config
        self._reasoner = Reasoner(Path(config.model_directory) if config.model_directory else None, config.reasoner)
        self._command: DrivingCommand | None = None
        self._route: Route | None = None
        self._plan: Trajectory | None = None
        self._past: deque[Reasoning] = deque(maxlen=max(config.reasoner.past_traces, 1))
        self._frames, self._last_words = 0, 0.0
        self._embedding = self.advertise(messages.ReasoningEmbedding, "output/reasoning_embedding", qos.STAGE)
        self._reasoning = self.advertise(messages.Reasoning, "output/reasoning", qos.STAGE)
        self._text = self.advertise(String, "output/reasoning_text", qos.STAGE)
        self.listen(messages.DrivingCommand, "driving_command", self._on_command, qos.LATCHED)
        self.listen(messages.Route, "route", self._on_route, qos.LATCHED)
        self.listen(messages.Trajectory, "trajectory", self._on_trajectory, qos.STAGE)
        self.listen(messages.SceneTokens, "scene_tokens", self._on_tokens, qos.STAGE)
        self._pages: Mailbox[Page] = Mailbox()
        self._writer: threading.Thread | None = None

    def _on_command(self, message: Any) -> None:
        self._command = driving_command_from_message(message)

    def _on_route(self, message: Any) -> None:
        self._route = route_from_message(message)

    def _on_trajectory(self, message: Any) -> None:
        self._plan = trajectory_from_message(message)

    def _on_tokens(self, message: Any) -> None:
        self.offer(scene_tokens_from_message(message))

    def on_activate(self, state: Any) -> Any:
        """Begin to embed, and to write."""
        self._pages = Mailbox()
        self._writer = threading.Thread(target=self._write, args=(self._pages,), name="vlm words", daemon=True)
        self._writer.start()
        return super().on_activate(state)

    def stop_working(self) -> None:
        """Stop the writer too; a generation that is under way is let out."""
        super().stop_working()
        if hasattr(self, "_pages"):
            self._pages.close()

    def work(self, item: SceneTokens) -> None:
        """Embed the frame; in step, say its words first, so that they are there when the embedding is."""
        self.follow_time(item.stamp)
        command = self._command_for(item)
        every = self.config.every
        if every:
            if self._frames % every == 0:
                self._say_words(item, command, self._planned(item), None)
        elif self._frames and time.monotonic() - self._last_words >= self.config.period:
            self._last_words = time.monotonic()
            # What is about to be done is asked now: a page may wait, and a plan made meanwhile is not of its frame.
            self._pages.put((item, self._planned(item)))
        self._frames += 1
        self.send(self._embedding, embedding_to_message, self._reasoner.embed(item, command, self._route))

    def _command_for(self, tokens: SceneTokens) -> DrivingCommand:
        return self._command or DrivingCommand(tokens.stamp, "", DrivingAction.UNKNOWN)

    def _planned(self, tokens: SceneTokens) -> MetaAction | None:
        return planned_action(self._plan, tokens.stamp, tokens.ego.speed, self._command_for(tokens).action)

    def _write(self, pages: Mailbox[Page]) -> None:
        if not self.config.every:  # In step the road waits for the words.
            step_back()
        while (page := pages.take()) is not None:
            tokens, planned = page
            try:
                self._say_words(tokens, self._command_for(tokens), planned, self.config.reasoner.max_seconds or None)
            except InputError as error:
                self.count_bad_input(error)
            except Exception as error:  # words may fail; the embedding and the drive go on
                self.counters["failures"] += 1
                self.say(f"{type(error).__name__}: {error}")

    def _say_words(
        self, tokens: SceneTokens, command: DrivingCommand, planned: MetaAction | None, seconds: float | None
    ) -> None:
        reasoning = self._reasoner.reason(tokens, command, tuple(self._past), seconds, planned, self._route)
        self._past.append(reasoning)
        self.counters["reasonings"] += 1
        self.counters["truncated"] += reasoning.truncated
        if self.send(self._reasoning, reasoning_to_message, reasoning):
            self._text.publish(in_words(reasoning))

    def forget(self) -> None:
        """Earlier reasonings and the plan do not outlive a jump of time."""
        self._past.clear()
        self._plan = None
        self._frames = 0

    def describe(self, health: Health) -> None:
        """The model."""
        if hasattr(self, "_reasoner"):
            health.values["model_id"] = self._reasoner.model_id


def main() -> int:
    """The process of the node."""
    return run_node(VlmNode)


if __name__ == "__main__":
    sys.exit(main())
