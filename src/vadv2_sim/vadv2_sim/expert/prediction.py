"""Where everyone will be: along their lanes, as they intend, for the next seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, arc_length, project_to_polyline, wrap_angle
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.taxonomy import STATIC_CLASSES, AgentClass, AgentIntention, LaneKind, LateralAction
from vadv2_sim.expert.route_frame import RouteFrame

STEP = 0.25
STEPS = 33
"""Predictions are made at 0, 0.25, ... 8 s."""
TIMES: Array = STEP * np.arange(STEPS)
_REACH = 90.0
_TURNS = {AgentIntention.TURNS_LEFT: LateralAction.LEFT_TURN, AgentIntention.TURNS_RIGHT: LateralAction.RIGHT_TURN}
_YIELDING = (AgentIntention.YIELDS, AgentIntention.STOPS)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Others in the route's frame; a agents, t times.

    Attributes:
        agents: Whose.
        s: (a, t) distance along the route of their centres.
        d: (a, t) offset to its left.
        along: (a, t) half their extent along the route.
        across: (a, t) half their extent across it.
        speed: (a, t) along the route, m/s.
        lanes: For each, the lanes it is predicted to drive.
    """

    agents: tuple[Agent, ...]
    s: Array
    d: Array
    along: Array
    across: Array
    speed: Array
    lanes: tuple[tuple[str, ...], ...]


class Predictor:
    """Predicts the agents of one town; lane paths are joined once and kept."""

    def __init__(self, road: RoadMap) -> None:
        self._road = road
        self._paths: dict[tuple[str, LateralAction], tuple[Array, Array, tuple[str, ...]]] = {}

    def predict(self, scene: Scene, frame: RouteFrame) -> Predictions:
        """Everyone within 90 m of the ego."""
        ego = scene.ego.pose
        near = [a for a in scene.agents if (a.x - ego.x) ** 2 + (a.y - ego.y) ** 2 < _REACH**2]
        if not near:
            none = np.zeros((0, STEPS))
            return Predictions((), none, none, none, none, none, ())
        poses = np.zeros((len(near), STEPS, 3))
        lanes = []
        for i, agent in enumerate(near):
            poses[i], driven = self._poses(agent)
            lanes.append(driven)
        s, d = frame.locate(poses[..., :2])
        turned = poses[..., 2] - np.interp(s, frame.s, frame.yaw)
        length = np.array([a.length for a in near])[:, None]
        width = np.array([a.width for a in near])[:, None]
        c, n = np.abs(np.cos(turned)), np.abs(np.sin(turned))
        speed = np.gradient(s, STEP, axis=1)
        return Predictions(
            tuple(near), s, d, 0.5 * (c * length + n * width), 0.5 * (n * length + c * width), speed, tuple(lanes)
        )

    def _poses(self, agent: Agent) -> tuple[Array, tuple[str, ...]]:
        velocity = np.asarray(agent.velocity)
        speed = float(np.hypot(*velocity))
        still = np.array([agent.x, agent.y, agent.yaw])
        if (
            agent.cls in STATIC_CLASSES
            or agent.intention is AgentIntention.PARKED
            or (speed < 0.05 and agent.acceleration <= 0.05)
        ):
            return np.tile(still, (STEPS, 1)), (agent.lane,) if agent.lane else ()
        lane = self._road.lanes.get(agent.lane or "")
        drives = lane is not None and lane.kind in (LaneKind.ROAD, LaneKind.CONNECTOR, LaneKind.BICYCLE)
        if agent.cls is AgentClass.PEDESTRIAN or lane is None or not drives:
            moved = still[:2] + velocity * TIMES[:, None]
            return np.column_stack([moved, np.full(STEPS, agent.yaw)]), ()
        line, along, names = self._path(lane.id, _TURNS.get(agent.intention, LateralAction.STRAIGHT))
        (at,), (offset,) = project_to_polyline(line, [[agent.x, agent.y]])
        i = min(int(np.searchsorted(along, at, side="right")) - 1, len(line) - 2)
        direction = np.arctan2(*(line[i + 1] - line[i])[::-1])
        if abs(float(wrap_angle(agent.yaw - direction))) > 1.2:
            # Against its lane: a wrong-way driver goes on as it goes.
            moved = still[:2] + velocity * TIMES[:, None]
            return np.column_stack([moved, np.full(STEPS, agent.yaw)]), ()
        travelled = _travelled(speed, agent.acceleration, lane.speed_limit, agent.intention in _YIELDING)
        places = at + travelled
        beyond = np.maximum(places - along[-1], 0.0)
        x, y = np.interp(places, along, line[:, 0]), np.interp(places, along, line[:, 1])
        ahead = np.minimum(places + 0.5, along[-1])
        back = ahead - 1.0
        yaw = np.arctan2(
            np.interp(ahead, along, line[:, 1]) - np.interp(back, along, line[:, 1]),
            np.interp(ahead, along, line[:, 0]) - np.interp(back, along, line[:, 0]),
        )
        x, y = x + beyond * np.cos(yaw) - offset * np.sin(yaw), y + beyond * np.sin(yaw) + offset * np.cos(yaw)
        return np.column_stack([x, y, yaw]), names

    def _path(self, lane: str, turn: LateralAction) -> tuple[Array, Array, tuple[str, ...]]:
        key = (lane, turn)
        if key not in self._paths:
            lanes, names, length = self._road.lanes, [lane], 0.0
            pieces = [lanes[lane].centerline]
            turned = lanes[lane].kind is LaneKind.CONNECTOR
            while length < 130.0:
                onward = [n for n in lanes[names[-1]].successors if n in lanes]
                if not onward:
                    break
                wanted = LateralAction.STRAIGHT if turned else turn
                chosen = next((n for n in onward if lanes[n].turn is wanted), onward[0])
                turned = turned or lanes[chosen].kind is LaneKind.CONNECTOR
                names.append(chosen)
                pieces.append(lanes[chosen].centerline)
                length += float(arc_length(lanes[chosen].centerline)[-1])
            line = np.concatenate(pieces)
            line = line[np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-3])]
            self._paths[key] = (line, arc_length(line), tuple(names))
        return self._paths[key]


def _travelled(speed: float, acceleration: float, limit: float, stops: bool) -> Array:
    """Metres driven at `TIMES`: who stops or yields brakes to rest, who accelerates does so for two seconds."""
    if stops or acceleration < -1.5:
        brake = max(-acceleration, 2.0)
        t = np.minimum(TIMES, speed / brake)
        return np.asarray(speed * t - 0.5 * brake * t * t)
    rate = min(max(acceleration, 0.0), 2.5)
    t = np.minimum(TIMES, 2.0)
    reached = np.minimum(speed + rate * TIMES, max(limit, speed))
    reached = np.where(TIMES > 2.0, np.minimum(speed + rate * 2.0, max(limit, speed)), reached)
    del t
    return np.concatenate([[0.0], np.cumsum(0.5 * (reached[1:] + reached[:-1]) * STEP)])


def shifted_in_time(values: Array, steps: int) -> Array:
    """Rows (a, t) read ``steps`` later (earlier where negative), held at the ends."""
    index: NDArray[np.int64] = np.clip(np.arange(values.shape[1]) + steps, 0, values.shape[1] - 1)
    return values[:, index]
