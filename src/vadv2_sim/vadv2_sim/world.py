"""The world the ego drives in: a town, its traffic, a scenario, and the ego's body, stepped together at 10 Hz."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

from vadv2_core.command import DrivingCommand
from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2, arc_length
from vadv2_core.language.commands import command_text
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.stamps import NANOSECONDS, Stamp, stamp_from_seconds
from vadv2_core.taxonomy import DrivingAction, Weather
from vadv2_sim.configuration import WorldConfig
from vadv2_sim.drive_events import DriveEvent, EventDetector, EventKind
from vadv2_sim.ego_vehicle import EgoVehicle
from vadv2_sim.lane_finder import LaneFinder, LaneMatch
from vadv2_sim.road_map import town_map
from vadv2_sim.route_plan import RouteFinder, RoutePlan, edge_of, edges_of
from vadv2_sim.scenario import Scenario, Site, with_goal
from vadv2_sim.scenarios import make_scenario
from vadv2_sim.standoffs import Standoffs
from vadv2_sim.street_furniture import road_works
from vadv2_sim.sumo_session import STEP, sumo_errors
from vadv2_sim.town import Town, load_town
from vadv2_sim.traffic import EGO, Traffic

STEP_NS = round(STEP * NANOSECONDS)
ANNOUNCE = 60.0
"""A manoeuvre is announced so far ahead, m."""
ARRIVAL = 45.0
"""To stop at the goal is asked for so far before it, m: enough to come to rest from 50 km/h at 2.2 m/s²."""
_AT_GOAL = 3.0
"""m before the goal, within which who stands because it was told to has arrived."""
FIRST_STAMP = stamp_from_seconds(1000.0)
"""Simulated time of the first scene; not zero, so that a stamp of zero always means none."""


_FOLLOW = command_text(DrivingAction.LANE_FOLLOW)


class World:
    """One drive in a town; one at a time in a process (libsumo holds one simulation).

    Args:
        town: Name of a committed town, a folder with a SUMO net, or a loaded town.
        scenario: Name of a scenario (``sim list``); ``free`` for plain traffic.
        seed: Of everything random; equal arguments and commands give equal scenes.
        config: The frame.
        values: Scenario parameters set by hand.

    Raises:
        InputError: for an unknown town or scenario, or a town without a place for it.
    """

    def __init__(
        self,
        town: str | Path | Town,
        scenario: str = "free",
        seed: int = 0,
        config: WorldConfig | None = None,
        values: dict[str, float] | None = None,
    ) -> None:
        self.town = town if isinstance(town, Town) else load_town(town)
        self.config = config or WorldConfig()
        self.seed, self.scenario_name, self._values = seed, scenario, values
        self.map = town_map(self.town)
        self.finder = LaneFinder(self.map.road)
        self.scenario: Scenario = make_scenario(scenario, seed, values)
        self.events: list[DriveEvent] = []
        self.finished, self.success, self.reason = False, False, ""
        self.traffic: Traffic
        self.route: RoutePlan
        self.ego: EgoVehicle

    @property
    def road(self) -> RoadMap:
        """The town's map."""
        return self.map.road

    @property
    def time(self) -> float:
        """Seconds since the drive began."""
        return (self.stamp - FIRST_STAMP) / NANOSECONDS

    @property
    def speed(self) -> float:
        """The ego's speed, m/s."""
        return self.ego.state.speed

    def reset(self) -> Scene:
        """Begin the drive again from its start and return its first scene.

        Raises:
            InputError: where the town has no place for the scenario, or SUMO gave up.
        """
        with sumo_errors(self.town.name):
            return self._reset()

    def _reset(self) -> Scene:
        rng = random.Random(self.seed * 104729 + 17)
        self.scenario = make_scenario(self.scenario_name, self.seed, self._values)
        self.traffic = Traffic(self.town, self.map, self.seed, self.config.traffic, self.config.vehicle)
        self._standing_works(self.town.facts.seed)
        placement = self.scenario.place(Site(self.map, RouteFinder(self.map, self.traffic.closed), rng))
        for lane in placement.closed:
            self.traffic.close_lane(road_works(self.road.lanes[lane], rng))
        for lane in placement.barred:
            self.traffic.bar_lane(lane)
        finder = RouteFinder(self.map, self.traffic.barred)
        self.route = finder.plan(placement.edges, placement.start_lane, placement.change_at)
        self.placement = with_goal(placement, self.route.length)
        x, y, yaw = self.route.pose_at(placement.start)
        self.ego = EgoVehicle(self.config.vehicle, Pose2(x, y, yaw), placement.speed)
        self.s = placement.start
        self.stamp: Stamp = FIRST_STAMP
        self.traffic.start((x, y))
        self._make_room(max(14.0, 2.5 * placement.speed, self.scenario.clear_ahead))
        self.traffic.put_ego(self.ego.state.pose, self.route.edges)
        self.events = []
        self._detector = EventDetector(self.road, self.finder, self.config.vehicle)
        self._standoffs = Standoffs(self.traffic.sumo, self.road, self.config.vehicle)
        self.finished, self.success, self.reason = False, False, ""
        self.traffic.step((x, y))
        self.scenario.begin(self)
        self.scene = self._see()
        return self.scene

    def step(self, command: VehicleCommand) -> Scene:
        """Obey a command for 0.1 s, let traffic react, and return what is then the case.

        Raises:
            InputError: if SUMO died, or the drive was not `reset` first.
        """
        if not hasattr(self, "ego"):
            raise InputError("a step before the first reset", "world", "reset()")
        with sumo_errors(self.town.name):
            return self._step(command)

    def _step(self, command: VehicleCommand) -> Scene:
        self.ego.step(command, STEP)
        if not self.traffic.has_ego():
            self.traffic.put_ego(self.ego.state.pose, self._edges_ahead())
        self.traffic.move_ego(self.ego.state.pose)
        self.scenario.tick(self)
        self._standoffs.step(self.ego.state.pose, self.ego.state.speed, self.scene.agents, STEP)
        self.traffic.step(self.ego.centre())
        self.stamp += STEP_NS
        self.scene = self._see()
        return self.scene

    def close(self) -> None:
        """End the simulation."""
        if hasattr(self, "traffic"):
            self.traffic.close()

    def command(self, scene: Scene) -> DrivingCommand:
        """The route's next manoeuvre in words and as an action, as of a scene of this drive."""
        command = DrivingCommand(scene.stamp, _FOLLOW, DrivingAction.LANE_FOLLOW)
        s = self.s
        for m in self.route.manoeuvres:
            if m.end > s and m.start - s < ANNOUNCE and m.start < self.placement.goal:
                gap = max(0.0, m.start - s)
                command = DrivingCommand(scene.stamp, command_text(m.action, gap), m.action, gap)
                break
        left = self.placement.goal - s
        if left < ARRIVAL and command.action == DrivingAction.LANE_FOLLOW:
            command = DrivingCommand(
                scene.stamp, command_text(DrivingAction.STOP, left), DrivingAction.STOP, max(0.0, left)
            )
        return self.scenario.command(self, command)

    def _see(self) -> Scene:
        ego = self.ego.ego_state(self.stamp)
        x, y = self.ego.centre()
        self.s, _ = self.route.project(ego.pose.x, ego.pose.y, self.s)
        match = self.finder.match(x, y, ego.pose.yaw, self._lanes_near())
        agents = tuple(self.traffic.agents(x, y))
        signals = self.traffic.signals(x, y)
        route = self.route.ahead(self.stamp, self.s)
        weather = Weather[self.config.weather.upper()], self.config.weather_intensity
        if weather[0] == Weather.DAY:
            weather = Weather.DAY, 0.0
        weather = self.scenario.weather or weather
        nothing_said = DrivingCommand(self.stamp, "", DrivingAction.UNKNOWN)
        scene = Scene(
            self.stamp, ego, agents, signals, nothing_said, route, frozenset(self.traffic.closed), *weather,
            match.lane, self.scenario_name, tuple(self.scenario.events),
        )  # fmt: skip
        scene = replace(scene, command=self.command(scene))
        self._judge(scene, match)
        return scene

    def _judge(self, scene: Scene, match: LaneMatch) -> None:
        limit = scene.route.speed_limit if scene.route else 0.0
        found = self._detector.step(
            scene.stamp, scene.ego.pose, scene.ego.speed, match, limit, scene.agents, scene.signals
        )
        self.events += found
        if self.finished:
            return
        seconds = self.config.seconds or self.scenario.info.seconds
        blamed = any(e.kind == EventKind.COLLISION and e.at_fault for e in found)
        if blamed and self.config.stop_on_collision:
            self._finish("collision")
        elif any(e.kind == EventKind.STUCK for e in found):
            self._finish("stuck")
        elif self.s >= self.placement.goal or self._stands_at_goal(scene):
            self._finish("goal")
            self.success = self.scenario.succeeded(self)
        elif self.time >= seconds - 1e-6:
            self._finish("time")
            self.success = self.config.seconds > 0 and self.scenario.succeeded(self)

    def _stands_at_goal(self, scene: Scene) -> bool:
        told = scene.command.action is DrivingAction.STOP
        return told and scene.ego.speed < 0.1 and self.placement.goal - self.s < _AT_GOAL

    def _finish(self, reason: str) -> None:
        self.finished, self.reason = True, reason

    def _lanes_near(self) -> frozenset[str]:
        low, high = (int(min(max(self.s + d, 0), len(self.route.lane_index) - 1)) for d in (-8.0, 10.0))
        return frozenset(self.route.lane_ids[k] for k in set(self.route.lane_index[low : high + 1].tolist()))

    def _edges_ahead(self) -> tuple[str, ...]:
        index = int(self.route.lane_index[min(int(self.s), len(self.route.lane_index) - 1)])
        return edges_of(self.route.lane_ids[index:]) or self.route.edges[-1:]

    def _make_room(self, ahead: float) -> None:
        """Take away who stands where the ego appears."""
        vehicle = self.traffic.sumo.vehicle
        for name in vehicle.getIDList():
            x, y = vehicle.getPosition(name)
            pose = self.ego.state.pose
            if math.hypot(x - pose.x, y - pose.y) > max(ahead, 14.0) + 10.0:
                continue
            s, offset = self.route.project(x, y)
            close = math.hypot(x - pose.x, y - pose.y) < 12.0
            if close or (abs(offset) < 2.0 and -16.0 < s - self.s < ahead + 5.0):
                vehicle.remove(name)
        person = self.traffic.sumo.person
        for name in person.getIDList():
            s, offset = self.route.project(*person.getPosition(name))
            walks = person.getLaneID(name).startswith(":")
            if walks and abs(offset) < 5.0 and -4.0 < s - self.s < ahead:
                person.removeStages(name)

    def _standing_works(self, seed: int) -> None:
        """Close the lanes of the town's own road works."""
        rng = random.Random(seed)
        lanes = [
            lane
            for lane in self.road.lanes.values()
            if (lane.left or lane.right) and lane.junction is None and float(arc_length(lane.centerline)[-1]) > 70.0
        ]
        rng.shuffle(lanes)
        for lane in lanes:
            if len(self.traffic.closed) >= self.town.facts.works:
                return
            edges = {edge_of(a) for a in self.traffic.closed}
            back = "_".join(reversed(edge_of(lane.id).split("_")))
            if edge_of(lane.id) in edges or back in edges:
                continue
            self.traffic.close_lane(road_works(lane, random.Random(f"{seed}:{lane.id}")))


__all__ = ["EGO", "FIRST_STAMP", "STEP_NS", "World", "WorldConfig"]
