"""Scenarios at junctions: lights, stop signs, left turns, roundabouts, merges, an emergency vehicle that crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vadv2_core.geometry import arc_length, project_to_polyline
from vadv2_core.scene import Lane
from vadv2_core.taxonomy import AgentIntention, Cause, EdgeCaseFlag, LateralAction, StopControl
from vadv2_sim.drive_events import EventKind
from vadv2_sim.route_plan import edge_of
from vadv2_sim.scenario import Placement, Scenario, ScenarioInfo, ScenarioParameter, Site
from vadv2_sim.scenario_actors import Puppet, clear_around, lane_path, put_on_lane
from vadv2_sim.scenario_places import connectors, first_of, through

if TYPE_CHECKING:
    from vadv2_sim.world import World


def hold_signal(world: World, signal: str, letter: str) -> None:
    """Set the light of a signal to the phase in which it first shows a colour, and leave it there."""
    light, link = world.map.signal_links[signal]
    lights = world.traffic.sumo.trafficlight
    phases = lights.getAllProgramLogics(light)[0].phases
    for k, phase in enumerate(phases):
        if phase.state[link].lower() == letter:
            lights.setPhase(light, k)
            lights.setPhaseDuration(light, 600.0)
            return


def release_signal(world: World, signal: str) -> None:
    """Let the light go on with its program at once."""
    light, _ = world.map.signal_links[signal]
    world.traffic.sumo.trafficlight.setPhaseDuration(light, 0.1)


def signal_ahead(world: World) -> str | None:
    """The signal of the connector at the scenario's focus."""
    k = int(np.clip(round(world.placement.focus + 1.0), 0, len(world.route.points) - 1))
    return world.road.lanes[world.route.lane_ids[int(world.route.lane_index[k])]].signal


class RedLight(Scenario):
    """The light turns as the ego comes near."""

    info = ScenarioInfo(
        "red_light",
        "A traffic light ahead turns yellow and red as the ego approaches; it turns green again after its cycle.",
        "the ego is a drawn distance before the stop line",
        "the ego stops before the line, passes on green, and reaches the goal",
        100.0,
        causes=(Cause.RED_LIGHT, Cause.YELLOW_LIGHT, Cause.GREEN_LIGHT),
        parameters={"distance": ScenarioParameter(38.0, 65.0, "m", "to the line when the light turns yellow")},
    )
    _turned = False

    def place(self, site: Site) -> Placement:
        """A signalled junction, driven through straight or in a turn."""
        lanes = connectors(site, lambda c: c.control == StopControl.SIGNAL)
        placement = first_of(site, lanes, lambda c: through(site, c, 85.0, 60.0, 8.0))
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """The light is green at first."""
        signal = signal_ahead(world)
        if signal:
            hold_signal(world, signal, "g")

    def tick(self, world: World) -> None:
        """Turn the light once."""
        signal = signal_ahead(world)
        # Never so late that one would rightly drive on through the yellow.
        distance = max(self.values["distance"], 3.3 * world.speed + 8.0) + 4.0
        if not self._turned and signal and world.placement.focus - world.s < distance:
            hold_signal(world, signal, "y")
            light, _ = world.map.signal_links[signal]
            world.traffic.sumo.trafficlight.setPhaseDuration(light, 3.0)
            self._turned = True
            self.happen("red_light")


class StopSign(Scenario):
    """A stop sign at a junction."""

    info = ScenarioInfo(
        "stop_sign",
        "The ego comes to a stop sign and crosses or turns when the way is clear.",
        "none; the sign stands there",
        "the ego stands before the line, yields, and reaches the goal",
        75.0,
        causes=(Cause.STOP_SIGN, Cause.YIELD),
        parameters={"before": ScenarioParameter(45.0, 75.0, "m", "way to the stop line at the start")},
    )

    def place(self, site: Site) -> Placement:
        """A junction whose approach has a stop sign."""
        lanes = connectors(site, lambda c: c.control == StopControl.STOP_SIGN)
        placement = first_of(site, lanes, lambda c: through(site, c, self.values["before"], 55.0))
        if placement is None:
            raise self._no_place(site)
        return placement


class UnprotectedLeft(Scenario):
    """A left turn across oncoming traffic."""

    info = ScenarioInfo(
        "unprotected_left",
        "The ego turns left at a junction while oncoming traffic has the right of way.",
        "oncoming vehicles appear as the ego comes within 45 m",
        "the ego yields, turns left without touching anyone, and reaches the goal",
        80.0,
        causes=(Cause.YIELD, Cause.TURN),
        parameters={
            "vehicles": ScenarioParameter(2.0, 5.0, "", "oncoming vehicles"),
            "gap": ScenarioParameter(1.8, 3.2, "s", "time between them"),
        },
    )

    def place(self, site: Site) -> Placement:
        """A left turn with a straight oncoming connector, from an open lane, that goes first."""
        self._oncoming: Lane | None = None

        def build(connector: Lane) -> Placement | None:
            oncoming = self._straight_foe(site, connector)
            placement = through(site, connector, 75.0, 55.0) if oncoming else None
            if placement is None or oncoming is None or oncoming.predecessors[0] in site.finder.closed:
                return None
            self._oncoming = oncoming
            return placement

        lefts = connectors(
            site,
            lambda c: (
                c.turn == LateralAction.LEFT_TURN
                and bool(c.yields_to)
                and c.control in (StopControl.SIGNAL, StopControl.NONE)
            ),
        )
        placement = first_of(site, lefts, build)
        if placement is None:
            raise self._no_place(site)
        return placement

    @staticmethod
    def _straight_foe(site: Site, connector: Lane) -> Lane | None:
        a = connector.centerline[1] - connector.centerline[0]
        for name in connector.yields_to:
            foe = site.lane(name)
            b = foe.centerline[1] - foe.centerline[0]
            opposite = float(a @ b) / max(float(np.hypot(*a) * np.hypot(*b)), 1e-6) < -0.8
            if foe.turn == LateralAction.STRAIGHT and opposite:
                return foe
        return None

    def begin(self, world: World) -> None:
        """Green for the ego, and so for those who come towards it."""
        self._sent = 0
        self._next = 0.0
        signal = signal_ahead(world)
        if signal:
            hold_signal(world, signal, "g")

    def tick(self, world: World) -> None:
        """Send the oncoming vehicles one by one."""
        if self._oncoming is None or self._sent >= int(self.values["vehicles"]):
            return
        if world.placement.focus - world.s > 45.0 or world.time < self._next:
            return
        lane = self._oncoming.predecessors[0]
        length = float(arc_length(world.road.lanes[lane].centerline)[-1])
        position = max(5.0, length - 55.0)
        x, y = world.road.lanes[lane].centerline[0]
        clear_around(world, float(x), float(y), 12.0)
        kind = self.rng.choice(("car", "van", "car"))
        edges = (edge_of(lane), edge_of(self._oncoming.successors[0]))
        put_on_lane(world, f"oncoming_{self._sent}", kind, lane, position, 9.0, edges)
        self._sent += 1
        self._next = world.time + self.values["gap"]
        self.happen("oncoming")


class Roundabout(Scenario):
    """Through a roundabout."""

    info = ScenarioInfo(
        "roundabout",
        "The ego yields to those in the roundabout, enters it, and leaves at the exit of its way.",
        "none; traffic is as dense as the town's",
        "the ego goes round without touching anyone and reaches the goal",
        80.0,
        causes=(Cause.ROUNDABOUT, Cause.YIELD),
        parameters={"exit": ScenarioParameter(1.0, 3.0, "", "which exit is taken")},
    )

    def place(self, site: Site) -> Placement:
        """An entry to a roundabout."""
        for circle in site.finder.roundabouts:
            inside = {e for e, (a, b) in site.map.edges_between.items() if a in circle and b in circle}
            entries = connectors(
                site,
                lambda c, circle=circle, inside=inside: (
                    c.junction in circle  # type: ignore[misc]
                    and edge_of(c.predecessors[0]) not in inside
                    and edge_of(c.successors[0]) in inside
                ),
            )
            placement = first_of(site, entries, lambda c, inside=inside: self._round(site, c, inside))  # type: ignore[misc]
            if placement is not None:
                return placement
        raise self._no_place(site)

    def _round(self, site: Site, entry: Lane, inside: set[str]) -> Placement | None:
        way, exits = [edge_of(entry.successors[0])], 0
        for _ in range(12):
            out = [e for e in site.finder.onward[way[-1]] if e not in inside and e in site.finder.endless]
            exits += bool(out)
            if out and exits >= round(self.values["exit"]):
                placement = through(site, entry, 60.0, 110.0, 7.0, (*way, out[0]))
                return placement
            following = [e for e in site.finder.onward[way[-1]] if e in inside]
            if not following:
                return None
            way.append(following[0])
        return None


class Merge(Scenario):
    """Into flowing traffic."""

    info = ScenarioInfo(
        "merge",
        "The ego joins a road whose traffic goes first: a ramp, a slip lane, or a turn into a main road.",
        "vehicles on the main road appear as the ego comes within 50 m",
        "the ego joins without making anyone brake hard and reaches the goal",
        75.0,
        causes=(Cause.MERGE, Cause.YIELD, Cause.TURN),
        parameters={
            "vehicles": ScenarioParameter(2.0, 4.0, "", "vehicles on the main road"),
            "gap": ScenarioParameter(1.6, 3.0, "s", "time between them"),
        },
    )

    def place(self, site: Site) -> Placement:
        """A connector that joins another's way at a shallow angle; failing that, a right turn into a main road."""
        self._main: Lane | None = None

        def joins(c: Lane) -> bool:
            others = [site.lane(n) for n in c.yields_to]
            same = [o for o in others if edge_of(o.successors[0]) == edge_of(c.successors[0])]
            return bool(same) and c.turn != LateralAction.LEFT_TURN and c.control != StopControl.SIGNAL

        def ramp(c: Lane) -> bool:
            kind = site.map.net.getEdge(edge_of(c.predecessors[0])).getType()
            return kind == "ramp" and _shallow(c) and self._flow(site, c) is not None

        def build(connector: Lane) -> Placement | None:
            placement = through(site, connector, 65.0, 90.0, 8.0)
            if placement is not None:
                self._main = self._flow(site, connector)
            return placement

        placement = first_of(site, connectors(site, ramp), build) or first_of(site, connectors(site, joins), build)
        if placement is None:
            raise self._no_place(site)
        return placement

    @staticmethod
    def _flow(site: Site, connector: Lane) -> Lane | None:
        out = edge_of(connector.successors[0])
        flow = [
            lane
            for lane in site.map.road.lanes.values()
            if lane.junction == connector.junction
            and lane.junction
            and edge_of(lane.successors[0]) == out
            and edge_of(lane.predecessors[0]) != edge_of(connector.predecessors[0])
            and lane.predecessors[0] not in site.finder.closed
            and lane.turn == LateralAction.STRAIGHT
        ]
        return min(flow, key=lambda lane: lane.id) if flow else None

    def begin(self, world: World) -> None:
        """Nobody is on the main road yet."""
        self._sent, self._next = 0, 0.0

    def tick(self, world: World) -> None:
        """Send vehicles along the main road."""
        if self._main is None or self._sent >= int(self.values["vehicles"]):
            return
        if world.placement.focus - world.s > 50.0 or world.time < self._next:
            return
        lane = self._main.predecessors[0]
        length = float(arc_length(world.road.lanes[lane].centerline)[-1])
        edges = (edge_of(lane), edge_of(self._main.successors[0]))
        put_on_lane(world, f"main_{self._sent}", "car", lane, max(3.0, length - 60.0), 9.0, edges)
        self._sent += 1
        self._next = world.time + self.values["gap"]
        self.happen("merge")


def _shallow(connector: Lane) -> bool:
    a = connector.centerline[1] - connector.centerline[0]
    b = connector.centerline[-1] - connector.centerline[-2]
    return float(a @ b) / max(float(np.hypot(*a) * np.hypot(*b)), 1e-6) > 0.6


class EmergencyCrossing(Scenario):
    """An emergency vehicle crosses on red."""

    info = ScenarioInfo(
        "emergency_crossing",
        "The ego has right of way at a junction when an emergency vehicle with blue lights crosses from the side.",
        "timed so that both would meet in the junction",
        "the ego lets it pass and reaches the goal",
        75.0,
        (EdgeCaseFlag.EMERGENCY_VEHICLE,),
        (Cause.EMERGENCY_VEHICLE,),
        {"speed": ScenarioParameter(10.0, 13.0, "m/s", "of the emergency vehicle")},
    )

    def place(self, site: Site) -> Placement:
        """A junction that the ego crosses straight on, with a way across that has a long approach."""
        self._cross: tuple[Lane, Lane] | None = None

        def build(connector: Lane) -> Placement | None:
            foe = self._crossing(site, connector)
            placement = through(site, connector, 80.0, 55.0, 8.0) if foe else None
            if placement is not None and foe is not None:
                self._cross = (connector, foe)
            return placement

        ahead = connectors(
            site,
            lambda c: c.turn == LateralAction.STRAIGHT and c.control in (StopControl.SIGNAL, StopControl.NONE),
        )
        placement = first_of(site, ahead, build)
        if placement is None:
            raise self._no_place(site)
        return placement

    @staticmethod
    def _crossing(site: Site, connector: Lane) -> Lane | None:
        a = connector.centerline[-1] - connector.centerline[0]
        for lane in site.map.road.lanes.values():
            if lane.junction != connector.junction or lane.turn != LateralAction.STRAIGHT or not lane.junction:
                continue
            b = lane.centerline[-1] - lane.centerline[0]
            across = abs(float(a[0] * b[1] - a[1] * b[0])) / max(float(np.hypot(*a) * np.hypot(*b)), 1e-6)
            approach = site.lane(lane.predecessors[0])
            if across > 0.8 and float(arc_length(approach.centerline)[-1]) > 55.0:
                return lane
        return None

    def begin(self, world: World) -> None:
        """Green for the ego; the emergency vehicle waits out of sight."""
        signal = signal_ahead(world)
        if signal:
            hold_signal(world, signal, "g")
        self._puppet: Puppet | None = None

    def tick(self, world: World) -> None:
        """Send the emergency vehicle so that it comes to the junction a second before the ego would."""
        if self._cross is None:
            return
        if self._puppet is None:
            gap = world.placement.focus - world.s
            if gap > 48.0 or gap < 5.0:
                return
            approach = self._cross[1].predecessors[0]
            path = lane_path(world, approach, 90.0)
            length = float(arc_length(world.road.lanes[approach].centerline)[-1])
            meet = max(2.0, gap / max(world.speed, 4.0))
            start = max(5.0, length + 4.0 - self.values["speed"] * max(1.5, meet - 0.5))
            self._puppet = Puppet("emergency_1", path, "emergency", start, self.values["speed"])
            for s in (start, start + 20.0, start + 40.0, start + 60.0):
                k = int(np.argmin(np.abs(arc_length(path) - s)))
                clear_around(world, float(path[k, 0]), float(path[k, 1]), 14.0)
            self._puppet.appear(world, edge_of(approach))
            self._puppet.say(world, AgentIntention.KEEPS, Cause.EMERGENCY_VEHICLE)
            self.happen("emergency_crossing")
            return
        self._puppet.speed = self._speed_behind(world)
        self._puppet.move(world)
        if self._puppet.arrived:
            self._puppet.leave(world)
            self._cross = None

    def _speed_behind(self, world: World) -> float:
        """Slower where somebody stands in its way: blue lights do not make a car fly."""
        puppet = self._puppet
        assert puppet is not None
        ego = world.ego.centre()
        s, offset = project_to_polyline(puppet.path, np.array([ego]))
        gap = float(s[0]) - puppet.s
        blocked = abs(float(offset[0])) < 2.2 and 0.0 < gap < 14.0
        return 0.0 if blocked and gap < 7.0 else 3.0 if blocked else self.values["speed"]

    def succeeded(self, world: World) -> bool:
        """As ever, and the emergency vehicle was there."""
        hit = any(e.kind == EventKind.COLLISION for e in world.events)
        return super().succeeded(world) and not hit and "emergency_crossing" in self.events
