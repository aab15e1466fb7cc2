"""What a scenario is: where it plays, what sets it off, when it is a success, and what may be said about it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from vadv2_core.command import DrivingCommand
from vadv2_core.errors import InputError
from vadv2_core.scene import Lane
from vadv2_core.taxonomy import Cause, EdgeCaseFlag, Weather
from vadv2_sim.drive_events import EventKind
from vadv2_sim.road_map import TownMap
from vadv2_sim.route_plan import RouteFinder

if TYPE_CHECKING:
    from vadv2_sim.world import World


@dataclass(frozen=True, slots=True)
class ScenarioParameter:
    """One number of a scenario that its seed draws, or a user sets.

    Attributes:
        low: Smallest value drawn.
        high: Largest value drawn.
        unit: SI unit.
        description: What it changes.
    """

    low: float
    high: float
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class ScenarioInfo:
    """A scenario in words; ``sim show`` prints it.

    Attributes:
        name: As given on command lines.
        description: What happens.
        trigger: What sets it off.
        success: When it is passed.
        seconds: Longest duration, s.
        flags: Edge cases that are true once it is set off.
        causes: What the ego may rightly act upon.
        parameters: By name.
    """

    name: str
    description: str
    trigger: str
    success: str
    seconds: float = 60.0
    flags: tuple[EdgeCaseFlag, ...] = ()
    causes: tuple[Cause, ...] = ()
    parameters: dict[str, ScenarioParameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a scenario plays.

    Attributes:
        edges: The ego's way.
        start: Distance along it at which the ego starts, m.
        focus: Distance along it at which the scenario's place is, m.
        goal: Distance along it that ends the drive, m.
        speed: The ego's first speed, m/s.
        start_lane: Lane to begin on; the best where None.
        change_at: See `RouteFinder.plan`.
        closed: Lanes closed for road works.
        barred: Lanes that traffic keeps off for another reason (a crash).
    """

    edges: tuple[str, ...]
    start: float
    focus: float
    goal: float
    speed: float = 7.0
    start_lane: str | None = None
    change_at: dict[str, float] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """What a scenario looks for a place in."""

    map: TownMap
    finder: RouteFinder
    rng: random.Random

    def lane(self, name: str) -> Lane:
        """A lane by id."""
        return self.map.road.lanes[name]


class Scenario:
    """Base of all scenarios.

    Args:
        seed: Draws the parameters.
        values: Parameters set by hand.

    Raises:
        InputError: for a parameter that the scenario does not have.
    """

    info: ClassVar[ScenarioInfo]
    clear_ahead: ClassVar[float] = 0.0
    """Other vehicles are taken off the route so far before the ego when the drive begins, m."""

    def __init__(self, seed: int, values: dict[str, float] | None = None) -> None:
        self.rng = random.Random(seed * 31 + 7)
        self.values = {k: round(self.rng.uniform(p.low, p.high), 3) for k, p in self.info.parameters.items()}
        for key, value in (values or {}).items():
            if key not in self.values:
                known = ", ".join(self.values) or "none"
                raise InputError(f"unknown parameter {key!r}", f"scenario {self.info.name}", f"one of {known}")
            self.values[key] = float(value)
        self.events: list[str] = []
        self.weather: tuple[Weather, float] | None = None

    def place(self, site: Site) -> Placement:
        """Search a suitable place in the town.

        Raises:
            InputError: where the town's geometry has none.
        """
        raise self._no_place(site)

    def begin(self, world: World) -> None:
        """Called once the ego is on the road."""

    def tick(self, world: World) -> None:
        """Called before every step of traffic."""

    def command(self, world: World, command: DrivingCommand) -> DrivingCommand:
        """The command to the ego; a scenario may say it in other words."""
        return command

    def succeeded(self, world: World) -> bool:
        """Whether the drive, which has come to its goal, passes."""
        bad = (EventKind.COLLISION, EventKind.RED_LIGHT, EventKind.STOP_SIGN, EventKind.WRONG_WAY, EventKind.OFF_ROAD)
        return not any(e.kind in bad and e.at_fault for e in world.events)

    def happen(self, event: str) -> None:
        """Name something the scenario has started, for the narrator."""
        if event not in self.events:
            self.events.append(event)

    def _no_place(self, site: Site) -> InputError:
        town = site.map.road.name
        return InputError(f"no place for scenario {self.info.name!r} in {town}", "--scenario", "another town")


class FreeDrive(Scenario):
    """Plain traffic on a random way."""

    info = ScenarioInfo(
        "free",
        "Drive a random way through the town's traffic.",
        "none",
        "the end of the way is reached without an infraction",
        240.0,
        causes=tuple(Cause),
        parameters={"length": ScenarioParameter(500.0, 800.0, "m", "length of the way")},
    )

    def place(self, site: Site) -> Placement:
        """A random edge and a random way on from it."""
        starts = [e for e in sorted(site.finder.endless) if site.finder.edge_length(e) > 40.0]
        if not starts:
            raise self._no_place(site)
        start = site.rng.choice(starts)
        edges = site.finder.wander(start, self.values["length"] + 150.0, site.rng)
        begin = site.rng.uniform(8.0, 0.5 * site.finder.edge_length(start))
        return Placement(edges, begin, begin, begin + self.values["length"], site.rng.uniform(0.0, 8.0))


def with_goal(placement: Placement, length: float) -> Placement:
    """A placement whose goal lies on its route, 12 m before the end at most."""
    return replace(placement, goal=min(placement.goal, length - 12.0))
