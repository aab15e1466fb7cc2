"""Scenarios of what is told and what is seen: a wreck, a passenger's words, bad weather, a broken camera."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vadv2_core.command import DrivingCommand
from vadv2_core.geometry import arc_length, heading_at, point_at
from vadv2_core.language.commands import command_text
from vadv2_core.scene import Agent, Lane
from vadv2_core.taxonomy import AgentClass, AgentIntention, Cause, DrivingAction, EdgeCaseFlag, Weather
from vadv2_sim.route_plan import RouteFinder, edge_of
from vadv2_sim.scenario import FreeDrive, Placement, Scenario, ScenarioInfo, ScenarioParameter, Site
from vadv2_sim.scenario_places import first_of, try_plan, wide_lanes

if TYPE_CHECKING:
    from vadv2_sim.world import World

CAMERAS = ("front", "front_left", "front_right", "back", "back_left", "back_right")
ARRIVED = 2.0
"""m/s, below which it has stopped as it was told to (Senna's threshold)."""
FAULTS = ("black", "missing", "white", "noise", "dirt", "blur")
"""What may befall a camera; the event reads ``camera_fault:<camera>:<fault>``."""


class Accident(Scenario):
    """A crash blocks the lane."""

    info = ScenarioInfo(
        "accident",
        "Two crashed vehicles with hazard lights and a few cones block the ego's lane.",
        "none; they stand there",
        "the ego passes in the lane beside, touches nothing, and reaches the goal",
        60.0,
        (EdgeCaseFlag.ACCIDENT,),
        (Cause.ACCIDENT, Cause.STOPPED_VEHICLE, Cause.LANE_CHANGE),
        {"turned": ScenarioParameter(0.3, 1.1, "rad", "how far the first wreck is turned")},
    )

    def place(self, site: Site) -> Placement:
        """A lane of a wide road that is not the only one to lead on."""

        def build(lane: Lane) -> Placement | None:
            around = replace(site, finder=RouteFinder(site.map, {*site.finder.closed, lane.id}))
            for _ in range(5):
                edges = around.finder.wander(edge_of(lane.id), 190.0, site.rng)
                plan = try_plan(around, edges, lane.id)
                if plan is None or len(edges) < 2 or plan.lane_ids[0] != lane.id:
                    continue
                self._lane = lane
                length = float(arc_length(lane.centerline)[-1])
                return Placement(edges, 4.0, 55.0, length + 60.0, 6.5, lane.id, {edges[0]: 12.0}, barred=(lane.id,))
            return None

        placement = first_of(site, wide_lanes(site, 90.0), build)
        if placement is None:
            raise self._no_place(site)
        return placement

    def begin(self, world: World) -> None:
        """Put the wrecks on the road."""
        lane, rng = self._lane, self.rng
        things = []
        inner = 1.0 if lane.right is not None and lane.left is None else -1.0  # away from the lane that is open
        for k, (s, turn, color) in enumerate(
            ((58.0, self.values["turned"], (178, 34, 36)), (63.5, -0.2 * self.values["turned"], (222, 222, 226)))
        ):
            x, y = point_at(lane.centerline, s)
            yaw = float(heading_at(lane.centerline, s))
            x, y = float(x) - 0.25 * inner * np.sin(yaw), float(y) + 0.25 * inner * np.cos(yaw)
            things.append(
                Agent(
                    f"wreck_{k}", AgentClass.CAR, float(x), float(y), yaw + turn, 4.4, 1.8, 1.5, (0.0, 0.0), 0.0,
                    lane.id, AgentIntention.PARKED, Cause.ACCIDENT, 2, False, False, color,
                )
            )  # fmt: skip
        for k in range(3):
            s = 48.0 + 2.5 * k + rng.uniform(-0.5, 0.5)
            x, y = point_at(lane.centerline, s)
            things.append(
                Agent(
                    f"wreck_cone_{k}", AgentClass.TRAFFIC_CONE, float(x), float(y), 0.0, 0.4, 0.4, 0.75, (0.0, 0.0),
                    lane=lane.id, color=(240, 90, 20),
                )
            )  # fmt: skip
        world.traffic.add_things(tuple(things))
        self.happen("accident")


class TextCommand(FreeDrive):
    """A passenger says in their own words what to do."""

    info = ScenarioInfo(
        "text_command",
        "A passenger says in their own words what the way asks for, and near the end asks the car to stop.",
        "each manoeuvre is asked for as it comes within 60 m",
        "the ego does what it is told and stands at the goal",
        90.0,
        causes=(Cause.COMMAND, Cause.TURN, Cause.GOAL),
        parameters={"length": ScenarioParameter(170.0, 260.0, "m", "length of the way")},
    )

    def __init__(self, seed: int, values: dict[str, float] | None = None) -> None:
        super().__init__(seed, values)
        self._said: dict[tuple[int, int], str] = {}
        self._words = np.random.default_rng(seed)

    def command(self, world: World, command: DrivingCommand) -> DrivingCommand:
        """The command in a wording drawn once for each manoeuvre."""
        place = round((world.s + command.distance) / 20.0)
        following = command.action == DrivingAction.LANE_FOLLOW
        key = (int(command.action), 0 if following else place)
        near = next((k for k in self._said if k[0] == key[0] and abs(k[1] - key[1]) <= 1), key)
        if near not in self._said:
            self._said[near] = command_text(command.action, 0.0, self._words)
            self.happen("text_command")
        return replace(command, text=self._said[near])

    def succeeded(self, world: World) -> bool:
        """Whether nothing went wrong and it came to rest at the goal, where it was told to."""
        told = world.scene.command.action is DrivingAction.STOP
        return super().succeeded(world) and (not told or world.ego.state.speed < ARRIVED)


class WeatherDrive(FreeDrive):
    """A drive in bad weather."""

    info = ScenarioInfo(
        "weather",
        "A drive at night, at dusk, in rain, in fog, or against a low sun, drawn by the seed.",
        "none; the weather holds from the start",
        "the end of the way is reached without an infraction",
        110.0,
        (EdgeCaseFlag.LOW_VISIBILITY,),
        (Cause.LOW_VISIBILITY,),
        {
            "length": ScenarioParameter(260.0, 380.0, "m", "length of the way"),
            "kind": ScenarioParameter(1.0, 5.99, "", "1 dusk, 2 night, 3 rain, 4 fog, 5 glare (rounded down)"),
            "intensity": ScenarioParameter(0.5, 1.0, "", "how strong"),
        },
    )

    def place(self, site: Site) -> Placement:
        """As a free drive, under another sky."""
        self.weather = Weather(int(np.clip(int(self.values["kind"]), 1, 5))), self.values["intensity"]
        return super().place(site)


class CameraFault(FreeDrive):
    """A camera fails while driving."""

    info = ScenarioInfo(
        "camera_fault",
        "A camera goes black, freezes, gets dirty or blurs for a while.",
        "a drawn time after the start",
        "the end of the way is reached without an infraction",
        90.0,
        (EdgeCaseFlag.CAMERA_FAULT,),
        (Cause.LOW_VISIBILITY,),
        {
            "length": ScenarioParameter(200.0, 300.0, "m", "length of the way"),
            "after": ScenarioParameter(2.0, 6.0, "s", "from the start to the fault"),
            "lasts": ScenarioParameter(4.0, 15.0, "s", "how long it lasts"),
        },
    )

    def begin(self, world: World) -> None:
        """Draw which camera and what befalls it."""
        self._fault = f"camera_fault:{self.rng.choice(CAMERAS)}:{self.rng.choice(FAULTS)}"

    def tick(self, world: World) -> None:
        """The fault is on for its time."""
        since = world.time - self.values["after"]
        if 0.0 <= since < self.values["lasts"]:
            self.happen(self._fault)
        elif self._fault in self.events:
            self.events.remove(self._fault)
