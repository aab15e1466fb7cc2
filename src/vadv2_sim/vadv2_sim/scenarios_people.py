"""Scenarios with people: on a crossing, off it, and on a bicycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vadv2_core.scene import Lane
from vadv2_core.taxonomy import AgentIntention, Cause, EdgeCaseFlag, LaneKind
from vadv2_sim.route_plan import edge_of
from vadv2_sim.scenario import Placement, Scenario, ScenarioInfo, ScenarioParameter, Site
from vadv2_sim.scenario_actors import Puppet, across, put_on_route
from vadv2_sim.scenario_places import along, connectors, crossing_over, first_of, long_roads, through

if TYPE_CHECKING:
    from vadv2_sim.world import World


class PedestrianCrossing(Scenario):
    """People on a zebra crossing."""

    info = ScenarioInfo(
        "pedestrian_crossing",
        "People step onto a crossing without lights as the ego approaches; they have the right of way.",
        "the ego is a drawn time before the crossing",
        "the ego lets them pass and reaches the goal",
        60.0,
        causes=(Cause.PEDESTRIAN, Cause.YIELD),
        parameters={
            "people": ScenarioParameter(1.0, 3.0, "", "how many cross"),
            "time": ScenarioParameter(3.2, 5.0, "s", "before the ego would be there, when the first steps out"),
            "pace": ScenarioParameter(1.1, 1.6, "m/s", "how fast they walk"),
        },
    )

    def place(self, site: Site) -> Placement:
        """A zebra on the way between junctions; failing that, a crossing of a junction arm without lights."""
        zebras = connectors(site, lambda c: c.control == 0 and crossing_over(site, c) is not None)
        zebras.sort(key=lambda c: len(site.map.net.getNode(c.junction or "").getIncoming()) != 2)

        def build(connector: Lane) -> Placement | None:
            self._crossing = crossing_over(site, connector)
            return through(site, connector, 70.0, 50.0, 8.0)

        placement = first_of(site, zebras, build)
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """They wait at the curb."""
        self._walkers: list[Puppet] = []
        self._at = world.placement.focus
        if self._crossing is not None:
            middle = self._crossing.polygon.mean(axis=0)
            self._at = world.route.project(float(middle[0]), float(middle[1]))[0]
        for k in range(round(self.values["people"])):
            from_right = self.rng.random() < 0.6
            path = across(world, self._at + self.rng.uniform(-1.2, 1.2), 10.0, from_right)
            walker = Puppet(f"crosser_{k}", path, "walker", 4.0 - 0.9 * k, 0.0)
            walker.appear(world, world.route.edges[0])
            walker.say(world, AgentIntention.YIELDS, Cause.YIELD)
            self._walkers.append(walker)

    def tick(self, world: World) -> None:
        """Step out when the ego is near, walk over, go."""
        eta = (self._at - world.s - 3.5) / max(world.speed, 2.0)
        for k, walker in enumerate(self._walkers):
            if walker.speed == 0.0 and eta < self.values["time"] - 0.6 * k:
                walker.speed = self.values["pace"]
                walker.say(world, AgentIntention.CROSSES, Cause.FREE_ROAD)
                self.happen("pedestrian_crossing")
            walker.move(world)
        for walker in [w for w in self._walkers if w.arrived]:
            walker.leave(world)
            self._walkers.remove(walker)


class Jaywalker(Scenario):
    """Somebody runs into the road."""

    info = ScenarioInfo(
        "jaywalker",
        "Somebody crosses the road where there is no crossing, seen late.",
        "the ego is a drawn time before the place",
        "the ego brakes or evades without touching anyone and reaches the goal",
        60.0,
        (EdgeCaseFlag.JAYWALKER,),
        (Cause.PEDESTRIAN,),
        {
            "time": ScenarioParameter(2.8, 4.2, "s", "before the ego would be there, when the walker steps out"),
            "pace": ScenarioParameter(1.3, 2.2, "m/s", "how fast the walker is"),
        },
    )

    def place(self, site: Site) -> Placement:
        """Midway along a road with sidewalks."""
        roads = long_roads(
            site,
            62.0,
            lambda lane: (
                f"{edge_of(lane.id)}_0" in site.map.road.lanes
                and site.lane(f"{edge_of(lane.id)}_0").kind == LaneKind.SIDEWALK
            ),
        )
        placement = first_of(site, roads, lambda lane: along(site, lane, 48.0, 60.0, 9.0, before=44.0, stay=False))
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """The walker stands on the sidewalk."""
        path = across(world, world.placement.focus, 9.0, self.rng.random() < 0.7)
        self._walker: Puppet | None = Puppet("jaywalker", path, "walker", 3.6, 0.0)
        self._walker.appear(world, world.route.edges[0])
        self._walker.say(world, AgentIntention.KEEPS)

    def tick(self, world: World) -> None:
        """Step out, cross, go."""
        walker = self._walker
        if walker is None:
            return
        eta = (world.placement.focus - world.s - 3.5) / max(world.speed, 2.0)
        if walker.speed == 0.0 and eta < self.values["time"]:
            walker.speed = self.values["pace"]
            walker.say(world, AgentIntention.CROSSES)
            self.happen("jaywalker")
        walker.move(world)
        if walker.arrived:
            walker.leave(world)
            self._walker = None


class Cyclist(Scenario):
    """A cyclist ahead."""

    info = ScenarioInfo(
        "cyclist",
        "A cyclist rides ahead in the ego's lane.",
        "none; the cyclist is there from the start",
        "the ego follows or passes with distance and reaches the goal",
        75.0,
        causes=(Cause.CYCLIST,),
        parameters={
            "gap": ScenarioParameter(22.0, 38.0, "m", "to the cyclist at the start"),
            "pace": ScenarioParameter(3.5, 5.2, "m/s", "how fast the cyclist rides"),
        },
    )

    def place(self, site: Site) -> Placement:
        """A road long enough to meet the cyclist on."""
        roads = long_roads(site, 75.0, lambda lane: lane.speed_limit < 15.0)
        placement = first_of(site, roads, lambda lane: along(site, lane, 8.0, 150.0, 6.0, stay=False))
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Set the cyclist on the way."""
        put_on_route(world, "cyclist", "bicycle", world.s + 3.6 + self.values["gap"], self.values["pace"])
        world.traffic.sumo.vehicle.setMaxSpeed("cyclist", self.values["pace"])
        self.happen("cyclist")
