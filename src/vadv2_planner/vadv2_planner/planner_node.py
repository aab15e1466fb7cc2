"""Scene tokens, command, route and reasoning in; candidate trajectories and the one to drive out."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from nav_msgs.msg import Path as PathMessage
from vadv2_msgs import msg as messages
from visualization_msgs.msg import MarkerArray

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.reasoning import Reasoning, ReasoningEmbedding
from vadv2_core.stamps import seconds_between
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.tokens import SceneTokens
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_planner.node_configuration import PlannerNodeConfig
from vadv2_planner.registry import make_planner
from vadv2_ros import qos
from vadv2_ros.conversions import (
    candidates_to_message,
    driving_command_from_message,
    embedding_from_message,
    reasoning_from_message,
    route_from_message,
    scene_tokens_from_message,
    trajectory_to_message,
)
from vadv2_ros.diagnostics import Health, Level
from vadv2_ros.markers import markers_of
from vadv2_ros.node_process import run_node
from vadv2_ros.standard_messages import path_from_trajectory
from vadv2_ros.worker_node import WorkerNode


class PlannerNode(WorkerNode[PlannerNodeConfig, SceneTokens]):
    """`Planner` as a lifecycle node. Each frame's tokens are a tick; the rest is taken as it is then."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("planner", PlannerNodeConfig, **arguments)

    def setup(self) -> None:
        """Load the planner; subscribe and advertise."""
        config = self.config
        self._planner = make_planner(Path(config.model_directory) if config.model_directory else None, config.planner)
        self._command: DrivingCommand | None = None
        self._route: Route | None = None
        self._embedding: ReasoningEmbedding | None = None
        self._reasoning: Reasoning | None = None
        self._reasoned = threading.Condition()
        self._last: TrajectoryCandidates | None = None
        self._candidates = self.advertise(messages.TrajectoryCandidates, "output/trajectory_candidates", qos.STAGE)
        self._trajectory = self.advertise(messages.Trajectory, "output/trajectory", qos.STAGE)
        self._path = self.advertise(PathMessage, "output/path", qos.STAGE)
        self._markers = self.advertise(MarkerArray, "debug/markers", qos.STAGE)
        self.listen(messages.DrivingCommand, "driving_command", self._on_command, qos.LATCHED)
        self.listen(messages.Route, "route", self._on_route, qos.LATCHED)
        self.listen(messages.Reasoning, "reasoning", self._on_reasoning, qos.STAGE)
        self.listen(messages.ReasoningEmbedding, "reasoning_embedding", self._on_embedding, qos.STAGE)
        self.listen(messages.SceneTokens, "scene_tokens", self._on_tokens, qos.STAGE)

    def _on_command(self, message: Any) -> None:
        self._command = driving_command_from_message(message)

    def _on_route(self, message: Any) -> None:
        self._route = route_from_message(message)

    def _on_reasoning(self, message: Any) -> None:
        self._reasoning = reasoning_from_message(message)

    def _on_embedding(self, message: Any) -> None:
        with self._reasoned:
            self._embedding = embedding_from_message(message)
            self._reasoned.notify_all()

    def _on_tokens(self, message: Any) -> None:
        self.offer(scene_tokens_from_message(message))

    def work(self, item: SceneTokens) -> None:
        """Plan one frame and publish every mode and the chosen one."""
        self.follow_time(item.stamp)
        embedding = self._embedding_for(item)
        command = self._command or DrivingCommand(item.stamp, "", DrivingAction.UNKNOWN)
        plan = self._planner.plan(item, item.ego, command, self._route, embedding, self._rationale(item))
        self._last = plan
        if not self.send(self._candidates, candidates_to_message, plan):
            return
        chosen = plan.trajectory()
        if chosen is None:
            self.counters["withheld"] += 1
        else:
            self.send(self._trajectory, trajectory_to_message, chosen)
            self._path.publish(path_from_trajectory(chosen))
        if self._markers.get_subscription_count():
            self._markers.publish(markers_of(plan, self._planner.config.vehicle))

    def _embedding_for(self, tokens: SceneTokens) -> ReasoningEmbedding | None:
        until = time.monotonic() + self.config.wait_for_reasoning
        with self._reasoned:
            while self.is_active and (self._embedding is None or self._embedding.stamp < tokens.stamp):
                left = until - time.monotonic()
                if left <= 0.0:
                    break
                # In short naps, so that a deactivation is noticed.
                self._reasoned.wait(min(left, 0.2))
            return self._embedding

    def _rationale(self, tokens: SceneTokens) -> str:
        reasoning = self._reasoning
        if reasoning is None:
            return ""
        age = seconds_between(reasoning.stamp, tokens.stamp)
        return reasoning.intent if 0.0 <= age <= self.config.planner.max_reasoning_age else ""

    def forget(self) -> None:
        """The last plan and its reasons do not outlive a jump of time."""
        self._planner.reset()
        self._last = None

    def reconfigure(self, config: PlannerNodeConfig) -> None:
        """Ages and the validator's bounds."""
        self._planner.configure(config.planner)

    def describe(self, health: Health) -> None:
        """The model, the sampler, ages, and why a plan was withheld."""
        if not hasattr(self, "_planner"):
            return
        health.values["model_id"] = self._planner.model_id
        plan = self._last
        if plan is None:
            return
        health.values.update(sampler=plan.sampler, steps=plan.steps, followed=self._planner.followed)
        health.values.update({f"age.{name}_s": age for name, age in plan.ages.items()})
        if plan.chosen is None:
            health.note(Level.WARN, f"plan withheld: {plan.reason}")
        for cause in plan.degraded:
            health.note(Level.WARN, cause)


def main() -> int:
    """The process of the node."""
    return run_node(PlannerNode)


if __name__ == "__main__":
    sys.exit(main())
