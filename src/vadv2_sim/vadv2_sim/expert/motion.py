"""Where the others will be, as intervals along and across the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, arc_length, project_to_polyline
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.taxonomy import (
    STATIC_CLASSES,
    AgentClass,
    AgentIntention,
    LaneKind,
    LateralAction,
)
from vadv2_sim.expert.route_path import RoutePath

TIMES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.5, 8.0])
"""Moments predicted, s."""
AHEAD, BEHIND, BESIDE = 95.0, 75.0, 22.0


@dataclass(frozen=True, slots=True)
class Movers:
    """Others near the way.

    Attributes:
        agents: In order.
        low, high: (n, times) where each box begins and ends along the path, m.
        right, left: (n, times) its limits across the path, m left of it.
        speed: (n,) along the path, m/s; negative towards the ego.
        turn: (n,) heading against the path's, rad.
        static: (n,) stands and will stand.
    """

    agents: tuple[Agent, ...]
    low: Array
    high: Array
    right: Array
    left: Array
    speed: Array
    turn: Array
    static: NDArray[np.bool_]


class MotionModel:
    """Predicts others along their lanes, by what they mean to do, or straight on.

    Args:
        road: The map.
    """

    def __init__(self, road: RoadMap) -> None:
        self._road = road
        self._chains: dict[tuple[str, LateralAction | None], tuple[Array, Array, Array]] = {}

    def near(self, scene: Scene, path: RoutePath, here: float) -> Movers:
        """Others within reach of the ego at distance ``here`` along the path, predicted over `TIMES`."""
        agents = scene.agents
        if agents:
            places = np.array([(a.x, a.y) for a in agents])
            ego = scene.ego.pose
            close = np.flatnonzero(((places - [ego.x, ego.y]) ** 2).sum(axis=1) < (AHEAD + 10.0) ** 2)
            s, d = path.project(places[close])
            size = np.array([agents[k].length for k in close])
            inside = (s > here - BEHIND) & (s < min(here + AHEAD, path.length - 0.2)) & (np.abs(d) < BESIDE + size)
            moving = np.array([np.hypot(*agents[k].velocity) > 0.3 for k in close], dtype=bool)
            # What stands far beside the way never matters.
            inside &= moving | (np.abs(d) < 7.0 + 0.5 * size)
            agents = tuple(agents[k] for k in close[inside])
        n, t = len(agents), len(TIMES)
        if not n:
            none = np.zeros((0, t))
            return Movers(
                (),
                none,
                none,
                none,
                none,
                np.zeros(0),
                np.zeros(0),
                np.zeros(0, dtype=bool),
            )
        x, y, yaw = np.empty((n, t)), np.empty((n, t)), np.empty((n, t))
        for k, agent in enumerate(agents):
            x[k], y[k], yaw[k] = self._future(agent)
        length = np.array([a.length for a in agents])[:, None]
        width = np.array([a.width for a in agents])[:, None]
        # A box lies about its centre's place on the path: on a way that comes back, its corners must not jump.
        middle, off = path.project(np.stack([x, y], axis=-1))
        against = yaw - path.heading(middle)
        c, d = np.abs(np.cos(against)), np.abs(np.sin(against))
        along, across = 0.5 * (length * c + width * d), 0.5 * (length * d + width * c)
        turn = (against[:, 0] + np.pi) % (2 * np.pi) - np.pi
        pace = np.array([float(np.hypot(*a.velocity)) for a in agents])
        static = np.array([_static(a) for a in agents], dtype=bool)
        return Movers(
            agents, middle - along, middle + along, off - across, off + across, pace * np.cos(turn), turn, static
        )  # fmt: skip

    def _future(self, agent: Agent) -> tuple[Array, Array, Array]:
        speed = float(np.hypot(*agent.velocity))
        if speed < 0.1:
            return (
                np.full(len(TIMES), agent.x),
                np.full(len(TIMES), agent.y),
                np.full(len(TIMES), agent.yaw),
            )
        brake = np.clip(agent.acceleration, -7.0, 0.0) if agent.cls is not AgentClass.PEDESTRIAN else 0.0
        if brake < -0.3:
            stop = min(speed / -brake, 2.5)
            t = np.minimum(TIMES, stop)
            way = speed * t + 0.5 * brake * t * t + np.maximum(TIMES - stop, 0.0) * max(speed + brake * stop, 0.0)
        else:
            way = speed * TIMES
        lane = self._road.lanes.get(agent.lane or "")
        if lane is None or lane.kind in (LaneKind.SIDEWALK, LaneKind.CROSSING) or agent.cls is AgentClass.PEDESTRIAN:
            # Along the velocity: people walk backwards and sideways too.
            c, s = agent.velocity[0] / speed, agent.velocity[1] / speed
            return agent.x + c * way, agent.y + s * way, np.full(len(TIMES), agent.yaw)
        line, along, heading = self._chain(agent)
        s0, d0 = project_to_polyline(line[: 2 + len(lane.centerline)], (agent.x, agent.y))
        off = float(np.interp(s0, along, heading)) - agent.yaw
        if np.cos(off) < 0.6 or abs(float(d0)) > 2.5:
            c, s = np.cos(agent.yaw), np.sin(agent.yaw)
            return agent.x + c * way, agent.y + s * way, np.full(len(TIMES), agent.yaw)
        drift: Array = np.zeros(len(TIMES))
        if agent.intention is AgentIntention.MERGES and agent.indicator in (1, -1):
            drift = agent.indicator * np.minimum(0.9 * TIMES, 3.2)
        at = np.minimum(float(s0) + way, along[-1])
        yaw = np.interp(at, along, heading)
        side = float(d0) + drift
        x = np.interp(at, along, line[:, 0]) - side * np.sin(yaw)
        y = np.interp(at, along, line[:, 1]) + side * np.cos(yaw)
        return x, y, yaw

    def _chain(self, agent: Agent) -> tuple[Array, Array, Array]:
        """The lane an agent is on and the way it means to go on: points, distances, headings."""
        wanted = {
            AgentIntention.TURNS_LEFT: LateralAction.LEFT_TURN,
            AgentIntention.TURNS_RIGHT: LateralAction.RIGHT_TURN,
            AgentIntention.KEEPS: LateralAction.STRAIGHT,
        }.get(agent.intention)
        key = (agent.lane or "", wanted)
        if key not in self._chains:
            lanes = self._road.lanes
            here = lanes[key[0]]
            parts = [here.centerline]
            length = 0.0
            while length < 120.0:
                onward = [lanes[s] for s in here.successors if s in lanes]
                if not onward:
                    break
                fitting = [x for x in onward if x.turn is wanted] if wanted is not None else []
                straight = [x for x in onward if x.turn is LateralAction.STRAIGHT]
                here = (fitting or straight or onward)[0]
                parts.append(here.centerline)
                length += float(arc_length(here.centerline)[-1])
            line = np.concatenate(parts)
            gap = np.hypot(*np.diff(line, axis=0).T)
            line = line[np.concatenate([[True], gap > 1e-3])]
            step = np.diff(line, axis=0)
            yaw = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
            self._chains[key] = (line, arc_length(line), np.append(yaw, yaw[-1]))
        return self._chains[key]


def _static(agent: Agent) -> bool:
    return agent.cls in STATIC_CLASSES or agent.intention is AgentIntention.PARKED
