"""The expert: knows where everyone goes, tries a few ways to drive on, takes the best, and says why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.config import parameter, validate
from vadv2_core.decision import Decision
from vadv2_core.geometry import Array, wrap_angle
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import AgentClass, Cause, StopControl
from vadv2_core.trajectory import PLAN_POINTS, Trajectory
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.passing import passing_plans, pull_over
from vadv2_sim.expert.prediction import TIMES, Predictions, Predictor
from vadv2_sim.expert.proposals import OffsetPlan, Proposals, follow, way_back
from vadv2_sim.expert.reasons import decide
from vadv2_sim.expert.route_frame import RouteFrame, route_frame
from vadv2_sim.expert.scoring import conflicts, scores
from vadv2_sim.expert.stop_points import FRONT_GAP, LineAhead, StopPoint, StopRules

_NEVER = 1e5


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """How the expert drives."""

    speed_factor: float = parameter(0.95, "Share of the speed limit it drives.", minimum=0.3, maximum=1.0)
    rescue_speed: float = parameter(
        2.5, "Speed while an emergency vehicle wants to pass.", unit="m/s", minimum=0.0, maximum=15.0
    )

    def __post_init__(self) -> None:
        validate(self, "expert")


@dataclass(frozen=True, slots=True)
class ExpertPlan:
    """What the expert would do: a trajectory (80 points at 10 Hz) and the decision it stands for."""

    trajectory: Trajectory
    decision: Decision


class Expert:
    """Drives any scene with a route. It remembers which stop signs it obeyed, so one expert drives one drive.

    Args:
        road: The town.
        vehicle: The ego's sizes and limits.
        config: How to drive.
    """

    def __init__(self, road: RoadMap, vehicle: VehicleConfig | None = None, config: ExpertConfig | None = None) -> None:
        self.config = config or ExpertConfig()
        self._road, self._vehicle = road, vehicle or VehicleConfig()
        self._rules = StopRules(road, self._vehicle)
        self._predictor = Predictor(road)
        self._last: tuple[str, float, float] | None = None

    def reset(self) -> None:
        """Begin another drive."""
        self._rules.reset()
        self._last = None

    def plan(self, scene: Scene) -> ExpertPlan:
        """The way to drive on from a scene; also from one whose ego was shifted or turned (recovery data)."""
        frame = route_frame(scene, self._road, self.config.speed_factor)
        predictions = self._predictor.predict(scene, frame)
        lines = self._rules.lines_ahead(scene, frame)
        rules = self._rules.stops(scene, frame, lines)
        priority = self._priority(scene, predictions, lines)
        offsets = self._offsets(scene, frame, predictions)
        factor_limit = self._rescue(scene, frame, predictions)
        must = rules[0].s if rules else _NEVER
        proposals, hard = self._drive(scene, frame, predictions, offsets, must, self._factors(factor_limit))
        first, who = conflicts(proposals, frame, predictions, self._vehicle, priority)
        waits = self._waits(frame, predictions, lines, first, who, proposals, must)
        if waits:
            more, hard_more = self._drive(
                scene, frame, predictions, offsets[:1], must, np.array([1.0]), tuple(w.s for w in waits)
            )
            proposals, hard = _joined(proposals, more), np.concatenate([hard, hard_more])
            first, who = conflicts(proposals, frame, predictions, self._vehicle, priority)
        value = scores(proposals, first, hard, self._kept(proposals))
        best = int(value.argmax())
        self._last = (proposals.offsets[best].name, float(proposals.factors[best]), float(proposals.stops[best]))
        wait = next((w for w in waits if abs(w.s - proposals.stops[best]) < 1e-6), None)
        stop = rules[0] if rules and proposals.stops[best] >= must else None
        decision = decide(scene, self._road, frame, predictions, proposals, best, wait or stop, int(who[best]))
        return ExpertPlan(self._trajectory(scene, frame, proposals, best), decision)

    def _factors(self, limit: float) -> Array:
        return np.array([1.0, 0.6, 0.3]) * limit

    def _offsets(self, scene: Scene, frame: RouteFrame, predictions: Predictions) -> tuple[OffsetPlan, ...]:
        lane = way_back(frame, scene.ego.speed)
        aside = pull_over(scene, self._road, frame, predictions, self._vehicle)
        if aside is not None:
            return (aside,)
        return (lane, *passing_plans(scene, self._road, frame, predictions, self._vehicle))

    def _rescue(self, scene: Scene, frame: RouteFrame, predictions: Predictions) -> float:
        """Share of the allowed speed while an emergency vehicle comes up from behind."""
        for i, agent in enumerate(predictions.agents):
            behind = frame.ego_s - predictions.s[i, 0]
            if agent.blue_light and 0.0 < behind < 50.0 and predictions.speed[i, 0] > -0.5:
                allowed = float(np.interp(frame.ego_s, frame.s, frame.speed))
                return min(1.0, self.config.rescue_speed / max(allowed, 0.5))
        del scene
        return 1.0

    def _drive(
        self,
        scene: Scene,
        frame: RouteFrame,
        predictions: Predictions,
        offsets: tuple[OffsetPlan, ...],
        must: float,
        factors: Array,
        waits: tuple[float, ...] = (),
    ) -> tuple[Proposals, NDArray[np.bool_]]:
        if waits:
            rows = [(offsets[0], factors[0], min(w, must), False) for w in waits]
        else:
            rows = [(plan, float(f), must, False) for plan in offsets for f in factors]
            rows.append((offsets[0], 1.0, must, True))
        hard = np.array([row[3] for row in rows])
        proposals = follow(
            frame,
            predictions,
            tuple(row[0] for row in rows),
            np.array([row[1] for row in rows]),
            np.array([row[2] for row in rows]),
            scene.ego.speed,
            scene.ego.acceleration[0],
            self._vehicle,
            hard=hard,
        )
        return proposals, hard

    def _priority(self, scene: Scene, predictions: Predictions, lines: list[LineAhead]) -> NDArray[np.bool_]:
        """Who goes first: on a way that ours yields to, with a blue light, or on foot on a crossing."""
        mine: set[str] = set()
        for name in scene.route.lane_ids if scene.route else ():
            lane = self._road.lanes.get(name)
            if lane is not None:
                mine |= set(lane.yields_to)
        del lines
        found = []
        for agent, lanes in zip(predictions.agents, predictions.lanes, strict=True):
            on_way = bool(mine.intersection(lanes[:3]))
            walks = agent.cls is AgentClass.PEDESTRIAN and float(np.hypot(*agent.velocity)) > 0.2
            found.append(on_way or agent.blue_light or walks)
        return np.array(found, dtype=bool)

    def _waits(
        self,
        frame: RouteFrame,
        predictions: Predictions,
        lines: list[LineAhead],
        first: Array,
        who: NDArray[np.int64],
        proposals: Proposals,
        must: float,
    ) -> list[StopPoint]:
        """Places where one could wait for whoever is in the way: the stop line before, or just short of them."""
        front = self._vehicle.length - self._vehicle.rear_overhang
        found: list[StopPoint] = []
        for p in np.flatnonzero(np.isfinite(first)):
            agent = predictions.agents[who[p]]
            j = int(first[p] / TIMES[1])
            entry = float(predictions.s[who[p], j] - predictions.along[who[p], j])
            short = entry - front - (1.8 if agent.cls in (AgentClass.PEDESTRIAN, AgentClass.BICYCLE) else 1.2)
            cause = _cause_of(agent.cls)
            for ahead in lines:
                at = ahead.s - front - FRONT_GAP
                if frame.ego_s - 0.2 < at < entry - front:
                    kind = cause
                    if cause is Cause.LEAD_VEHICLE:
                        kind = Cause.YIELD if ahead.line.control is not StopControl.STOP_SIGN else Cause.STOP_SIGN
                    found.append(StopPoint(at, kind, agent.id))
            found.append(
                StopPoint(max(short, frame.ego_s), Cause.YIELD if cause is Cause.LEAD_VEHICLE else cause, agent.id)
            )
        del proposals
        unique: list[StopPoint] = []
        for point in sorted(found, key=lambda w: w.s):
            if point.s < must and all(abs(point.s - u.s) > 1.0 for u in unique):
                unique.append(point)
        return unique[:5]

    def _kept(self, proposals: Proposals) -> NDArray[np.bool_]:
        if self._last is None:
            return np.zeros(len(proposals.offsets), dtype=bool)
        name, factor, _ = self._last
        return np.array(
            [
                p.name == name and abs(f - factor) < 0.05
                for p, f in zip(proposals.offsets, proposals.factors, strict=True)
            ]
        )

    def _trajectory(self, scene: Scene, frame: RouteFrame, proposals: Proposals, best: int) -> Trajectory:
        t = 0.1 * np.arange(0, PLAN_POINTS + 1)
        v = np.interp(t, TIMES, proposals.v[best])
        # Distances from the speeds, so that positions, speeds and accelerations agree.
        s = frame.ego_s + np.concatenate([[0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * 0.1)])
        plan = proposals.offsets[best]
        # The ego's own turn against the way fades like its offset does.
        span = max(float(plan.s[2] - frame.ego_s), 3.0)
        u = np.clip((s - frame.ego_s) / span, 0.0, 1.0)
        lean = span * np.tan(np.clip(frame.ego_yaw, -0.6, 0.6)) * (u - 6 * u**3 + 8 * u**4 - 3 * u**5)
        x, y, along = frame.at(s, plan.at(s) + lean)
        step = np.hypot(np.diff(x), np.diff(y))
        heading = np.arctan2(np.diff(y), np.diff(x))
        moving = step > 0.02
        yaw = np.empty(PLAN_POINTS)
        last = scene.ego.pose.yaw
        for i in range(PLAN_POINTS):
            last = float(heading[i]) if moving[i] else last
            yaw[i] = last
        del along
        pose = scene.ego.pose
        local = pose.inverse_transform(np.stack([x[1:], y[1:]], -1))
        a = np.gradient(v, 0.1)[1:]
        points = np.column_stack([t[1:], local, wrap_angle(yaw - pose.yaw), v[1:], a])
        return Trajectory(scene.stamp, pose, points, 1.0)


def _cause_of(cls: AgentClass) -> Cause:
    return {
        AgentClass.PEDESTRIAN: Cause.PEDESTRIAN,
        AgentClass.BICYCLE: Cause.CYCLIST,
        AgentClass.EMERGENCY_VEHICLE: Cause.EMERGENCY_VEHICLE,
    }.get(cls, Cause.LEAD_VEHICLE)


def _joined(a: Proposals, b: Proposals) -> Proposals:
    return Proposals(
        (*a.offsets, *b.offsets),
        np.concatenate([a.factors, b.factors]),
        np.concatenate([a.stops, b.stops]),
        *(np.concatenate([getattr(a, n), getattr(b, n)]) for n in ("s", "v", "a", "leader")),
    )
