"""Standoffs with a standing ego, which SUMO cannot end: who could go on goes, who stands too near steps back.

SUMO knows the ego by its lane, not by its box: a driver in a junction waits for the ego for ever though the way before
him is free, and a person stops against the ego's flank, so that neither can go.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vadv2_core.geometry import Array, Pose2, arc_length, heading_at, point_at
from vadv2_core.scene import Agent, RoadMap
from vadv2_core.taxonomy import AgentClass, LaneKind
from vadv2_core.vehicle import VehicleConfig

EVERY = 5
"""Steps between two looks."""
PATIENCE = 5.0
"""The ego and the other must both have stood so long, s."""
NEAR = 30.0
"""Others within this distance of the ego are looked at, m."""
WAY = 8.0
"""So much of the way before somebody must be free for him to go, m."""
GO_SECONDS = 6.0
"""He goes without minding right of way for so long, s."""
ELBOW_ROOM = 0.9
"""A person who waits keeps so far from the standing ego, m."""
CLOSE, TURNING = 16.0, 7.0
"""In a junction, those so near the ego, m, and slower than this, m/s, mind its box."""
LET_GO_SPEED, STOPPING = 3.0, 3.5
"""How fast he goes, m/s, and what must stay free before him meanwhile, m."""
STEP_BACK = 0.08
"""He goes back by so much a step, m."""
_OBEYS, _GOES = 31, 55
"""SUMO's speed modes: everything on; right of way at and inside junctions off, leaders still minded."""


class Standoffs:
    """Watches one drive's traffic about the ego.

    Args:
        sumo: The libsumo module of the running simulation.
        road: The town's map.
        vehicle: The ego's sizes.
    """

    def __init__(self, sumo: Any, road: RoadMap, vehicle: VehicleConfig) -> None:
        self._sumo, self._road, self._vehicle = sumo, road, vehicle
        self._let: dict[str, float] = {}
        """Who was let go, and until when, s."""
        self._held: set[str] = set()
        self._aside: dict[str, tuple[float, float]] = {}
        self._still = 0.0
        self._steps = 0

    def step(self, pose: Pose2, speed: float, agents: tuple[Agent, ...], dt: float) -> None:
        """End what standoffs there are; call it before a step of traffic with the newest agents about the ego."""
        self._steps += 1
        self._still = self._still + dt if speed < 0.5 else 0.0
        now = self._steps * dt
        if self._let:
            self._lead(pose, agents, now)
        self._mind_the_box(pose, agents)
        if self._still >= PATIENCE or self._aside:
            self._step_back(pose, agents)
        if self._still < PATIENCE:
            return
        if self._steps % EVERY == 0 and not self._let:
            self._let_go(pose, agents, now)

    def _mind_the_box(self, pose: Pose2, agents: tuple[Agent, ...]) -> None:
        """Who drives through a junction stops before the ego's box; SUMO minds its lane alone."""
        vehicle = self._sumo.vehicle
        held: set[str] = set()
        for agent in agents:
            if not agent.id.startswith("v") or agent.id in self._let:
                continue
            if abs(agent.x - pose.x) > CLOSE or abs(agent.y - pose.y) > CLOSE:
                continue
            lane = self._road.lanes.get(agent.lane or "")
            if lane is None or lane.kind is not LaneKind.CONNECTOR:
                continue
            speed = math.hypot(*agent.velocity)
            if speed < TURNING and not self._way_is_free(agent, pose, (), 1.5 + speed * speed / 6.0):
                held.add(agent.id)
        if held or self._held:
            known = frozenset(vehicle.getIDList())
            for name in held & known:
                vehicle.setSpeed(name, 0.0)
            for name in (self._held - held) & known:
                vehicle.setSpeed(name, -1.0)
        self._held = held

    def _lead(self, pose: Pose2, agents: tuple[Agent, ...], now: float) -> None:
        """Who was let go still stops before whatever has got in his way; in time he minds right of way again."""
        vehicle = self._sumo.vehicle
        here = {a.id: a for a in agents if a.id in self._let}
        known = frozenset(vehicle.getIDList())
        for name, until in list(self._let.items()):
            if name not in known:
                del self._let[name]
            elif until < now or name not in here:
                vehicle.setSpeed(name, -1.0)
                vehicle.setSpeedMode(name, _OBEYS)
                del self._let[name]
            else:
                free = self._way_is_free(here[name], pose, agents, STOPPING)
                vehicle.setSpeed(name, LET_GO_SPEED if free else 0.0)

    def _step_back(self, pose: Pose2, agents: tuple[Agent, ...]) -> None:
        """People who wait against the ego's side make room for it, and stay there until it has gone."""
        middle = self._vehicle.centre_offset
        half = np.array([0.5 * self._vehicle.length, 0.5 * self._vehicle.width])
        for agent in agents:
            if agent.cls is not AgentClass.PEDESTRIAN or not agent.id.startswith("p"):
                continue
            if math.hypot(agent.x - pose.x, agent.y - pose.y) > 8.0:
                continue
            local = np.asarray(pose.inverse_transform((agent.x, agent.y))) - (middle, 0.0)
            outside = np.maximum(np.abs(local) - half, 0.0)
            # Before the ego's nose he is waited for; it is beside it that nobody can go.
            if agent.id in self._aside or local[0] > half[0] or float(np.hypot(*outside)) > ELBOW_ROOM:
                continue
            if self._still >= PATIENCE and math.hypot(*agent.velocity) < 0.3:
                aside = (local[0] + middle, math.copysign(half[1] + ELBOW_ROOM + 0.3, local[1]))
                x, y = pose.transform(aside)
                self._aside[agent.id] = float(x), float(y)
        known = frozenset(self._sumo.person.getIDList()) if self._aside else frozenset()
        places = {a.id: (a.x, a.y) for a in agents if a.id in self._aside}
        for name, (x, y) in list(self._aside.items()):
            if name not in known or name not in places or self._gone(pose, x, y):
                del self._aside[name]
                continue
            px, py = places[name]
            gap = math.hypot(x - px, y - py)
            share = min(1.0, STEP_BACK / max(gap, 1e-6))
            self._sumo.person.moveToXY(name, "", px + share * (x - px), py + share * (y - py), keepRoute=2)

    def _gone(self, pose: Pose2, x: float, y: float) -> bool:
        """Whether the ego's tail is past a place beside it."""
        return float(pose.inverse_transform((x, y))[0]) < -self._vehicle.rear_overhang - 0.5

    def _let_go(self, pose: Pose2, agents: tuple[Agent, ...], now: float) -> None:
        """The one who has waited longest in a junction, of those whose way is free, stops waiting."""
        vehicle = self._sumo.vehicle
        waiting = []
        for agent in agents:
            if not agent.id.startswith("v") or math.hypot(*agent.velocity) > 0.3:
                continue
            if math.hypot(agent.x - pose.x, agent.y - pose.y) > NEAR or agent.cls is AgentClass.PEDESTRIAN:
                continue
            if vehicle.getLaneID(agent.id).startswith(":"):
                waited = vehicle.getWaitingTime(agent.id)
                if waited > PATIENCE:
                    waiting.append((-waited, agent.id, agent))
        for _, name, agent in sorted(waiting, key=lambda row: row[:2]):
            if self._way_is_free(agent, pose, agents):
                vehicle.setSpeedMode(name, _GOES)
                self._let[name] = now + GO_SECONDS
                return

    def _way_is_free(self, agent: Agent, pose: Pose2, agents: tuple[Agent, ...], length: float = WAY) -> bool:
        way = self._way(agent, length)
        if way is None:
            return False
        along, yaw = way
        reach = 0.5 * agent.width + 0.25
        ego = pose.transform((self._vehicle.centre_offset, 0.0))
        boxes = [(float(ego[0]), float(ego[1]), pose.yaw, self._vehicle.length, self._vehicle.width)]
        boxes += [(a.x, a.y, a.yaw, a.length, a.width) for a in agents if a.id != agent.id]
        for x, y, heading, long, wide in boxes:
            if math.hypot(x - agent.x, y - agent.y) > WAY + long + agent.length:
                continue
            edge = _perimeter(x, y, heading, long, wide)
            gap = edge[:, None] - along[None]
            c, s = np.cos(yaw), np.sin(yaw)
            ahead, side = gap[..., 0] * c + gap[..., 1] * s, gap[..., 1] * c - gap[..., 0] * s
            if ((np.abs(ahead) < 0.6) & (np.abs(side) < reach)).any():
                return False
        return True

    def _way(self, agent: Agent, length: float) -> tuple[Array, Array] | None:
        """Points and headings from an agent's nose on, along its lane and what follows it."""
        lane = self._road.lanes.get(agent.lane or "")
        if lane is None:
            return None
        parts = [lane.centerline]
        if lane.successors and lane.successors[0] in self._road.lanes:
            parts.append(self._road.lanes[lane.successors[0]].centerline)
        line = np.concatenate(parts)
        line = line[np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-3])]
        nose = 0.5 * agent.length
        gap = line - (agent.x, agent.y)
        s = float(arc_length(line)[int(np.hypot(*gap.T).argmin())])
        at = s + nose + 0.4 + np.arange(0.0, length, 0.5)
        return np.asarray(point_at(line, at)), np.asarray(heading_at(line, at))


def _perimeter(x: float, y: float, yaw: float, length: float, width: float) -> Array:
    """Points (n, 2) about every half metre along a box's edge."""
    n, m = max(int(length / 0.5), 1), max(int(width / 0.5), 1)
    u, v = np.linspace(-0.5, 0.5, n + 1), np.linspace(-0.5, 0.5, m + 1)
    local = np.concatenate(
        [np.stack([u * length, np.full(n + 1, k * width)], axis=1) for k in (-0.5, 0.5)]
        + [np.stack([np.full(m + 1, k * length), v * width], axis=1) for k in (-0.5, 0.5)]
    )
    c, s = math.cos(yaw), math.sin(yaw)
    return np.asarray(local @ np.array([[c, s], [-s, c]]) + (x, y))
