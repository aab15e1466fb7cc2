"""The planner's core: one frame in, candidate futures and the one to drive out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_core.stamps import NANOSECONDS, Stamp, seconds_between
from vadv2_core.taxonomy import DrivingAction, LongitudinalAction
from vadv2_core.tokens import SceneTokens
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_planner.command_track import CommandTrack
from vadv2_planner.config import PlannerConfig
from vadv2_planner.following import bounds_of, followed
from vadv2_planner.heeding import heeded
from vadv2_planner.motion import motion_from_positions
from vadv2_planner.patience import Patience, somebody_ahead, urged
from vadv2_planner.rescoring import Rescorer
from vadv2_planner.stopping import eased, stopped_within
from vadv2_planner.validator import DYNAMIC_CHECKS, Validator

ARRIVED = 3.0
"""m before the place where it was told to stop, within which it may stand for good."""
FREE = 0.3
"""Probability that a light holds, below which patience may end."""
MAX_GAP = 1.0
"""s; a longer gap between frames, or time going back, forgets the last plan."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a proposer reads of one frame, checked.

    Attributes:
        tokens: The frame's tokens; None without pictures.
        ego: At the frame's stamp.
        command: What to do next.
        route: Where there is one and it is to be used.
        embedding: (d,) of a reasoning young enough; None for none.
        embedding_age: s.
    """

    tokens: SceneTokens | None
    ego: EgoState
    command: DrivingCommand
    route: Route | None
    embedding: Array | None
    embedding_age: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """Futures of one frame: positions (modes, n, 2) at 10 Hz in base_link, confidences (modes,) in [0, 1]."""

    positions: Array
    confidences: Array


@dataclass(frozen=True, slots=True)
class _Advice:
    """What has a say in the choice besides the scores and what is seen.

    Attributes:
        decision: The reasoner's, a probability of each longitudinal action, and how much it counts; None for none.
        stop_within: m within which it was told to come to rest; None for no such command.
        urge: s by which it has waited longer than its patience lasts.
    """

    decision: tuple[Array, float] | None
    stop_within: float | None
    urge: float


class Proposer(ABC):
    """What differs between the planners."""

    model_id: str
    sampler: str
    steps: int
    needs_pictures: bool = True
    encoder_hash: str = ""
    reasoning_model: str = ""
    reasoning_channels: int = 0

    @abstractmethod
    def propose(self, seen: Observation, seed: int) -> Proposal:
        """Futures of a frame; the same seed and frame give the same futures."""

    def told_to_stop(self, command: DrivingCommand) -> bool:
        """Whether a command asks to stop: by its action here; who reads words overrides it."""
        return command.action is DrivingAction.STOP


def ego_at(ego: EgoState, stamp: Stamp) -> EgoState:
    """The ego moved to a stamp at constant speed and yaw rate."""
    dt = seconds_between(ego.stamp, stamp)
    if dt == 0.0:
        return ego
    middle = ego.pose.yaw + 0.5 * ego.yaw_rate * dt
    c, s = float(np.cos(middle)), float(np.sin(middle))
    vx, vy = ego.velocity
    pose = Pose2(
        ego.pose.x + (c * vx - s * vy) * dt, ego.pose.y + (s * vx + c * vy) * dt, ego.pose.yaw + ego.yaw_rate * dt
    )
    return replace(ego, stamp=stamp, pose=pose)


class Planner:
    """One planner, chosen by ``config.planner`` in `make_planner`.

    A frame's plan depends on that frame and the config; on the last plan through the validator's jump check alone; on
    the frames before through the rescorer, which follows the next light, and through how long the ego has waited.
    The chosen mode is the most confident one that nothing speaks against and the validator accepts, as it is or as the
    vehicle would follow it; its points are then those of following. Where something speaks against every mode, the one
    with the least against it is brought to rest before whom it meets, or before the line. A command to stop brings all
    of them to rest at its place.

    Attributes:
        followed: How many chosen futures were so since the start.
    """

    def __init__(self, proposer: Proposer, config: PlannerConfig) -> None:
        self.config = config
        self._proposer = proposer
        self._validator = Validator(config.validator, config.vehicle)
        self._rescorer = Rescorer(config.rescoring, config.vehicle)
        self._patience = Patience()
        self._command = CommandTrack()
        self._last: Trajectory | None = None
        self.followed = 0

    @property
    def model_id(self) -> str:
        """Name of the checkpoint; ends in ``-untrained`` for weights made from a seed."""
        return self._proposer.model_id

    @property
    def needs_pictures(self) -> bool:
        """Whether `plan` must be given tokens."""
        return self._proposer.needs_pictures

    @property
    def proposer(self) -> Proposer:
        """The planner's own part, for training and export."""
        return self._proposer

    @property
    def withheld(self) -> dict[str, int]:
        """How many modes each check of the validator has failed since the start, by the check's name."""
        return dict(self._validator.counts)

    def configure(self, config: PlannerConfig) -> None:
        """Take new ages and bounds while running; nothing is forgotten."""
        self.config = config
        self._validator.config = config.validator
        self._rescorer.config = config.rescoring

    def reset(self) -> None:
        """Forget the last plan, the last frame, the command and how long it waited."""
        self._last = None
        self._patience.reset()
        self._command.reset()
        self._rescorer.reset()

    def plan(
        self,
        tokens: SceneTokens | None,
        ego: EgoState,
        command: DrivingCommand,
        route: Route | None,
        reasoning: ReasoningEmbedding | None,
        rationale: str = "",
    ) -> TrajectoryCandidates:
        """Plan one frame.

        Args:
            tokens: Of the frame; None for planners that need no pictures.
            ego: At (or near) the frame's stamp; its pose is in odom.
            command: What to do next.
            route: The way ahead in odom; None for none.
            reasoning: The newest embedding; used where it is young enough and of the model trained with.
            rationale: The intent in words, handed on.

        Raises:
            InputError: for tokens of another encoder, or none where pictures are needed, or an ego state that is not
                finite.
        """
        stamp = ego.stamp if tokens is None else tokens.stamp
        self._check(tokens, ego)
        ego = ego_at(ego, stamp)
        degraded: list[str] = []
        ages = {"ego": 0.0, "command": max(seconds_between(command.stamp, stamp), 0.0)}
        command = self._command.carried(command, ego)
        if tokens is not None:
            ages["tokens"] = 0.0
            blind = int(np.count_nonzero(~tokens.camera_valid))
            if blind:
                degraded.append(f"{blind} of {len(tokens.camera_valid)} cameras give no picture")
            if tokens.novelty > 1.0:
                degraded.append(f"scene unlike any trained on (novelty {tokens.novelty:.1f})")
        if self.model_id.endswith("-untrained"):
            degraded.append("untrained planner")
        oldest = self.config.max_command_age
        if oldest > 0.0 and ages["command"] > oldest:
            command = replace(command, text="", action=DrivingAction.UNKNOWN, distance=0.0)
            degraded.append("command too old")
        embedding, age = self._reasoning(reasoning, stamp, ages, degraded)
        if route is not None:
            ages["route"] = max(seconds_between(route.stamp, stamp), 0.0)
            if len(route.points) < 2 or not np.isfinite(route.points).all() or not self.config.use_route:
                route = None
        seen = Observation(tokens, ego, command, route, embedding, age)
        proposal = self._proposer.propose(seen, self._seed(stamp))
        decision = None if embedding is None or reasoning is None else self._decision(reasoning, age)
        stop_within = command.distance if self._proposer.told_to_stop(command) else None
        advice = _Advice(decision, stop_within, self._urge(tokens, ego, stop_within))
        return self._choose(proposal, tokens, stamp, ego, rationale, ages, degraded, advice)

    def _urge(self, tokens: SceneTokens | None, ego: EgoState, stop_within: float | None) -> float:
        waited = self._patience.waited(ego.stamp, ego.pose)
        arrived = stop_within is not None and stop_within < ARRIVED
        if self.config.patience == 0.0 or arrived or (tokens is not None and somebody_ahead(tokens.objects)):
            return 0.0
        return waited - self.config.patience

    def _check(self, tokens: SceneTokens | None, ego: EgoState) -> None:
        numbers = [ego.pose.x, ego.pose.y, ego.pose.yaw, *ego.velocity, *ego.acceleration, ego.yaw_rate]
        numbers += [0.0 if ego.steering_angle is None else ego.steering_angle]
        if not np.isfinite(numbers).all():
            raise InputError("ego state is not finite", "planner", "finite odometry")
        if tokens is None:
            if self.needs_pictures:
                raise InputError("no scene tokens", f"planner {self.config.planner!r}", "the frame's tokens")
            return
        wanted = self._proposer.encoder_hash
        if wanted and tokens.encoder_hash != wanted:
            raise InputError(
                f"tokens of encoder {tokens.encoder_hash[:12]!r}",
                "planner",
                f"the encoder it was trained with, {wanted[:12]!r}",
            )

    def _reasoning(
        self, reasoning: ReasoningEmbedding | None, stamp: Stamp, ages: dict[str, float], degraded: list[str]
    ) -> tuple[Array | None, float]:
        length = self._proposer.reasoning_channels
        if length == 0 or not self.config.use_reasoning:
            return None, 0.0
        if reasoning is None:
            degraded.append("no reasoning")
            return None, 0.0
        age = seconds_between(reasoning.stamp, stamp)
        ages["reasoning"] = max(age, 0.0)
        wanted = self._proposer.reasoning_model
        if wanted and reasoning.model_id != wanted:
            degraded.append(f"reasoning of {reasoning.model_id!r}, trained with {wanted!r}")
        elif reasoning.embedding.shape != (length,):
            degraded.append(f"reasoning of length {reasoning.embedding.shape}, expected {length}")
        elif not np.isfinite(reasoning.embedding).all():
            degraded.append("reasoning is not finite")
        elif age > self.config.max_reasoning_age or age < -MAX_GAP:
            degraded.append(f"reasoning {age:.1f} s old")
        else:
            return np.asarray(reasoning.embedding, dtype=np.float64), max(age, 0.0)
        return None, 0.0

    def _decision(self, reasoning: ReasoningEmbedding, age: float) -> tuple[Array, float] | None:
        """What the reasoner decided and how much that counts now; None for nothing."""
        said = np.asarray(reasoning.decision, dtype=np.float64)
        weight = self.config.heeding * max(1.0 - age / max(self.config.max_reasoning_age, 1e-3), 0.0)
        known = said.shape == (len(LongitudinalAction),) and np.isfinite(said).all() and said.max() > 0.0
        return (said, weight) if known and weight > 0.0 else None

    def _seed(self, stamp: Stamp) -> int:
        # Any two frames and any two config seeds give unrelated noise; 63 bits, for torch and numpy alike.
        return int(np.random.SeedSequence([self.config.seed, stamp % 2**63]).generate_state(1, np.uint64)[0] >> 1)

    def _drivable(self, points: Array, ego: EgoState, stamp: Stamp) -> tuple[Array | None, str]:
        """A future that the validator accepts, as it is or as the vehicle would follow it; None and why not."""
        bounds, validator = self.config.validator, self._validator

        def failures(of: Array) -> list[tuple[str, str]]:
            return list(validator.failures(of, ego, self._last, ego.pose, stamp))

        found = failures(points)
        if not found:
            return points, ""
        name, reason = found[0]
        validator.counts[name] += 1
        why = f"{name}: {reason}"
        if not bounds.follow or any(failed not in DYNAMIC_CHECKS for failed, _ in found):
            return None, why
        driven, aside = followed(points, ego, bounds_of(bounds, self.config.vehicle))
        if aside > bounds.max_deviation or failures(driven):
            return None, why
        self.followed += 1
        return driven, ""

    def _choose(
        self,
        proposal: Proposal,
        tokens: SceneTokens | None,
        stamp: Stamp,
        ego: EgoState,
        rationale: str,
        ages: dict[str, float],
        degraded: list[str],
        advice: _Advice,
    ) -> TrajectoryCandidates:
        finite = np.isfinite(proposal.positions).all((1, 2)) & np.isfinite(proposal.confidences)
        positions = np.where(finite[:, None, None], proposal.positions, 0.0)
        confidences = np.where(finite, np.clip(proposal.confidences, 0.0, 1.0), 0.0)
        points = motion_from_positions(positions, ego.speed, self.config.horizon)
        if advice.decision is not None:
            confidences = confidences * heeded(points, ego.speed, *advice.decision)
        if self._last is not None and not 0 < stamp - self._last.stamp <= MAX_GAP * NANOSECONDS:
            self._last = None
        chosen, reason = None, ""
        if advice.stop_within is not None:
            within = eased(advice.stop_within, ego.speed)
            points = np.stack([stopped_within(future, within, ego.speed) for future in points])
        objections = self._rescorer.objections(points, tokens, ego.speed)
        if self._rescorer.held < FREE:
            confidences = confidences * urged(points, advice.urge)
        for mode in self._rescorer.order(confidences, objections):
            why = "a point is not finite"
            if finite[mode]:
                objection = objections[mode]
                if objection is not None:
                    points[mode] = stopped_within(points[mode], objection.within, ego.speed)
                drivable, why = self._drivable(points[mode], ego, stamp)
                if drivable is not None:
                    points[mode] = drivable
                    chosen = int(mode)
                    break
            reason = reason or f"every mode withheld; the most confident: {why}"
        candidates = TrajectoryCandidates(
            stamp=stamp,
            origin_pose=ego.pose,
            points=points,
            confidences=confidences,
            chosen=chosen,
            reason="" if chosen is not None else reason,
            rationale=rationale,
            sampler=self._proposer.sampler,
            steps=self._proposer.steps,
            ages=ages,
            degraded=tuple(degraded),
            model_id=self.model_id,
            objections=tuple(o.words if o is not None else "" for o in objections),
        )
        if chosen is not None:
            self._last = candidates.trajectory()
        return candidates
