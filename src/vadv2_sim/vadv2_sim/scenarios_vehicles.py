"""Scenarios with one other vehicle: cutting in, braking hard, going the wrong way, coming with blue lights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vadv2_core.geometry import Array, arc_length, heading_at, point_at
from vadv2_core.scene import Lane
from vadv2_core.taxonomy import AgentIntention, Cause, EdgeCaseFlag
from vadv2_sim.route_plan import edge_of
from vadv2_sim.scenario import Placement, Scenario, ScenarioInfo, ScenarioParameter, Site
from vadv2_sim.scenario_actors import Puppet, clear_around, put_on_route, room_ahead
from vadv2_sim.scenario_places import along, first_of, long_roads, wide_lanes

if TYPE_CHECKING:
    from vadv2_sim.world import World


def beside(points: Array, offset: Array) -> Array:
    """A polyline moved to its left by ``offset`` m at each point."""
    d = np.gradient(points, axis=0)
    d = d / np.maximum(np.hypot(*d.T), 1e-6)[:, None]
    return np.asarray(points + offset[:, None] * np.stack([-d[:, 1], d[:, 0]], axis=-1))


class CutIn(Scenario):
    """A vehicle cuts in."""

    info = ScenarioInfo(
        "cut_in",
        "A vehicle beside the ego overtakes, moves into its lane closely ahead, and slows down.",
        "a drawn time after the start, once the vehicle is a little ahead",
        "the ego opens the gap without touching it and reaches the goal",
        90.0,
        (EdgeCaseFlag.CUT_IN,),
        (Cause.CUT_IN, Cause.LEAD_VEHICLE),
        {
            "after": ScenarioParameter(1.5, 3.0, "s", "from the start to the lane change"),
            "gap": ScenarioParameter(9.0, 13.0, "m", "between the ego's front axle and the vehicle's centre"),
            "slows_to": ScenarioParameter(0.55, 0.8, "", "share of its speed that it keeps"),
        },
    )
    clear_ahead = 60.0

    def place(self, site: Site) -> Placement:
        """A road with two lanes, the ego in one that it may stay in."""

        def build(lane: Lane) -> Placement | None:
            self._from_left = lane.left is not None
            return along(site, lane, 8.0, 110.0, min(9.0, lane.speed_limit))

        placement = first_of(site, wide_lanes(site, 85.0), build)
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """The vehicle drives beside the ego."""
        plan = world.route
        width = world.road.lanes[plan.lane_ids[0]].width
        here = world.s
        side = 1.0 if self._from_left else -1.0
        reach = plan.along >= here - 10.0
        self._speed = max(6.0, world.speed * 1.15)
        # It changes lanes over 2.6 s, beginning where it is by then.
        begin = here + 8.0 + self._speed * self.values["after"]
        u = np.clip((plan.along[reach] - begin) / (2.6 * self._speed), 0.0, 1.0)
        offset = side * width * (1.0 - u * u * (3.0 - 2.0 * u))
        path = beside(plan.points[reach], offset)
        self._puppet: Puppet | None = Puppet("cutter", path, "car", 10.0 + 4.0, self._speed)
        for d in (0.0, 15.0, 30.0):
            x, y = point_at(path, 14.0 + d)
            clear_around(world, float(x), float(y), 12.0)
        self._puppet.appear(world, plan.edges[0])
        self._puppet.say(world, AgentIntention.KEEPS, Cause.FREE_ROAD)

    def tick(self, world: World) -> None:
        """Come alongside, change, slow down, drive on and be let go."""
        puppet = self._puppet
        if puppet is None:
            return
        centre = world.route.project(*(float(v) for v in point_at(puppet.path, puppet.s)))[0]
        gap = centre - world.s - 2.7
        t = world.time - self.values["after"]
        wanted = puppet.speed
        if t < 0.0:
            # Close up to the wanted gap, then hold it until the change.
            wanted = float(np.clip(world.speed + 0.8 * (self.values["gap"] - gap), 3.0, 14.0))
        elif t < 2.6:
            wanted = max(puppet.speed, 5.0)
            puppet.say(world, AgentIntention.MERGES, Cause.LANE_CHANGE)
            side = 1 if not self._from_left else 2
            world.traffic.sumo.vehicle.setSignals(puppet.name, 2 if side == 1 else 1)
            self.happen("cut_in")
        elif t < 7.0:
            wanted = max(self._speed * self.values["slows_to"], puppet.speed - 0.25)
            puppet.say(world, AgentIntention.KEEPS, Cause.FREE_ROAD)
            world.traffic.sumo.vehicle.setSignals(puppet.name, 8)
        else:
            wanted = min(self._speed * 1.1, puppet.speed + 0.15)
            world.traffic.sumo.vehicle.setSignals(puppet.name, 0)
        ahead = gap > 55.0 or centre > world.placement.goal + 40.0
        if puppet.arrived or (t > 9.0 and ahead):
            puppet.leave(world)
            self._puppet = None
        else:
            puppet.pace(min(wanted, room_ahead(world, puppet)))
            puppet.move(world)


class HardBrake(Scenario):
    """The vehicle ahead brakes hard."""

    info = ScenarioInfo(
        "hard_brake",
        "The vehicle ahead of the ego brakes hard to a standstill, waits, and drives on.",
        "a drawn time after the start",
        "the ego stops behind it without touching it and reaches the goal",
        90.0,
        (EdgeCaseFlag.HARD_BRAKE_AHEAD,),
        (Cause.LEAD_VEHICLE, Cause.STOPPED_VEHICLE),
        {
            "after": ScenarioParameter(2.5, 4.5, "s", "from the start to the braking"),
            "headway": ScenarioParameter(1.4, 2.2, "s", "behind it at the start"),
            "deceleration": ScenarioParameter(4.5, 7.0, "m/s^2", "how hard it brakes"),
            "wait": ScenarioParameter(2.0, 4.0, "s", "how long it stands"),
        },
    )
    clear_ahead = 70.0

    def place(self, site: Site) -> Placement:
        """A road long enough to brake on."""
        roads = long_roads(site, 78.0)
        placement = first_of(site, roads, lambda lane: along(site, lane, 6.0, 110.0, min(9.0, lane.speed_limit)))
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Set the vehicle ahead."""
        speed = max(world.speed, 6.0)
        front = world.config.vehicle.length - world.config.vehicle.rear_overhang
        put_on_route(world, "braker", "car", world.s + front + 4.4 + speed * self.values["headway"], speed)
        world.traffic.sumo.vehicle.setSpeedMode("braker", 7)
        world.traffic.sumo.vehicle.setMaxSpeed("braker", speed)
        self._released = False

    def tick(self, world: World) -> None:
        """Brake once, wait, go."""
        vehicle = world.traffic.sumo.vehicle
        if "braker" not in vehicle.getIDList():
            return
        after = self.values["after"]
        stop = after + vehicle.getAllowedSpeed("braker") / self.values["deceleration"]
        if world.time >= after and "hard_brake" not in self.events:
            vehicle.setDecel("braker", 9.0)
            vehicle.setEmergencyDecel("braker", 9.0)
            vehicle.slowDown("braker", 0.0, vehicle.getSpeed("braker") / self.values["deceleration"])
            world.traffic.overrides["braker"] = (AgentIntention.STOPS, Cause.UNKNOWN)
            self.happen("hard_brake")
        elif not self._released and world.time >= stop:
            if world.time >= stop + self.values["wait"]:
                vehicle.setSpeed("braker", -1.0)
                vehicle.setMaxSpeed("braker", 16.0)
                world.traffic.overrides.pop("braker", None)
                self._released = True
            else:
                vehicle.setSpeed("braker", 0.0)


class WrongWay(Scenario):
    """A vehicle comes the wrong way."""

    info = ScenarioInfo(
        "wrong_way",
        "An oncoming vehicle is in the ego's lane, and swerves back to its own side late.",
        "a drawn time after the start, the vehicle 80 to 100 m ahead",
        "the ego slows down or evades without touching it and reaches the goal",
        90.0,
        (EdgeCaseFlag.WRONG_WAY_VEHICLE,),
        (Cause.WRONG_WAY_VEHICLE,),
        {
            "speed": ScenarioParameter(5.0, 8.0, "m/s", "of the oncoming vehicle"),
            "swerve": ScenarioParameter(24.0, 34.0, "m", "between the two when it begins to swerve"),
        },
    )
    clear_ahead = 110.0

    def place(self, site: Site) -> Placement:
        """The lane next to the opposing lane, long and straight."""

        def build(lane: Lane) -> Placement | None:
            back = "_".join(reversed(edge_of(lane.id).split("_")))
            if lane.left is not None or back not in site.finder.lanes_of:
                return None
            return along(site, lane, 4.0, 120.0, 7.0)

        roads = long_roads(site, 76.0)
        placement = first_of(site, roads, build)
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Out of the way until it is sent."""
        self._puppet: Puppet | None = None
        self._offset, self._over = 0.0, False

    def tick(self, world: World) -> None:
        """Come, swerve, pass, go."""
        if self._over:
            return
        if self._puppet is None:
            far = min(world.s + 84.0, world.route.length - 5.0)
            x, y, _ = world.route.pose_at(far)
            clear_around(world, x, y, 25.0)
            self._line = world.route.points[: int(far)][::-1]
            self._puppet = Puppet("wrong_way", self._line, "car", 0.0, self.values["speed"])
            self._puppet.appear(world, world.route.edges[0])
            self._puppet.say(world, AgentIntention.KEEPS, Cause.UNKNOWN)
            self.happen("wrong_way")
            return
        x, y = (float(v) for v in point_at(self._puppet.path, self._puppet.s))
        gap = world.route.project(x, y)[0] - world.s - 2.7
        if gap < self.values["swerve"] and self._offset == 0.0:
            # Back to its own side, which is to the right of its way, within some 12 m.
            here = self._puppet.s
            along_line = arc_length(self._line)
            u = np.clip((along_line - here) / 13.0, 0.0, 1.0)
            width = world.road.lanes[world.route.lane_ids[0]].width
            self._offset = -(width + 0.3)
            self._puppet.path = beside(self._line, self._offset * u * u * (3.0 - 2.0 * u))
            self._puppet.say(world, AgentIntention.MERGES, Cause.LANE_CHANGE)
        if gap < -25.0 or self._puppet.arrived:
            self._puppet.leave(world)
            self._over = True
            return
        if -3.0 < gap < 8.0 and self._offset == 0.0:
            self._puppet.speed = max(0.0, self._puppet.speed - 0.7)
        self._puppet.move(world)


class EmergencyBehind(Scenario):
    """An emergency vehicle comes from behind."""

    info = ScenarioInfo(
        "emergency_behind",
        "An emergency vehicle with blue lights comes up from behind and wants to pass.",
        "a drawn time after the start",
        "the ego makes way, is passed, touches nobody, and reaches the goal",
        75.0,
        (EdgeCaseFlag.EMERGENCY_VEHICLE,),
        (Cause.EMERGENCY_VEHICLE,),
        {
            "after": ScenarioParameter(0.0, 1.5, "s", "from the start until it comes"),
            "speed": ScenarioParameter(13.0, 16.0, "m/s", "how fast it comes at least"),
        },
    )

    def place(self, site: Site) -> Placement:
        """A road with a lane to pass in; the ego starts some way along it."""
        lanes = [lane for length in (125.0, 85.0) for lane in wide_lanes(site, length, "left") if lane.right is None]
        placement = first_of(site, lanes, lambda lane: along(site, lane, 26.0, 150.0, 7.0))
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Out of sight at first, and the lane it needs is free."""
        self._puppet: Puppet | None = None
        self._over = False
        self.passed = False
        width = world.road.lanes[world.route.lane_ids[0]].width
        line = beside(world.route.points, np.full(len(world.route.points), width))
        for s in np.arange(max(0.0, world.s - 40.0), world.s + 90.0, 8.0):
            x, y = (float(v) for v in point_at(line, s))
            clear_around(world, x, y, 6.0)

    def tick(self, world: World) -> None:
        """Come from behind, pass on the left, go."""
        if self._over or world.time < self.values["after"]:
            return
        plan = world.route
        if self._puppet is None:
            width = world.road.lanes[plan.lane_ids[0]].width
            # Its line keeps to the lane on the ego's left; it comes from behind the edge's beginning.
            lead = plan.points[0] - np.arange(30.0, 0.0, -1.0)[:, None] * (plan.points[1] - plan.points[0])
            line = beside(np.concatenate([lead, plan.points]), np.full(len(plan.points) + 30, width))
            self._puppet = Puppet("emergency_1", line, "emergency", 3.5, self.values["speed"])
            x, y = (float(v) for v in line[3])
            clear_around(world, x, y, 15.0)
            self._puppet.appear(world, plan.edges[0])
            self._puppet.say(world, AgentIntention.KEEPS, Cause.EMERGENCY_VEHICLE)
            self.happen("emergency_behind")
            return
        puppet = self._puppet
        wanted = max(self.values["speed"], world.speed + 8.0)
        puppet.pace(min(wanted, room_ahead(world, puppet), self._room_to_ego(world, puppet)))
        x, y = (float(v) for v in point_at(puppet.path, puppet.s))
        ahead = plan.project(x, y)[0] - world.s
        self.passed = self.passed or ahead > 8.0
        if ahead > 60.0 or puppet.arrived:
            puppet.leave(world)
            self._over = True
            return
        self._send_aside(world, x, y, float(heading_at(puppet.path, puppet.s)))
        puppet.move(world)

    @staticmethod
    def _send_aside(world: World, x: float, y: float, yaw: float) -> None:
        """Others in its way move to the lane on their right; one that has none is let go."""
        vehicle = world.traffic.sumo.vehicle
        for name in vehicle.getIDList():
            if not name.startswith("v"):
                continue
            px, py = vehicle.getPosition(name)
            ahead = (px - x) * np.cos(yaw) + (py - y) * np.sin(yaw)
            side = -(px - x) * np.sin(yaw) + (py - y) * np.cos(yaw)
            if not (0.0 < ahead < 40.0 and abs(side) < 2.0):
                continue
            lane = vehicle.getLaneIndex(name)
            if lane > 1:
                vehicle.changeLane(name, lane - 1, 8.0)
            if ahead < 7.0:
                vehicle.remove(name)

    @staticmethod
    def _room_to_ego(world: World, puppet: Puppet) -> float:
        """Highest speed at which it stops behind an ego that has not made way."""
        x, y = (float(v) for v in point_at(puppet.path, puppet.s))
        yaw = float(heading_at(puppet.path, puppet.s))
        ex, ey = world.ego.centre()
        ahead = (ex - x) * np.cos(yaw) + (ey - y) * np.sin(yaw) - 5.5
        side = abs(-(ex - x) * np.sin(yaw) + (ey - y) * np.cos(yaw))
        if side > 2.15 or ahead < -2.0:
            return float("inf")
        return float(np.sqrt(world.speed**2 + 2.0 * 2.8 * max(ahead, 0.0)))

    def succeeded(self, world: World) -> bool:
        """As ever, and the emergency vehicle got by."""
        return super().succeeded(world) and self.passed
