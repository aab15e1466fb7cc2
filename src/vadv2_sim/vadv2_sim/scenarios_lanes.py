"""Scenarios in which a lane is to be left: a stopped bus, road works, a way that leads on from the lane beside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vadv2_core.geometry import arc_length, point_at
from vadv2_core.scene import Lane
from vadv2_core.taxonomy import AgentIntention, Cause, EdgeCaseFlag
from vadv2_sim.route_plan import edge_of
from vadv2_sim.scenario import Placement, Scenario, ScenarioInfo, ScenarioParameter, Site
from vadv2_sim.scenario_actors import clear_around, put_on_lane, put_on_route
from vadv2_sim.scenario_places import along, first_of, try_plan, wide_lanes

if TYPE_CHECKING:
    from vadv2_sim.world import World


class StoppedBus(Scenario):
    """A bus stands in the lane."""

    info = ScenarioInfo(
        "stopped_bus",
        "A bus stands in the ego's lane with its hazard lights on while people get on; another lane leads past it.",
        "none; the bus stands there",
        "the ego waits behind it or passes it, touches nobody, and reaches the goal",
        80.0,
        (EdgeCaseFlag.STOPPED_BUS,),
        (Cause.STOPPED_VEHICLE,),
        {"wait": ScenarioParameter(14.0, 30.0, "s", "how long it stands once the ego is near")},
    )
    clear_ahead = 75.0

    def place(self, site: Site) -> Placement:
        """The outer lane of a road with more than one."""
        lanes = [lane for lane in wide_lanes(site, 80.0, "left") if lane.right is None]
        placement = first_of(site, lanes, lambda lane: along(site, lane, 4.0, 125.0, 7.0))
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Set the bus down."""
        at = world.s + 48.0
        put_on_route(world, "stopped_bus", "bus", at, 0.0)
        vehicle = world.traffic.sumo.vehicle
        vehicle.setSpeed("stopped_bus", 0.0)
        vehicle.setSignals("stopped_bus", 4)
        world.traffic.overrides["stopped_bus"] = (AgentIntention.STOPS, Cause.UNKNOWN)
        self._at, self._near, self._gone = at, 0.0, False
        self.happen("stopped_bus")

    def tick(self, world: World) -> None:
        """Drive on after a while."""
        vehicle = world.traffic.sumo.vehicle
        if self._gone or "stopped_bus" not in vehicle.getIDList():
            return
        if not self._near and self._at - world.s < 35.0:
            self._near = world.time
        if self._near and world.time > self._near + self.values["wait"]:
            vehicle.setSpeed("stopped_bus", -1.0)
            vehicle.setSignals("stopped_bus", -1)
            world.traffic.overrides.pop("stopped_bus", None)
            self._gone = True
        else:
            vehicle.setSignals("stopped_bus", 4)


class Construction(Scenario):
    """Road works close the lane."""

    info = ScenarioInfo(
        "construction",
        "Road works with cones and barriers close the ego's lane; the way leads past in the lane beside.",
        "none; the works stand there",
        "the ego changes lanes in time, touches no cone, and reaches the goal",
        90.0,
        (EdgeCaseFlag.CONSTRUCTION_ZONE,),
        (Cause.CONSTRUCTION, Cause.LANE_CHANGE),
    )
    works = True

    def place(self, site: Site) -> Placement:
        """A lane of a wide road that is not the only one to lead on."""

        def build(lane: Lane) -> Placement | None:
            closed = replace(site, finder=type(site.finder)(site.map, {*site.finder.closed, lane.id}))
            for _ in range(5):
                edges = closed.finder.wander(edge_of(lane.id), 190.0, site.rng)
                plan = try_plan(closed, edges, lane.id)
                if plan is None or len(edges) < 2 or plan.lane_ids[0] != lane.id:
                    continue
                length = float(arc_length(lane.centerline)[-1])
                return Placement(edges, 4.0, 45.0, length + 60.0, 6.5, lane.id, {edges[0]: 9.0}, (lane.id,))
            return None

        placement = first_of(site, wide_lanes(site, 88.0), build)
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """The works are seen from the start."""
        self.happen("construction")


class LaneChange(Scenario):
    """The way asks for a lane change in traffic."""

    info = ScenarioInfo(
        "lane_change",
        "The ego's way leads on from the lane beside; it has to change lanes in traffic.",
        "the way asks for it from the start",
        "the ego changes lanes without touching or cutting up anyone and reaches the goal",
        90.0,
        causes=(Cause.LANE_CHANGE,),
        parameters={
            "begin": ScenarioParameter(14.0, 26.0, "m", "from the start to where the change begins"),
            "beside": ScenarioParameter(-14.0, 10.0, "m", "where a vehicle in the other lane is, ahead of the ego"),
        },
    )
    clear_ahead = 40.0

    def place(self, site: Site) -> Placement:
        """A wide road whose next edge is only reached from the other lane."""

        def build(lane: Lane) -> Placement | None:
            edge = edge_of(lane.id)
            for onward in shuffled_edges(site, edge):
                linked = {c.predecessors[0] for c in site.finder.links[edge, onward]}
                if lane.id in linked:
                    continue
                edges = (edge, *site.finder.wander(onward, 150.0, site.rng))
                plan = try_plan(site, edges, lane.id)
                if plan is None or plan.lane_ids[0] != lane.id:
                    continue
                length = float(arc_length(lane.centerline)[-1])
                begin = min(6.0 + self.values["begin"], max(8.0, length - 55.0))
                return Placement(edges, 6.0, begin, length + 70.0, 7.0, lane.id, {edge: begin})
            return None

        placement = first_of(site, wide_lanes(site, 78.0), build)
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Set a vehicle into the lane beside."""
        lane = world.road.lanes[world.route.lane_ids[0]]
        target = world.route.lane_ids[1]
        x, y = point_at(world.road.lanes[target].centerline, max(1.0, world.s + self.values["beside"]))
        clear_around(world, float(x), float(y), 14.0)
        edges = world.route.edges[:2]
        position = world.s + 3.6 + self.values["beside"]
        if position > 5.0:
            put_on_lane(world, "neighbour", "car", target, position, min(7.5, lane.speed_limit), edges)
            world.traffic.sumo.vehicle.setMaxSpeed("neighbour", 8.5)
        self.happen("lane_change")


def shuffled_edges(site: Site, edge: str) -> list[str]:
    """Edges that follow an edge and lead on for ever, in an order of the drive's own."""
    onward = sorted(e for e in site.finder.onward[edge] if e in site.finder.endless)
    site.rng.shuffle(onward)
    return onward
