"""A plain driver: follows the route's centre line with the intelligent driver model, stops for reds and obstacles.

It needs nothing but the `Scene` and the map and knows no right of way; the expert (`vadv2_sim.expert`) does.
Model: Treiber, Hennecke, Helbing 2000, "Congested traffic states in empirical observations and simulations".
"""

from __future__ import annotations

import math

import numpy as np

from vadv2_core.geometry import Array, arc_length, heading_at, point_at, project_to_polyline
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import SignalState, StopControl
from vadv2_core.trajectory import PLAN_POINTS, Trajectory
from vadv2_core.vehicle import VehicleConfig

_STOP_STATES = (SignalState.RED, SignalState.YELLOW, SignalState.RED_YELLOW)


class LaneFollower:
    """Drives a route without turning its head.

    Args:
        road: The town's map.
        vehicle: The ego's sizes and limits.
    """

    headway, gap, acceleration, comfort = 1.4, 3.0, 1.6, 2.2

    def __init__(self, road: RoadMap, vehicle: VehicleConfig | None = None) -> None:
        self._road, self._vehicle = road, vehicle or VehicleConfig()
        self._lines = {line.lane: line for line in road.stop_lines if line.control == StopControl.SIGNAL}

    def plan(self, scene: Scene) -> Trajectory:
        """Eight seconds along the route.

        Raises:
            ValueError: for a scene without a route.
        """
        if scene.route is None:
            raise ValueError("a lane follower needs a route")
        pose, speed = scene.ego.pose, max(0.0, scene.ego.speed)
        line = scene.route.points
        here = float(project_to_polyline(line, (pose.x, pose.y))[0])
        gap, lead_speed = self._lead(scene, line, here)
        limit = self._curve_speeds(line, scene.route.speed_limit or 8.0)
        along = arc_length(line)
        s, v, rows = here, speed, []
        lateral = float(project_to_polyline(line, (pose.x, pose.y))[1])
        for k in range(1, PLAN_POINTS + 1):
            wanted = float(
                np.min(limit[(along >= s) & (along <= s + 0.6 * v * v / self.comfort / 2 + 4.0)], initial=30.0)
            )
            left = gap - (s - here) + lead_speed * 0.1 * k
            a = self.acceleration * (1.0 - (v / max(wanted, 0.5)) ** 4)
            if math.isfinite(left):
                desired = self.gap + max(
                    0.0, v * self.headway + v * (v - lead_speed) / (2 * math.sqrt(self.acceleration * self.comfort))
                )
                a -= self.acceleration * (desired / max(left, 0.3)) ** 2
            a = max(-self._vehicle.max_deceleration, min(self.acceleration, a))
            a = max(a, -v / 0.1)
            s, v = s + max(0.0, v * 0.1 + 0.005 * a), max(0.0, v + 0.1 * a)
            fade = lateral * math.exp(-(s - here) / 8.0)
            yaw = float(heading_at(line, s))
            x, y = point_at(line, s)
            local = pose.inverse_transform((x - fade * math.sin(yaw), y + fade * math.cos(yaw)))
            turn = math.remainder(yaw - pose.yaw, 2 * math.pi)
            rows.append((0.1 * k, float(local[0]), float(local[1]), turn, v, a))
        return Trajectory(scene.stamp, pose, np.array(rows), 1.0)

    def _curve_speeds(self, line: Array, limit: float) -> Array:
        d = np.diff(line, axis=0)
        yaw = np.unwrap(np.arctan2(d[:, 1], d[:, 0]))
        step = np.hypot(*d.T)
        curvature = np.abs(np.convolve(np.diff(yaw, append=yaw[-1]) / np.maximum(step, 1e-3), np.ones(5) / 5, "same"))
        speeds = np.minimum(limit, np.sqrt(2.0 / np.maximum(curvature, 1e-4)))
        return np.append(speeds, speeds[-1])

    def _lead(self, scene: Scene, line: Array, here: float) -> tuple[float, float]:
        """Gap to and speed of the first thing on the way: a road user, a red light's line."""
        front = self._vehicle.length - self._vehicle.rear_overhang
        best, best_speed = math.inf, 0.0
        if scene.agents:
            places = np.array([(a.x, a.y) for a in scene.agents])
            s, offset = project_to_polyline(line, places)
            for k, agent in enumerate(scene.agents):
                clear = 0.5 * (self._vehicle.width + agent.width) + (0.6 if agent.length < 1.0 else 0.3)
                ahead = float(s[k]) - here
                if abs(offset[k]) > clear or not 0.5 < ahead < 80.0:
                    continue
                gap = ahead - front - 0.5 * agent.length
                yaw = float(heading_at(line, s[k]))
                speed = agent.velocity[0] * math.cos(yaw) + agent.velocity[1] * math.sin(yaw)
                if gap < best:
                    best, best_speed = gap, max(0.0, speed)
        for lane in scene.route.lane_ids if scene.route else ():
            stop = self._lines.get(lane)
            if stop is None or scene.signals.get(stop.signal or "") not in _STOP_STATES:
                continue
            s_line = float(project_to_polyline(line, stop.segment.mean(axis=0))[0])
            gap = s_line - here - front
            if gap + 1.0 > 0.0 and gap + self.gap - 1.0 < best:
                best, best_speed = max(gap + self.gap - 1.0, 0.1), 0.0
        return best, best_speed
